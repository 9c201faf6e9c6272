"""The integers that a tensor is quantized to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from tilewise.quant.fake import Range


@dataclass(frozen=True)
class QuantGrid:
    """The integers that a tensor is quantized to; each number is a float32.

    Parameters
    ----------
    step : float
        Real value of one step.
    factor : float
        ``1 / step`` as the layers compute it: what real numbers are multiplied by.
    low, high : int
        Smallest and largest integer.
    """

    step: float
    factor: float
    low: int
    high: int

    @property
    def dtype(self) -> str:
        """What the engine stores these integers as: bytes, with 128 added where there are negative ones, or int16."""
        return "uint8" if self.high - self.low <= 255 else "int16"

    @classmethod
    def of(cls, source: Range) -> Self:
        """Return the grid of a running range."""
        step, low, high = source.grid()
        return cls(float(step), float(1.0 / step), int(low), int(high))

    @classmethod
    def of_step(cls, step: float, low: int, high: int) -> Self:
        """Return the grid of a float32 step, with the factor that float32 gives."""
        return cls(step, float32(1.0 / step), low, high)


def float32(x: float) -> float:
    """Round to float32. A quotient of two such numbers is, computed in float64, what float32 would have given."""
    return float(np.float32(x))
