"""Batch norms that the convolution before them takes in."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from tilewise.quant.rounding import root


class Affine(NamedTuple):
    """``y * alpha + beta`` per output channel, what a batch norm is in evaluation."""

    alpha: Tensor
    beta: Tensor


def affine_of(weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, eps: float) -> Affine:
    """Return batch normalisation with fixed statistics as a factor and an offset per channel."""
    deviation = root(var + eps)
    alpha = 1 / deviation if weight is None else weight / deviation
    return Affine(alpha, -mean * alpha if bias is None else bias - mean * alpha)


class OrderedNorm(nn.BatchNorm2d):
    """A batch norm that in evaluation multiplies and adds as the engine does, each rounded on its own.

    Torch may fuse the two, or multiply in another order; a last bit that differs becomes a step where an 8-bit grid
    comes next.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize."""
        if self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        affine = affine_of(self.weight, self.bias, self.running_mean, self.running_var, self.eps)
        return x * affine.alpha.view(1, -1, 1, 1) + affine.beta.view(1, -1, 1, 1)


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


def order_norms(model: nn.Module) -> None:
    """Let batch norms that no convolution takes in round, in evaluation, as the engine does; in place."""
    for norm in model.modules():
        if type(norm) is nn.BatchNorm2d and norm.running_mean is not None:
            norm.__class__ = OrderedNorm


def plain_norms(model: nn.Module) -> None:
    """Turn folded and ordered batch norms back into torch's, in place."""
    for norm in model.modules():
        if isinstance(norm, FoldedNorm):
            norm.detach_from_conv()
        elif isinstance(norm, OrderedNorm):
            norm.__class__ = nn.BatchNorm2d  # type: ignore[assignment]
