"""How to calibrate: a frozen config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """How to refine a network layer by layer after its ranges were measured, without training and without labels.

    The defaults follow from measurements on ResNet-20 (docs/results/calibration.md); more images and steps bring it
    nearer.

    Parameters
    ----------
    ranges : {"max", "percentile", "mse"}
        Where ranges of inputs and, per tap, of V end: at the largest value, at the value that one in 10,000 exceeds,
        or where the mean square error of rounding and clipping is least.
    balance : bool
        Give V's input channels grids of their own, as far as that brings the layer's output nearer to float.
    correct_bias : bool
        Take the mean error of every output channel into the bias.
    reconstruct : int
        Steps of gradient descent, 0 for none: weights, and transforms where they are learned, of each fast layer.
    seed : int
        Of the images that these steps draw.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    ranges: Literal["max", "percentile", "mse"] = "max"
    balance: bool = True
    correct_bias: bool = True
    reconstruct: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        if self.ranges not in ("max", "percentile", "mse"):
            raise ValueError(f"ranges is {self.ranges!r}; allowed: max, percentile, mse")
        if self.reconstruct < 0:
            raise ValueError(f"reconstruct is {self.reconstruct}; it must be at least 0")
