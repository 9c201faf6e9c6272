"""The inputs and outputs of a compiled network, as callers know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tilewise.engine.program import Layout

Extents: TypeAlias = tuple[int, int, int, int]
"""N, C, H, W."""


def check_layout(layout: str) -> None:
    """Refuse another order of axes."""
    if layout not in ("NCHW", "NHWC"):
        raise ValueError(f"layout is {layout!r}; allowed: NCHW, NHWC")


def nchw(shape: tuple[int, ...], layout: Layout) -> Extents:
    """Return the extents of images in a layout."""
    n, a, b, c = shape
    return (n, a, b, c) if layout == "NCHW" else (n, c, a, b)


class Axis(NamedTuple):
    """What the height or width of an input must be: ``size``, or if that is 0 a multiple of ``multiple``."""

    size: int = 0
    multiple: int = 1


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

    def allowed(self, layout: Layout) -> str:
        """Say which shapes images may have."""
        size = [str(size) if size else axis for size, axis in zip(self.size, "HW", strict=True)]
        axes = ["N", str(self.channels), *size] if layout == "NCHW" else ["N", *size, str(self.channels)]
        return f"({', '.join(axes)})"


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
        Whether it is no map (N, C, H, W), but has the axes that the model gives it.
    channels_last : bool
        Whether a flat one's numbers come pixel by pixel, all channels of each.
    axes : tuple of (int, int, int, int)
        Those of a flat one after N: multiple, divisor, rows, columns stand for an axis of
        ``multiple * (H if rows) * (W if columns) / divisor``.
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
    channels_last: bool
    axes: tuple[tuple[int, int, int, int], ...]
    stored: str
    step: float
    zero_point: int

    def shape(self, images: int, channels: int, height: int, width: int) -> tuple[int, ...]:
        """Return the shape that callers see of a map (N, C, H, W)."""
        if not self.flat:
            return (images, channels, height, width)
        extents = (
            multiple * (height if rows else 1) * (width if columns else 1) // divisor
            for multiple, divisor, rows, columns in self.axes
        )
        return (images, *extents)

    def seen(self, extents: Extents, layout: Layout) -> tuple[int, ...]:
        """Return the shape that callers see of a result in a layout."""
        n, c, h, w = extents
        return (n, h, w, c) if layout == "NHWC" and not self.flat else self.shape(n, c, h, w)
