"""What a convolution's latency depends on, besides how it is computed; and which sizes a grid has."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tilewise.common.padding import padding_of

if TYPE_CHECKING:
    from torch import Tensor, nn


LARGEST = 65536
"""Channels, height and width that an engine takes."""


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """Sizes of one convolution and of the map that it reads.

    Parameters
    ----------
    batch : int
        Images at once.
    in_channels, out_channels : int
        C and K.
    kernel, stride, padding, dilation : (int, int)
        Rows and columns, as in ``torch.nn.Conv2d``.
    height, width : int
        Of the input.
    groups : int
        As in ``torch.nn.Conv2d``.
    """

    batch: int
    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    height: int
    width: int
    groups: int = 1

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the output."""
        sizes = zip((self.height, self.width), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        rows, cols = ((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in sizes)
        return rows, cols

    @property
    def operations(self) -> int:
        """Two for each multiply-add of a direct convolution."""
        pixels = self.batch * self.out[0] * self.out[1]
        return 2 * pixels * self.in_channels * self.out_channels * self.kernel[0] * self.kernel[1] // self.groups

    @classmethod
    def of(cls, conv: nn.Conv2d, x: Tensor) -> LayerShape:
        """Return the shape of a convolution that reads ``x`` of shape (N, C, H, W), or of a linear layer, (N, C)."""
        height, width = x.shape[2:] if x.ndim == 4 else (1, 1)
        return cls(
            batch=x.shape[0],
            in_channels=conv.in_channels,
            out_channels=conv.out_channels,
            kernel=_pair(conv.kernel_size),
            stride=_pair(conv.stride),
            padding=padding_of(conv),
            dilation=_pair(conv.dilation),
            height=height,
            width=width,
            groups=conv.groups,
        )


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
        If one of them is empty, or not positive, or larger than an engine takes, as a number or as a count.
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
            if not several or not all(0 < value <= LARGEST for value in several):  # NaN is not
                raise ValueError(f"{name} is {values}; allowed: numbers above 0, up to {LARGEST}, at least one")
        if (widest := max(self.channels) * max(self.ratios)) > LARGEST:
            raise ValueError(f"channels times ratios reach {widest:g}; allowed: up to {LARGEST}")
        if (count := len(self.channels) * len(self.resolutions) * len(self.ratios)) > LARGEST:
            raise ValueError(f"the grid has {count} shapes; allowed: up to {LARGEST}")

    def shapes(self) -> list[LayerShape]:
        """Return the shapes, the smallest first."""
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


def layer_shapes(model: nn.Module, example: Tensor) -> dict[str, LayerShape]:
    """Return the shapes of all convolutions that a model runs on an example, by layer name.

    Parameters
    ----------
    model : torch.nn.Module
        Converted or not; it is not changed.
    example : Tensor of shape (N, C, H, W), float32
        Images of the size to serve.

    Raises
    ------
    ValueError
        If a convolution reads maps of several sizes.
    """
    import torch
    from torch import nn

    found: dict[str, LayerShape] = {}
    model = copy.deepcopy(model).eval()  # hooks, and ranges that a first run would set, stay out of the model

    def note(name: str, conv: nn.Conv2d, args: tuple[Any, ...]) -> None:
        shape = LayerShape.of(conv, args[0])
        if found.setdefault(name, shape) != shape:
            raise ValueError(f"layer {name!r} reads maps of several sizes: {found[name]} and {shape}")

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda conv, args, name=name: note(name, conv, args))
    with torch.no_grad():
        model(example)
    return found


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
