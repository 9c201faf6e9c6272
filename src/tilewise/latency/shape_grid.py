"""Which convolutions are measured on a grid of sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tilewise.latency.shapes import LayerShape


@dataclass(frozen=True, kw_only=True)
class ShapeGrid:
    """Shapes to measure: all combinations.

    Parameters
    ----------
    channels : tuple of int
        Input channels, C.
    resolutions : tuple of int
        Heights, and widths, of the input.
    ratios : tuple of float
        Output channels divided by input channels, K / C.
    kernel : int
        Of the convolution, padded to keep its size.
    stride : int
        Of the convolution.
    batch : int
        Images at once.

    Raises
    ------
    ValueError
        If one of them is empty, or not positive.
    """

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)
    resolutions: tuple[int, ...] = (4, 8, 16, 32)
    ratios: tuple[float, ...] = (1.0, 2.0)
    kernel: int = 3
    stride: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            several = values if isinstance(values, tuple) else (values,)
            if not several or min(several) <= 0:
                raise ValueError(f"{name} is {values}; allowed: positive numbers, at least one")

    def shapes(self) -> list[LayerShape]:
        """Give the shapes, the smallest first."""
        from tilewise.latency.shapes import LayerShape

        found = [
            LayerShape(
                batch=self.batch,
                in_channels=channels,
                out_channels=max(1, round(channels * ratio)),
                kernel=(self.kernel, self.kernel),
                stride=(self.stride, self.stride),
                padding=(self.kernel // 2, self.kernel // 2),
                height=size,
                width=size,
            )
            for channels in self.channels
            for ratio in self.ratios
            for size in self.resolutions
        ]
        return sorted(found, key=lambda shape: shape.operations)
