"""Direct convolution at a bit width: the baseline that runs the same number contract."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tilewise.common.integers import FLOAT32_INTEGERS
from tilewise.nn.base import Fallback, QuantizedConv
from tilewise.nn.frozen import Frozen, array, integer_type
from tilewise.quant import FLOAT_BITS, Direct, Exact, QuantGrid, Residue


class Conv2d(QuantizedConv):
    """Direct convolution with quantized input and weights.

    Everything ``torch.nn.Conv2d`` does (stride, dilation, groups, padding modes), at ``spec.bits``. Inputs are
    quantized per tensor by a running range, weights symmetrically by their largest absolute value per output channel
    (``"tap"`` quantizer) or per tensor by a running range (``"paper"``, which quantizes the output too).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, **kwargs
        As in ``torch.nn.Conv2d``.
    spec : Direct, or Exact or Residue (see :class:`tilewise.nn.LosslessConv2d`)
        Bit width and quantizer.
    fallback : Fallback, optional
        What was asked for instead, and why the layer is direct.
    """

    spec: Direct | Exact | Residue

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        spec: Direct | Exact | Residue,
        fallback: Fallback | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, spec=spec, fallback=fallback, **kwargs)
        if spec.bits != FLOAT_BITS:
            self.add_range("input_range", spec.bits)
            for name in self.policy.direct_ranges:
                self.add_range(name, spec.bits)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape (N, C, H, W)."""
        self.check_input(x)
        if self.spec.bits == FLOAT_BITS:
            plain: Tensor = self._conv_forward(self.scaled(x), self.folded_weight(), self.folded_bias())
            return plain
        if self.training and self.policy.is_contract:
            return self._train(x)
        q, step = self.quantized("input_range", x)
        weight, weight_step = self.policy.weights(self)
        y = self._sums(q, weight).mul_(self._scale(step, weight_step).view(1, -1, 1, 1))
        return self.policy.output(self, self.add_bias(y))

    def frozen(self) -> Frozen:
        """Return the layer's numbers as arrays, made from the very tensors that :meth:`forward` uses in evaluation."""
        bias = array(self.folded_bias(), self.out_channels)
        if self.spec.bits == FLOAT_BITS:
            return Frozen(weight=array(self.folded_weight().permute(0, 2, 3, 1)), bias=bias)
        grid = QuantGrid.of(self.observed("input_range"))
        weight, weight_step = self.policy.weights(self)
        step = self.get_range("input_range").grid()[0]
        scale = self._scale(step, weight_step).expand(self.out_channels)
        weight = weight.permute(0, 2, 3, 1)
        dtype = integer_type(self.spec.bits)
        return Frozen(weight=array(weight, dtype=dtype), bias=bias, grid=grid, scale=array(scale))

    def _train(self, x: Tensor) -> Tensor:
        """Convolve with the steps multiplied into both factors: a pass less over the output in each direction."""
        real, _ = self.quantized("input_range", x, real=True)
        weight, weight_step = self.policy.weights(self)
        y: Tensor = self._conv_forward(real, weight * weight_step, self.bias)
        return y

    def _scale(self, step: Tensor, weight_step: Tensor) -> Tensor:
        """Real value of one step of the sums, shape (K or 1,)."""
        return self.folded_scale((step * weight_step).view(-1))

    def _sums(self, q: Tensor, weight: Tensor) -> Tensor:
        """Sums of integers; in evaluation in float64 if float32 may be too short for them."""
        wide = q.dtype
        if (
            not self.training
            and 2.0**self.spec.bits * float(weight.detach().abs().sum((1, 2, 3)).amax()) >= FLOAT32_INTEGERS
        ):
            wide = torch.float64
        sums: Tensor = self._conv_forward(q.to(wide), weight.to(wide), None)
        return sums.to(q.dtype)
