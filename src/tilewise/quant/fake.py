"""Fake quantization in torch: running ranges, fixed-point multipliers.

Integers are held in floating point tensors. In float32 they are exact up to 2**24; docs/contracts/numbers.md shows why
that makes the 8-bit pipeline exact from end to end.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.common.processes import ALONE, Processes
from tilewise.quant.grid import QuantGrid, float32
from tilewise.quant.quantizer import MULTIPLIER_BITS, TRANSFORM_ENTRY, TRANSFORM_ROW_SUM, Quantizer
from tilewise.quant.rounding import round_half_up_

LOPSIDED = 2.0
"""A range whose largest value is so many times as far from 0 as its smallest has a grid from the smallest value on."""

BYTE = 8
"""Widest grid, in bits, that may begin anywhere."""


def multiplier(ratio: Tensor, fraction_bits: int) -> Tensor:
    """Return the fixed-point multiplier ``mult / 2**fraction_bits`` for a wanted ratio of steps.

    Rounded down, so that the new range covers what the old one covered, with 1 <= mult <= 2**15 - 1: a ratio of one
    already keeps every integer, so no larger one is ever needed.

    Parameters
    ----------
    ratio : Tensor
        Old step divided by new step, positive.
    fraction_bits : int
        See :func:`tilewise.quant.quantizer.fraction_bits`.

    Returns
    -------
    Tensor
        Same shape and dtype, each value a multiple of ``2**-fraction_bits`` in (0, 1).
    """
    unit = float(2**fraction_bits)
    return (ratio * unit).floor().clamp(1, 2**MULTIPLIER_BITS - 1) / unit


class _Quantize(torch.autograd.Function):
    """``clamp(round_half_up(x * factor), low, high)`` with a straight-through gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        factor: Tensor,
        low: Tensor,
        high: Tensor,
        clip_gradient: bool,
    ) -> Tensor:
        q = round_half_up_(x * factor)
        inside = (q >= low).logical_and_(q <= high) if clip_gradient else None
        ctx.save_for_backward(factor, inside)
        return q.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        factor, inside = ctx.saved_tensors
        grad = grads[0] * factor
        return (grad if inside is None else grad.mul_(inside)), None, None, None, None


def quantize(x: Tensor, step: Tensor, low: Tensor, high: Tensor, *, clip_gradient: bool) -> Tensor:
    """Quantize to integers ``low .. high`` in steps of ``step``; the gradient passes straight through.

    Parameters
    ----------
    x, step : Tensor
        ``step`` is positive, broadcasts against ``x`` and gets no gradient.
    low, high : Tensor
        Limits of the grid, broadcasting too.
    clip_gradient : bool
        Whether values outside the grid get no gradient.

    Returns
    -------
    Tensor
        Integer-valued, shape and dtype of ``x``. Multiply by ``step`` to come back.
    """
    out: Tensor = _Quantize.apply(x, 1.0 / step, low, high, clip_gradient)  # type: ignore[no-untyped-call]
    return out


def on_transform_grid(matrix: Tensor, fraction_bits: int) -> Tensor:
    """Round a learned ``B^T`` to multiples of ``2**-fraction_bits`` with which V is exact.

    A row that is too large for the bound is scaled down first. The gradient passes straight through the rounding, and
    stops at entries that were clamped.

    Parameters
    ----------
    matrix : Tensor of shape (n, t)
        As trained.
    fraction_bits : int
        See :func:`tilewise.quant.quantizer.transform_bits`.
    """
    out: Tensor = _OnTransformGrid.apply(matrix, 2.0**fraction_bits)  # type: ignore[no-untyped-call]
    return out


class _OnTransformGrid(torch.autograd.Function):
    """:func:`on_transform_grid` in a few operations each way; by autograd they took as long as a small layer."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, unit: float) -> Tensor:
        room = TRANSFORM_ROW_SUM - matrix.shape[1] / 2
        steps = matrix * unit
        sums = steps.abs().sum(1, keepdim=True)
        factor = room / sums.clamp_min(room)
        rounded = round_half_up_(steps * factor)
        clamped = rounded.clamp(-TRANSFORM_ENTRY, TRANSFORM_ENTRY)
        ctx.save_for_backward(matrix, factor, torch.where(sums > room, unit / sums, 0), clamped == rounded)
        return clamped.div_(unit)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        matrix, factor, shrinking, inside = ctx.saved_tensors
        grad = grads[0] * inside
        # The factor of a row that is too large falls as the row grows.
        falling = (grad * matrix).sum(1, keepdim=True) * shrinking
        return (grad - matrix.sign() * falling).mul_(factor), None


class Range(nn.Module):
    """Running range of a tensor: largest absolute value, by whatever groups its shape has; of one the smallest too.

    Parameters
    ----------
    shape : tuple of int
        Shape of the groups; ``()`` for one range.
    quantizer : Quantizer
        Gives momentum and grid.
    bits : int
        Width of the grid, 2 to 16.
    """

    absmax: Tensor
    lowest: Tensor
    """The smallest value of one group, 0 if none is negative; several groups count as symmetric."""
    negative: Tensor
    batches: Tensor
    processes: Processes = ALONE
    """Those that see the other parts of each batch: the range is of all parts."""
    frozen = False
    """Whether training leaves it as it is."""

    def __init__(self, shape: tuple[int, ...], quantizer: Quantizer, bits: int) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.bits = bits
        self.register_buffer("absmax", torch.zeros(shape))
        self.register_buffer("lowest", torch.zeros(()))
        self.register_buffer("negative", torch.zeros((), dtype=torch.bool))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self._seen = False
        self.taken: tuple[Tensor, Tensor, Tensor] | None = None
        """The grid that a ``Quantize`` in training gave the present batch, for the layers that share the range."""

    @property
    def ready(self) -> bool:
        """Whether anything was observed. Asked once per device transfer, not once per step."""
        self._seen = self._seen or bool(self.batches)
        return self._seen

    def reset(self) -> None:
        """Forget everything observed."""
        self.absmax.zero_()
        self.lowest.zero_()
        self.negative.zero_()
        self.batches.zero_()
        self._seen = False

    @staticmethod
    def complete(state: dict[str, Any], prefix: str) -> None:
        """Add the smallest value to the state of a range from before it was measured, as that of a symmetric one."""
        if f"{prefix}negative" in state and f"{prefix}lowest" not in state:
            state[f"{prefix}lowest"] = -state[f"{prefix}absmax"].amax() * state[f"{prefix}negative"]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        self.complete(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._seen = False

    @torch.no_grad()
    def update(self, absmax: Tensor, minimum: Tensor | float | None = None, *, running: bool = True) -> None:
        """Take in one batch: move by the momentum, or (not ``running``) widen to the largest seen.

        Parameters
        ----------
        absmax : Tensor
            The batch's largest absolute values, shape of the range.
        minimum : Tensor or float, optional
            The batch's smallest value; without it the tensor counts as signed.
        running : bool
            Training follows the data, unless the range is frozen; calibration keeps the extremes.
        """
        if running and self.frozen:
            return
        absmax = absmax.to(self.absmax.dtype)
        if minimum is None:
            minimum = -absmax.amax()
        lowest = torch.as_tensor(minimum).to(self.lowest).clamp_max(0)
        if self.processes.world > 1:
            absmax, lowest = self._of_all(absmax, lowest)
        if not running:
            self.absmax.copy_(torch.maximum(self.absmax, absmax))
            self.lowest.copy_(torch.minimum(self.lowest, lowest))
        elif self.ready:
            self.absmax.lerp_(absmax, self.quantizer.momentum)
            self.lowest.lerp_(lowest, self.quantizer.momentum)
        else:
            self.absmax.copy_(absmax)
            self.lowest.copy_(lowest)
        self.negative.logical_or_(lowest < 0)
        self.batches.add_(1)

    def _of_all(self, absmax: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the batch's parts have together, in one message."""
        both = self.processes.maximum(torch.cat([absmax.flatten(), -lowest.view(1)]))
        return both[:-1].view_as(absmax), -both[-1]

    @torch.no_grad()
    def observe(self, x: Tensor, *, running: bool) -> None:
        """Take in a whole tensor as one group; an empty one changes nothing."""
        if x.numel():
            low, high = torch.aminmax(x)
            self.update(torch.maximum(-low, high), low, running=running)

    def numbers(self) -> QuantGrid:
        """Return what :meth:`grid` gives, in float32, as numbers: cheaper than small tensors on the CPU."""
        low, high = self.quantizer.limits(self.bits)
        steps = self.quantizer.steps(self.bits)
        full = 2**self.bits - 1
        widest = max(float32(self.absmax.item()), float32(1e-30))
        if self.quantizer.asymmetric_limits:
            return QuantGrid.of_step(float32(widest / steps), low, high)
        if not bool(self.negative):
            return QuantGrid.of_step(float32(widest / full), 0, full)
        lowest = self.lowest.item()
        if self._may_be_lopsided and LOPSIDED * lowest + widest >= 0:
            step = float32(float32(widest - lowest) / (full - 1))
            low = -math.ceil(float32(-lowest / step))
            return QuantGrid.of_step(step, low, full + low)
        return QuantGrid.of_step(float32(widest / steps), low, high)

    def grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return step, smallest and largest integer, as tensors (docs/contracts/numbers.md, grids).

        The step is never zero: an all-zero tensor gets a tiny one.
        """
        low, high = self.quantizer.limits(self.bits)
        steps = self.quantizer.steps(self.bits)
        full = 2**self.bits - 1
        widest = self.absmax.clamp_min(1e-30)
        if self.quantizer.asymmetric_limits:
            return widest / steps, torch.full_like(self.lowest, low), torch.full_like(self.lowest, high)
        step = torch.where(self.negative, widest / steps, widest / full)
        lows, highs = (
            torch.where(self.negative, signed, plain).to(step.dtype) for signed, plain in ((low, 0), (high, full))
        )
        if not self._may_be_lopsided:
            return step, lows, highs
        lopsided = self.negative & (LOPSIDED * self.lowest + widest >= 0)
        finer = (widest - self.lowest) / (full - 1)
        first = (self.lowest / finer).floor()
        return (
            torch.where(lopsided, finer, step),
            torch.where(lopsided, first, lows),
            torch.where(lopsided, first + full, highs),
        )

    @property
    def _may_be_lopsided(self) -> bool:
        """Whether there is one group, whose integers are bytes."""
        return self.absmax.ndim == 0 and self.bits <= BYTE


class FixedRange(Range):
    """The range of a tensor whose grid is given: no data changes it.

    Parameters
    ----------
    grid : QuantGrid
        Any with 0 on it.
    quantizer : Quantizer
        Of the layer that has it.
    bits : int
        Width of the grid.
    """

    step: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, grid: QuantGrid, quantizer: Quantizer, bits: int) -> None:
        super().__init__((), quantizer, bits)
        for name in ("step", "low", "high"):
            self.register_buffer(name, torch.tensor(float(getattr(grid, name))))
        self.absmax.fill_(grid.step * max(-grid.low, grid.high))
        self.lowest.fill_(grid.step * grid.low)
        self.negative.fill_(grid.low < 0)
        self.batches.fill_(1)

    def reset(self) -> None:
        """Leave it as it is."""

    def update(self, absmax: Tensor, minimum: Tensor | float | None = None, *, running: bool = True) -> None:
        """Leave it as it is."""

    def observe(self, x: Tensor, *, running: bool) -> None:
        """Leave it as it is."""

    def numbers(self) -> QuantGrid:
        """Return the grid."""
        return QuantGrid.of_step(self.step.item(), int(self.low), int(self.high))

    def grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return step, smallest and largest integer."""
        return self.step, self.low, self.high
