"""Quantizing a batch by a running range that may learn from it."""

from __future__ import annotations

from torch import Tensor

from tilewise.nn import native
from tilewise.nn.native import Grid
from tilewise.quant.fake import Range, quantize


def take_grid(source: Range, x: Tensor, *, training: bool, calibrating: bool) -> tuple[Grid, bool]:
    """Give the grid to quantize ``x`` with, and whether the range has still to take ``x`` in.

    A training batch is quantized by the range from before itself, so that measuring it needs no pass of its own. The
    first one is measured first, and so is every one where the rules are those of the code released in 2020.
    """
    measure_first = calibrating or (training and (source.quantizer.everything or not source.ready))
    if measure_first:
        source.observe(x.detach(), running=training)
    return Grid(*source.grid()).to(x.dtype), training and not measure_first


def quantize_batch(
    x: Tensor, source: Range, grid: Grid, *, training: bool, pending: bool, real: bool = False
) -> Tensor:
    """Quantize ``x`` on a grid.

    Parameters
    ----------
    x : Tensor
        Any shape.
    source : Range
        Where the grid is from.
    grid : Grid
        In the type of ``x``.
    training : bool
        Whether to leave it to the native kernels where they serve.
    pending : bool
        Whether the range has still to take ``x`` in.
    real : bool
        Give real numbers, not integers.
    """
    clip_gradient = source.quantizer.clip_gradient
    if training and clip_gradient and not native.unserved(x):
        q, extremes = native.quantize(x, grid, float(grid.step) if real else 1.0)
        if pending:
            source.take(extremes)
        return q
    q = quantize(x, *grid, clip_gradient=clip_gradient)
    if pending:
        source.observe(x.detach(), running=True)
    return q * grid.step if real else q
