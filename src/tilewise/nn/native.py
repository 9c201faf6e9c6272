"""Training on the kernels of the native extension: which layers it serves, and the autograd functions over it.

Forward and backward of a quantized fast convolution are one native call each. Between them nothing is kept but the
input, the weights and U in bytes: tiles are quantized and transformed again on the way back, block by block in the
cache. docs/decisions/training.md has the reasons; the same layers in plain torch (``function.py``) are what this is
tested with.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tilewise.algebra import Algorithm, Planar
from tilewise.quant import QuantGrid

Extremes: TypeAlias = tuple[float, float]
"""The smallest and the largest value of a tensor."""


@functools.cache
def extension() -> ModuleType | None:
    """Return the compiled module, or None where there is none: training works without."""
    try:
        from tilewise import _native
    except ImportError:
        return None
    return _native


def _isa() -> str:
    return os.environ.get("TILEWISE_ISA", "")


def unserved(x: Tensor) -> str:
    """Say why the kernels do not quantize a tensor in training; empty if they do."""
    reasons = {
        "it is empty": x.numel() == 0,
        f"it is on {x.device.type}": x.device.type != "cpu",
        f"it is {x.dtype}": x.dtype != torch.float32,
        "autocast is on": torch.is_autocast_enabled("cpu"),
        "the model is being traced": torch.compiler.is_compiling(),
    }
    for reason, applies in reasons.items():
        if applies:
            return reason
    native = extension()
    if native is None:
        return "the native extension is not built"
    return "" if native.trains(2, 3, 4, _isa()) else f"the kernel set {_isa()} does not train"


def _limits(grid: QuantGrid) -> dict[str, Any]:
    """Return a grid as the kernels take it, but for its step."""
    return {"grid": (grid.low, grid.high), "factor": grid.factor}


def trains(algorithm: Algorithm) -> bool:
    """Whether the kernels have an algorithm's sizes."""
    native = extension()
    if algorithm.stride > 1 or isinstance(algorithm, Planar):
        return False
    return native is not None and bool(native.trains(algorithm.m, algorithm.r, algorithm.products, _isa()))


class _Quantize(torch.autograd.Function):
    """``clamp(round_half_up(x / step)) * unit`` in one pass, with the range of ``x``; its gradient in another."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: QuantGrid, unit: float) -> tuple[Tensor, Extremes]:
        native = extension()
        assert native is not None
        ctx.save_for_backward(x)
        ctx.numbers = _limits(grid)
        ctx.gradient = unit * ctx.numbers["factor"]
        dense = _dense(x)
        q = torch.empty_like(dense)
        extremes = native.quantize(
            x=_flat(dense), q=_flat(q), step=unit, threads=torch.get_num_threads(), isa=_isa(), **ctx.numbers
        )
        return q, extremes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dq: Tensor, _: None) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        native = extension()
        assert native is not None
        x = _dense(x)
        dx = torch.empty_like(x)
        if dq.stride() != x.stride():
            dq = torch.empty_like(x).copy_(dq)
        native.quantize_backward(
            x=_flat(x), dq=_flat(dq), dx=_flat(dx), gradient=ctx.gradient, threads=torch.get_num_threads(), isa=_isa(),
            **ctx.numbers,
        )  # fmt: skip
        return dx, None, None


def _dense(x: Tensor) -> Tensor:
    """Return ``x`` without gaps in memory, in its own order of dimensions if it is one of torch's."""
    if x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return x
    return x.contiguous()


def _flat(x: Tensor) -> Any:
    """All numbers of a tensor without gaps, in the order of its memory."""
    return x.detach().as_strided((x.numel(),), (1,)).numpy()


def quantize(x: Tensor, grid: QuantGrid, unit: float) -> tuple[Tensor, Extremes]:
    """Quantize as :func:`tilewise.quant.fake.quantize` with clipped gradients, times ``unit``; and measure ``x``."""
    out: tuple[Tensor, Extremes] = _Quantize.apply(x, grid, unit)  # type: ignore[no-untyped-call]
    return out


@dataclass(frozen=True)
class Numbers:
    """What a fast convolution computes with beside its tensors; no gradient.

    Parameters
    ----------
    grid : QuantGrid
        Of the input.
    v_range : Tensor of shape (n*n, C)
        Largest absolute values of V, and of U the other way around where ``balance`` is not one.
    balance : Tensor of shape (n*n, C)
        V is divided by it, U multiplied.
    fraction_bits : int
        Of the multipliers of V.
    limit : int
        V and U lie in -limit .. limit.
    padding : (int, int)
        Rows and columns of zeros around the image.
    """

    grid: QuantGrid
    v_range: Tensor
    balance: Tensor
    fraction_bits: int
    limit: int
    padding: tuple[int, int]

    def step(self, at: Tensor, g: Tensor, bt: Tensor) -> Any:
        """Return the native object, which has forward and backward."""
        native = extension()
        assert native is not None
        return native.TrainingStep(
            at=_array(at), g=_array(g), bt=_array(bt), v_range=_array(self.v_range), balance=_array(self.balance),
            fraction_bits=self.fraction_bits, limit=self.limit, padding=self.padding, step=self.grid.step,
            threads=torch.get_num_threads(), isa=_isa(), **_limits(self.grid),
        )  # fmt: skip


class _FastConv(torch.autograd.Function):
    """A quantized fast convolution from float images to float images."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        at: Tensor,
        g: Tensor,
        bt: Tensor,
        numbers: Numbers,
    ) -> tuple[Tensor, Tensor, Extremes]:
        step = numbers.step(at, g, bt)
        (n, _, h, w), (k, channels, r, _) = x.shape, weight.shape
        taps = len(bt) ** 2
        u = torch.empty(step.u_bytes(k), dtype=torch.uint8)
        scale, v_absmax = x.new_empty(taps, k), x.new_empty(taps, channels)
        out = h + 2 * numbers.padding[0] - r + 1, w + 2 * numbers.padding[1] - r + 1
        y = torch.empty(n, k, *out, memory_format=torch.channels_last)
        extremes = step.forward(
            x=_images(x), weight=_filters(weight), bias=None if bias is None else _array(bias), u=u.numpy(),
            scale=scale.numpy(), y=y.permute(0, 2, 3, 1).numpy(), v_absmax=v_absmax.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(x, weight, at, g, bt, u, scale)
        ctx.step = step
        ctx.mark_non_differentiable(v_absmax)
        return y, v_absmax, extremes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, at, g, bt, u, scale = ctx.saved_tensors
        need_x, need_weight, need_bias, *need_transforms = ctx.needs_input_grad[:6]
        dx = dweight = None
        matrices: list[Tensor | None] = [None, None, None]
        if need_x:
            dx = torch.empty(x.shape, memory_format=torch.channels_last)
        if any(need_transforms):
            matrices = [torch.empty_like(matrix, memory_format=torch.contiguous_format) for matrix in (at, g, bt)]
        if need_weight or any(need_transforms):
            dweight = torch.empty_like(weight)
        images = None if dx is None else dx.permute(0, 2, 3, 1)
        results = dict(zip(("dx", "dweight", "dat", "dg", "dbt"), (images, dweight, *matrices), strict=True))
        if any(result is not None for result in results.values()):
            ctx.step.backward(
                x=_images(x), weight=_filters(weight), u=u.numpy(), scale=scale.numpy(), dy=_images(dy),
                **{name: None if d is None else d.numpy() for name, d in results.items()},
            )  # fmt: skip
        return (
            dx,
            dweight if need_weight else None,
            dy.sum((0, 2, 3)) if need_bias else None,
            *(matrix if need else None for matrix, need in zip(matrices, need_transforms, strict=True)),
            None,
        )


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _images(x: Tensor) -> Any:
    """(N, C, H, W) as an array (N, H, W, C): no copy if ``x`` lies in memory like that."""
    return x.detach().permute(0, 2, 3, 1).contiguous().numpy()


def _filters(weight: Tensor) -> Any:
    """(K, C, r, r) with whatever strides it has."""
    return weight.detach().numpy()


def fast_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, transforms: tuple[Tensor, Tensor, Tensor], numbers: Numbers
) -> tuple[Tensor, Tensor, Extremes]:
    """Convolve by an algorithm, every stage quantized.

    Parameters
    ----------
    x : Tensor of shape (N, C, H, W), float32
        Real numbers, in any memory format.
    weight : Tensor of shape (K, C, r, r)
        Real weights.
    bias : Tensor of shape (K,), optional
        Added at the end.
    transforms : tuple of Tensor
        ``A^T``, ``G`` and ``B^T`` as they are used.
    numbers : Numbers
        Everything else.

    Returns
    -------
    y : Tensor of shape (N, K, H_out, W_out)
        In the memory format channels last.
    v_absmax : Tensor of shape (n*n, C)
        Largest absolute V of this batch, in steps of the input's grid; without gradient.
    extremes : (float, float)
        Smallest and largest value of ``x``.
    """
    out: tuple[Tensor, Tensor, Extremes] = _FastConv.apply(x, weight, bias, *transforms, numbers)  # type: ignore[no-untyped-call]
    return out
