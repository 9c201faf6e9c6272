"""A linear layer as a convolution of one pixel, so that it has a spec, ranges and kernels as any other."""

from __future__ import annotations

from torch import Tensor, nn

from tilewise.nn.base import Fallback
from tilewise.nn.direct import Conv2d
from tilewise.quant import Direct


class Linear(Conv2d):
    """A ``torch.nn.Linear`` that was given a spec.

    It reads (..., C) and gives (..., K); its weight has the shape (K, C, 1, 1). All else is as in :class:`Conv2d`.
    """

    @classmethod
    def from_linear(cls, linear: nn.Linear, spec: Direct, fallback: Fallback | None = None) -> Linear:
        """Build the layer around a linear layer's weight and bias, bit for bit."""
        plain = nn.Conv2d(linear.in_features, linear.out_features, 1, bias=linear.bias is not None, device="meta")
        trained = linear.weight.requires_grad
        plain.weight = nn.Parameter(linear.weight.detach()[:, :, None, None], requires_grad=trained)
        plain.bias = linear.bias
        return cls.from_conv(plain.train(linear.training), spec, fallback)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply ``x`` of shape (..., C)."""
        y = super().forward(x.reshape(-1, x.shape[-1], 1, 1))
        return y.view(*x.shape[:-1], self.out_channels)
