"""Direct int8 convolution whose sums a fast algorithm gives exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tilewise.algebra.exactness import Reach, reach
from tilewise.algebra.residue import symmetric
from tilewise.algebra.wraparound import WORD
from tilewise.nn.base import Fallback
from tilewise.nn.direct import Conv2d
from tilewise.nn.serving import unservable
from tilewise.nn.stages import Tiling, input_transform, output_transform, tiling_of, weight_transform
from tilewise.quant import Exact, Residue
from tilewise.quant.exact import ResiduePlan, WrappingPlan


class ExactConv2d(Conv2d):
    """The same layer as ``Conv2d`` with ``Direct(bits=8)``, number for number.

    Parameters, ranges, training and calibration are its. In evaluation the integer sums are computed by residues or by
    wrapping sums, as the spec says, which gives the same integers: what a fast kernel does, in torch. Stride, dilation
    and groups are 1.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size : int or (int, int)
        ``(r, r)``, square.
    spec : Exact or Residue
        Which algorithms are allowed.
    fallback : None
        Direct layers have it; an exact one is what was asked for.
    **kwargs
        padding, bias, device, dtype as in ``torch.nn.Conv2d``.

    Raises
    ------
    ValueError
        If the layer is one that a fast algorithm can not serve (see :func:`tilewise.nn.unservable`).
    """

    spec: Exact | Residue

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        *,
        spec: Exact | Residue,
        fallback: Fallback | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, spec=spec, fallback=fallback, **kwargs)
        if why := unservable(self, spec):
            raise ValueError(f"an exact algorithm can not serve this layer: {why}")

    def plan(self) -> WrappingPlan | ResiduePlan:
        """Choose, for the present weights and input range, what the sums are computed by.

        Raises
        ------
        ValueError
            If the spec's moduli do not suffice, with the bound and the smallest set that does.
        RuntimeError
            If the layer has no input range yet.
        """
        low, high = self._limits()
        return self.spec.plan(self._integer_weight(), low, high)

    def _limits(self) -> tuple[int, int]:
        _, low, high = self.observed("input_range").grid()
        return int(low), int(high)

    def _integer_weight(self) -> np.ndarray:
        with torch.no_grad():
            weight: np.ndarray = self.policy.weights(self)[0].cpu().numpy().astype(np.int64)
        return weight

    def _sums(self, q: Tensor, weight: Tensor) -> Tensor:
        """Sums of integers, by the plan in evaluation."""
        if self.training or self.calibrating:
            return super()._sums(q, weight)
        plan, limits = self.plan(), self._limits()
        exact, whole = q.double(), weight.detach().double()
        total = q.new_zeros((), dtype=torch.int64)
        for block in plan.blocks:
            x, w = exact[:, block], whole[:, block]
            bound = reach(w.cpu().numpy(), *limits)
            if isinstance(plan, WrappingPlan):
                total = total + wrapping_sums(x, w, plan, bound, tiling_of(self, x, plan.recipe.algorithm.m))
            else:
                total = total + residue_sums(x, w, plan, bound, tiling_of(self, x, plan.algorithms[0].m))
        return total.to(q.dtype)


def wrapping_sums(x: Tensor, weight: Tensor, plan: WrappingPlan, bound: Reach, tiling: Tiling) -> Tensor:
    """Exact int64 sums of integers in float64, as a kernel makes them: 16-bit factors, sums modulo ``2**32``.

    Products and their sums stay far below ``2**53``, so float64 has them exactly before they wrap.
    """
    recipe = plan.recipe
    at, g, bt = (torch.as_tensor(matrix, dtype=x.dtype, device=x.device) for matrix in recipe.parts)
    product = torch.bmm(weight_transform(weight, g), input_transform(x, bt, tiling))
    z = output_transform(symmetric(product, 2**WORD), at, tiling).long()
    ends = zip(bound.lowest.tolist(), bound.highest.tolist(), strict=True)
    bias = torch.tensor([recipe.bias(low, high) for low, high in ends], device=x.device).view(-1, 1, 1)
    # A product of int64 wraps modulo 2**64, so it is right modulo 2**32.
    shifted: Tensor = symmetric(z * recipe.inverse - (bias << recipe.shift), 2**WORD)
    return (shifted >> recipe.shift) + bias


def residue_sums(x: Tensor, weight: Tensor, plan: ResiduePlan, bound: Reach, tiling: Tiling) -> Tensor:
    """Exact int64 sums of integers in float64 by residues: 8-bit factors, one reduction per stage, mixed radix."""
    middle = torch.as_tensor((bound.lowest + bound.highest + 1) // 2, device=x.device).view(-1, 1, 1)
    residues = []
    for a in plan.algorithms:
        at, g, bt = (torch.tensor(matrix, dtype=x.dtype, device=x.device) for matrix in (a.AT, a.G, a.BT))
        p = a.modulus
        u, v = symmetric(weight_transform(weight, g), p), symmetric(input_transform(x, bt, tiling), p)
        y = output_transform(symmetric(torch.bmm(u, v), p), at, tiling).long()
        residues.append(symmetric(y - middle, p))
    total: Tensor = plan.moduli.mixed_radix(residues) + middle
    return total
