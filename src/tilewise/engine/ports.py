"""The inputs and outputs of a compiled network, as callers know them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """An input of a compiled network.

    Parameters
    ----------
    name : str
        What calls name it by.
    channels : int
        C.
    size : (int, int)
        Height and width that images must have; 0: any.
    multiple : (int, int)
        What height and width must be multiples of.
    """

    name: str
    channels: int
    size: tuple[int, int]
    multiple: tuple[int, int]


@dataclass(frozen=True)
class Output:
    """A result of a compiled network.

    Parameters
    ----------
    name : str
        What calls return it by, where there are several.
    channels : int
        C.
    flat : bool
        Whether its shape is (N, C*H*W) instead of (N, C, H, W).
    stored : str
        What it lies in memory as: ``float32``, or the type of its integers.
    step : float
        Real value of one step: the real number is ``(stored - zero_point) * step``.
    zero_point : int
        See ``step``.
    """

    name: str
    channels: int
    flat: bool
    stored: str
    step: float
    zero_point: int
