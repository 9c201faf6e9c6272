"""The tile domain of a fast convolution as one autograd function that keeps only its image-sized input.

V and M are ``n**2 / m**2`` times as large as the images. Keeping them for the backward pass is what makes
straightforward implementations need several times the memory of a direct layer; here V is computed again from the
input instead, and M only where a learned ``A^T`` asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tilewise.nn.stages import (
    Tiling,
    extract_tiles,
    input_transform,
    multiply,
    output_transform,
    requantize_,
    sandwich,
    sandwich_backward,
    scatter_tiles,
    split_tiles,
)


@dataclass(frozen=True)
class Requantization:
    """How V and M become integers again. Tensors get no gradient.

    Parameters
    ----------
    mult : Tensor of shape (n*n or 1, C or 1, 1)
        Fixed-point multipliers of V.
    low, high : int
        Grid of V.
    product_step : Tensor of shape (), optional
        Step of M's grid, in units of the dequantized product; None leaves M exact.
    product_low, product_high : int
        Grid of M.
    clip_gradient : bool
        Whether values beyond the grid get no gradient.
    """

    mult: Tensor
    low: int
    high: int
    product_step: Tensor | None
    product_low: int
    product_high: int
    clip_gradient: bool

    @property
    def clips_product(self) -> bool:
        """Whether M has a grid whose ends stop the gradient."""
        return self.product_step is not None and self.clip_gradient


class _TileDomain(torch.autograd.Function):
    """``output_transform(multiply(u, requantize(input_transform(x))) * scale)``.

    Also returns the largest absolute V per tap and input channel (n*n, C) and the largest absolute product, for the
    running ranges; both are empty without requantization and carry no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        u: Tensor,
        at: Tensor,
        bt: Tensor,
        scale: Tensor,
        tiling: Tiling,
        rule: Requantization | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        v = input_transform(x, bt, tiling)
        v_absmax = product_absmax = x.new_empty(0)
        if rule is not None:
            v_absmax = _absmax(v, (2,))
            v = requantize_(v, rule.mult, rule.low, rule.high)
        product = multiply(u, v).mul_(scale)
        if rule is not None and rule.product_step is not None:
            product_absmax = _absmax(product, (0, 1, 2))
            product = _quantize_product(product, rule.product_step, rule)
        ctx.save_for_backward(x, u, at, bt, scale)
        ctx.tiling, ctx.rule = tiling, rule
        ctx.mark_non_differentiable(v_absmax, product_absmax)
        return output_transform(product, at, tiling), v_absmax, product_absmax

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, u, at, bt, scale = ctx.saved_tensors
        tiling: Tiling = ctx.tiling
        rule: Requantization | None = ctx.rule
        need_x, need_u, need_at, need_bt = ctx.needs_input_grad[:4]
        n, channels = bt.shape[0], x.shape[1]

        tiles = extract_tiles(x, tiling)
        v, inside = _v_again(sandwich(bt, tiles).view(n * n, channels, -1), rule)

        dy = split_tiles(grads[0], tiling)
        product, product_inside = None, None
        if need_at or (rule is not None and rule.clips_product):
            product, product_inside = _product_again(u, v, scale, rule)
            product = product.view(n, n, -1)
        dat, dproduct = sandwich_backward(at, product if need_at else None, dy, need_tiles=True)
        assert dproduct is not None
        del product
        dproduct = dproduct.view(n * n, u.shape[1], -1)
        if product_inside is not None:
            dproduct *= product_inside

        du = torch.bmm(dproduct, v.transpose(1, 2)) * scale if need_u else None
        del v
        dx = dbt = None
        if need_x or need_bt:
            # Scale and multiplier are factors per tap and channel: cheaper on U than on V.
            factors = u * scale if rule is None else u * scale * rule.mult.transpose(1, 2)
            dv = torch.bmm(factors.transpose(1, 2), dproduct)
            if inside is not None:
                dv *= inside
            dv = dv.view(n, n, -1)
            dbt, dtiles = sandwich_backward(bt, tiles if need_bt else None, dv, need_tiles=need_x)
            dx = None if dtiles is None else scatter_tiles(dtiles, channels, tiling)
        return dx, du, dat, dbt, None, None, None


def _v_again(v: Tensor, rule: Requantization | None) -> tuple[Tensor, Tensor | None]:
    """Requantize V as the forward pass did; tell what was inside the grid if clipping stops the gradient."""
    if rule is None:
        return v, None
    if not rule.clip_gradient:
        return requantize_(v, rule.mult, rule.low, rule.high), None
    v = v.mul_(rule.mult).add_(0.5).floor_()
    inside = (v >= rule.low).logical_and_(v <= rule.high)
    return v.clamp_(rule.low, rule.high), inside


def _product_again(u: Tensor, v: Tensor, scale: Tensor, rule: Requantization | None) -> tuple[Tensor, Tensor | None]:
    """Compute M as the forward pass did; tell what was inside its grid if clipping stops the gradient."""
    product = multiply(u, v).mul_(scale)
    if rule is None or rule.product_step is None:
        return product, None
    inside = None
    if rule.clips_product:
        inside = product.abs() < (rule.product_high + 0.5) * rule.product_step
    return _quantize_product(product, rule.product_step, rule), inside


def _quantize_product(product: Tensor, step: Tensor, rule: Requantization) -> Tensor:
    """Round M to its grid and come back, in place."""
    return requantize_(product, 1.0 / step, rule.product_low, rule.product_high).mul_(step)


def _absmax(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Largest absolute value over ``dims``; zero where there are no values (an empty batch)."""
    if x.numel() == 0:
        return x.new_zeros([size for d, size in enumerate(x.shape) if d not in dims])
    return torch.maximum(x.amax(dims), -x.amin(dims))


def tile_domain(
    x: Tensor, u: Tensor, at: Tensor, bt: Tensor, scale: Tensor, tiling: Tiling, rule: Requantization | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the tile domain: ``x`` (N, C, H, W), ``u`` (n*n, K, C) -> output (N, K, H_out, W_out), V range, M range.

    Differentiable in ``x``, ``u``, ``at`` and ``bt``; ``scale`` (n*n, K, 1) or () and ``rule`` are constants.
    """
    out: tuple[Tensor, Tensor, Tensor] = _TileDomain.apply(x, u, at, bt, scale, tiling, rule)  # type: ignore[no-untyped-call]
    return out
