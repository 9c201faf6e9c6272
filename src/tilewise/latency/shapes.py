"""What a convolution's latency depends on, besides how it is computed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.common.padding import padding_of


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
        return 2 * pixels * self.in_channels * self.out_channels * self.kernel[0] * self.kernel[1]

    @classmethod
    def of(cls, conv: nn.Conv2d, x: Tensor) -> LayerShape:
        """Give the shape of a convolution without groups that reads ``x`` of shape (N, C, H, W).

        Raises
        ------
        ValueError
            If it has groups.
        """
        if conv.groups != 1:
            raise ValueError(f"groups is {conv.groups}; latencies are kept of convolutions with groups = 1")
        return cls(
            batch=x.shape[0],
            in_channels=conv.in_channels,
            out_channels=conv.out_channels,
            kernel=_pair(conv.kernel_size),
            stride=_pair(conv.stride),
            padding=padding_of(conv),
            dilation=_pair(conv.dilation),
            height=x.shape[2],
            width=x.shape[3],
        )


@torch.no_grad()
def layer_shapes(model: nn.Module, example: Tensor) -> dict[str, LayerShape]:
    """Give the shapes of all convolutions that a model runs on an example, by layer name.

    Parameters
    ----------
    model : torch.nn.Module
        Converted or not; it is not changed.
    example : Tensor of shape (N, C, H, W), float32
        Images of the size to serve.

    Raises
    ------
    ValueError
        If a convolution has groups, or reads maps of several sizes.
    """
    found: dict[str, LayerShape] = {}
    model = copy.deepcopy(model).eval()  # hooks, and ranges that a first run would set, stay out of the model

    def note(name: str, conv: nn.Conv2d, args: tuple[Any, ...]) -> None:
        shape = LayerShape.of(conv, args[0])
        if found.setdefault(name, shape) != shape:
            raise ValueError(f"layer {name!r} reads maps of several sizes: {found[name]} and {shape}")

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda conv, args, name=name: note(name, conv, args))
    model(example)
    return found


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
