"""The tile domain of a fast convolution as one autograd function that keeps only its image-sized input.

V and M are ``taps / m**2`` times as large as the images. Keeping them for the backward pass is what makes
straightforward implementations need several times the memory of a direct layer; here V is computed again from the
input instead, and M only where a learned ``A^T`` asks for it. Images go through in pieces small enough for the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tilewise.common.integers import FLOAT32_INTEGERS
from tilewise.nn.stages import (
    Tiling,
    as_products,
    input_tiles,
    input_transform,
    multiply,
    output_transform,
    requantize_,
    sandwich,
    sandwich_backward,
    scatter_tiles,
    split_tiles,
)
from tilewise.quant.rounding import round_half_up_

# V and M of one piece of the batch. Larger pieces leave the cache, and the allocator asks the system for new memory
# each time; smaller ones pay for calls. Of 1 to 16 MiB and the whole batch, 8 and 16 were the fastest. A GPU wants few
# large kernels, and has an allocator that keeps its memory.
PIECE_BYTES, GPU_PIECE_BYTES = 8 * 2**20, 512 * 2**20


@dataclass(frozen=True)
class Requantization:
    """How V and M become integers again. Tensors get no gradient.

    Parameters
    ----------
    mult : Tensor of shape (taps or 1, C or 1, 1)
        Fixed-point multipliers of V.
    low, high : int
        Grid of V.
    product_step : Tensor of shape (), optional
        Step of M's grid, in units of the dequantized product; None leaves M exact.
    product_low, product_high : int
        Grid of M.
    clip_gradient : bool
        Whether values beyond the grid get no gradient.
    bitwise : bool
        Give what the engine gives, bit for bit: transforms in its order of rounding, integers that float32 can not
        hold in float64. Slower, and for the forward pass only: evaluation uses it.
    wide_v : bool
        Whether V and its requantization are exact in float64 only.
    ordered : bool
        Whether V is no exact number, so that its sums need the engine's order.
    """

    mult: Tensor
    low: int
    high: int
    product_step: Tensor | None
    product_low: int
    product_high: int
    clip_gradient: bool
    bitwise: bool = False
    wide_v: bool = False
    ordered: bool = False

    @property
    def clips_product(self) -> bool:
        """Whether M has a grid whose ends stop the gradient."""
        return self.product_step is not None and self.clip_gradient


@dataclass(frozen=True)
class _Piece:
    """The tile domain for some of the images: both directions, with nothing kept in between."""

    u: Tensor
    at: Tensor
    bt: Tensor
    scale: Tensor
    rule: Requantization | None

    def forward(self, x: Tensor, tiling: Tiling) -> tuple[Tensor, Tensor, Tensor]:
        """Output, largest absolute V per tap and input channel, largest absolute product."""
        rule = self.rule
        if rule is not None and rule.bitwise:
            return self._forward_bitwise(x, tiling, rule)
        v = input_transform(x, self.bt, tiling)
        v_absmax = product_absmax = x.new_empty(0)
        if rule is not None:
            v_absmax = _absmax(v, (2,))
            v = requantize_(v, rule.mult, rule.low, rule.high)
        product = multiply(self.u, v, _largest(rule)).mul_(self.scale)
        if rule is not None and rule.product_step is not None:
            product_absmax = _absmax(product, (0, 1, 2))
            product = _quantize_product(product, rule.product_step, rule)
        return output_transform(product, self.at, tiling), v_absmax, product_absmax

    def _forward_bitwise(self, x: Tensor, tiling: Tiling, rule: Requantization) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`forward`, to the engine's last bit; ranges are not measured."""
        wide = torch.float64 if rule.wide_v else x.dtype
        v = input_transform(x.to(wide), self.bt.to(wide), tiling, ordered=rule.ordered)
        v = requantize_(v, rule.mult.to(wide), rule.low, rule.high)
        wide = torch.float64 if self.u.shape[2] * rule.low**2 >= FLOAT32_INTEGERS else x.dtype
        product = multiply(self.u.to(wide), v.to(wide), _largest(rule)).to(x.dtype).mul_(self.scale)
        if rule.product_step is not None:
            product = _quantize_product(product, rule.product_step, rule)
        unmeasured = x.new_empty(0)
        return output_transform(product, self.at, tiling, ordered=True), unmeasured, unmeasured

    def backward(self, x: Tensor, dy: Tensor, tiling: Tiling, needs: Sequence[bool]) -> tuple[Tensor | None, ...]:
        """Gradients of x, u, at and bt, as far as they are needed."""
        need_x, need_u, need_at, need_bt = needs
        rule, channels, taps = self.rule, x.shape[1], len(self.u)
        tiles = input_tiles(x, self.bt, tiling)
        transformed = sandwich(self.bt, tiles)
        v, inside = _v_again(transformed.view(taps, channels, -1), rule)

        product, product_inside = None, None
        if need_at or (rule is not None and rule.clips_product):
            product, product_inside = _product_again(self.u, v, self.scale, rule)
            product = as_products(product, self.at, tiling)
        dy_tiles = split_tiles(dy, tiling)
        dat, dproduct = sandwich_backward(
            self.at, product if need_at else None, dy_tiles if len(self.at) == tiling.m else dy_tiles.flatten(0, 1),
            need_tiles=True,
        )  # fmt: skip
        assert dproduct is not None
        del product
        dproduct = dproduct.view(taps, self.u.shape[1], -1)
        if product_inside is not None:
            dproduct *= product_inside

        du = torch.bmm(dproduct, v.transpose(1, 2)) * self.scale if need_u else None
        del v
        if not (need_x or need_bt):
            return None, du, dat, None
        # Scale and multiplier are factors per tap and channel: cheaper on U than on V.
        factors = self.u * self.scale if rule is None else self.u * self.scale * rule.mult.transpose(1, 2)
        dv = torch.bmm(factors.transpose(1, 2), dproduct)
        if inside is not None:
            dv *= inside
        dbt, dtiles = sandwich_backward(self.bt, tiles if need_bt else None, dv.view_as(transformed), need_tiles=need_x)
        dx = None if dtiles is None else scatter_tiles(dtiles, channels, tiling)
        return dx, du, dat, dbt

    def images_at_once(self, x: Tensor, tiling: Tiling) -> int:
        """How many images to take so that V and M together stay within a piece's bytes."""
        values = self.u.shape[0] * tiling.tiles * (x.shape[1] + self.u.shape[1])
        limit = GPU_PIECE_BYTES if x.is_cuda else PIECE_BYTES
        return max(1, limit // max(1, values * x.element_size()))


class _TileDomain(torch.autograd.Function):
    """``output_transform(multiply(u, requantize(input_transform(x))) * scale)``, some images at a time.

    Also returns the largest absolute V per tap and input channel (taps, C) and the largest absolute product, for the
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
        ctx.save_for_backward(x, u, at, bt, scale)
        ctx.tiling, ctx.rule = tiling, rule
        piece = _Piece(u, at, bt, scale, rule)
        parts = torch.split(x, piece.images_at_once(x, tiling)) if len(x) else (x,)
        results = [piece.forward(part, replace(tiling, batch=len(part))) for part in parts]
        y, v_absmax, product_absmax = zip(*results, strict=True)
        ranges = torch.stack(v_absmax).amax(0), torch.stack(product_absmax).amax(0)
        ctx.mark_non_differentiable(*ranges)
        return torch.cat(y), *ranges

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, u, at, bt, scale = ctx.saved_tensors
        tiling: Tiling = ctx.tiling
        piece = _Piece(u, at, bt, scale, ctx.rule)
        size = piece.images_at_once(x, tiling)
        parts = zip(torch.split(x, size), torch.split(grads[0], size), strict=True) if len(x) else [(x, grads[0])]
        dx: list[Tensor] = []
        sums: list[Tensor | None] = [None, None, None]
        for part, dy in parts:
            part_dx, *rest = piece.backward(part, dy, replace(tiling, batch=len(part)), ctx.needs_input_grad[:4])
            if part_dx is not None:
                dx.append(part_dx)
            sums = [new if old is None or new is None else old.add_(new) for old, new in zip(sums, rest, strict=True)]
        return torch.cat(dx) if dx else None, *sums, None, None, None


def _v_again(v: Tensor, rule: Requantization | None) -> tuple[Tensor, Tensor | None]:
    """Requantize V as the forward pass did; tell what was inside the grid if clipping stops the gradient."""
    if rule is None:
        return v, None
    if not rule.clip_gradient:
        return requantize_(v, rule.mult, rule.low, rule.high), None
    v = round_half_up_(v.mul_(rule.mult))
    inside = (v >= rule.low).logical_and_(v <= rule.high)
    return v.clamp_(rule.low, rule.high), inside


def _product_again(u: Tensor, v: Tensor, scale: Tensor, rule: Requantization | None) -> tuple[Tensor, Tensor | None]:
    """Compute M as the forward pass did; tell what was inside its grid if clipping stops the gradient."""
    product = multiply(u, v, _largest(rule)).mul_(scale)
    if rule is None or rule.product_step is None:
        return product, None
    inside = None
    if rule.clips_product:
        inside = product.abs() < (rule.product_high + 0.5) * rule.product_step
    return _quantize_product(product, rule.product_step, rule), inside


def _largest(rule: Requantization | None) -> int | None:
    """Largest absolute value of U and V; None where they are no integers."""
    return None if rule is None else max(-rule.low, rule.high)


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
    """Run the tile domain: ``x`` (N, C, H, W), ``u`` (taps, K, C) -> output (N, K, H_out, W_out), V range, M range.

    Differentiable in ``x``, ``u``, ``at`` and ``bt``; ``scale`` (taps, K, 1) or () and ``rule`` are constants.
    """
    out: tuple[Tensor, Tensor, Tensor] = _TileDomain.apply(x, u, at, bt, scale, tiling, rule)  # type: ignore[no-untyped-call]
    return out
