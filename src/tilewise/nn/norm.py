"""Batch norms that the convolution before them takes in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Affine(NamedTuple):
    """``y * alpha + beta`` per output channel, what a batch norm is in evaluation."""

    alpha: Tensor
    beta: Tensor


def affine_of(weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float) -> Affine:
    """Return batch normalisation with fixed statistics as a factor and an offset per channel."""
    alpha = 1 / torch.sqrt(var + eps) if weight is None else weight / torch.sqrt(var + eps)
    return Affine(alpha, -mean * alpha if bias is None else bias - mean * alpha)


class FoldedNorm(nn.BatchNorm2d):
    """A batch norm whose work the quantized convolution before it does in evaluation, as in the engine.

    Folding rounds in other places than a batch norm of its own, and on 8-bit grids a rounding next to a half becomes
    a step, which the layers after it carry on. So that a model evaluates to exactly what runs, both fold.
    """

    conv: tuple[nn.Module, ...] = ()  # in a tuple: it belongs to the network, not to this module

    @classmethod
    def attach(cls, norm: nn.BatchNorm2d, conv: nn.Module) -> None:
        """Turn a batch norm into one that ``conv`` takes in."""
        norm.__class__ = cls
        assert isinstance(norm, cls)
        norm.conv = (conv,)

    def detach_from_conv(self) -> None:
        """Turn it back."""
        del self.conv
        self.__class__ = nn.BatchNorm2d  # type: ignore[assignment]

    def folded(self) -> Affine | None:
        """What the convolution has to do, in evaluation."""
        if self.training or any(conv.training for conv in self.conv):
            return None
        assert self.running_mean is not None
        assert self.running_var is not None
        return affine_of(self.weight, self.bias, self.running_mean, self.running_var, self.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize, unless the convolution has."""
        return x if self.folded() is not None else super().forward(x)
