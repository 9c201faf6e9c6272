"""Quantizing a batch by a running range that may learn from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from tilewise.nn import native
from tilewise.quant.fake import Range, quantize


@dataclass(frozen=True)
class BatchRange:
    """The range that one batch is quantized by.

    Parameters
    ----------
    source : Range
        The running range.
    training : bool
        Whether the native kernels may quantize.
    pending : bool
        Whether the running range has still to take the batch in.
    shared : bool
        Whether the batch lies on the grid that a ``Quantize`` gave it.
    """

    source: Range
    training: bool
    pending: bool = False
    shared: bool = False

    @classmethod
    def learning(cls, source: Range, x: Tensor, *, training: bool, calibrating: bool) -> Self:
        """Let a range that is learning take in ``x`` before it is quantized, where that is the order.

        A training batch is quantized by the range from before itself, so that measuring it needs no pass of its own.
        The first one is measured first, and so is every one where the rules are those of the code released in 2020.
        """
        if calibrating or (training and (source.quantizer.measures_first or not source.ready)):
            source.observe(x.detach(), running=training)
            return cls(source, training)
        return cls(source, training, pending=training)

    def grid(self) -> tuple[Tensor, Tensor, Tensor]:
        """Step, smallest and largest integer."""
        return (self.source.taken if self.shared and self.training else None) or self.source.grid()

    def numbers(self) -> native.Grid:
        """Give the same as numbers."""
        if self.shared and self.training and self.source.taken is not None:
            step, low, high = (value.item() for value in self.source.taken)
            return native.Grid(step, int(low), int(high))
        return native.Grid(*self.source.numbers())

    def quantize(self, x: Tensor, *, real: bool = False) -> tuple[Tensor, Tensor]:
        """Give ``x`` in integers (``real``: times their step) and the step; the running range takes ``x`` in."""
        clip_gradient = self.source.quantizer.clip_gradient
        if self.training and clip_gradient and not native.unserved(x):
            grid = self.numbers()
            q, extremes = native.quantize(x, grid, grid.step if real else 1.0)
            self.take(extremes)
            return q, x.new_tensor(grid.step)
        step, low, high = (value.to(x.dtype) for value in self.grid())
        q = quantize(x, step, low, high, clip_gradient=clip_gradient)
        if self.pending:
            self.source.observe(x.detach(), running=True)
        return q * step if real else q, step

    def take(self, extremes: native.Extremes) -> None:
        """Let the running range take in the batch's smallest and largest value, if it has still to."""
        if self.pending:
            low, high = extremes
            self.source.update(torch.tensor(max(-low, high)), low)
