"""Batch normalisation over a batch whose parts are in several processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from tilewise.common.processes import Processes


class _NormalizeOfAll(torch.autograd.Function):
    """``(x - mean) / sqrt(var + eps) * weight + bias`` by the statistics of all processes' images (N, C, ...)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, processes: Processes
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var, count = _statistics_of_all(x, processes)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(var + eps), count)
        ctx.processes = processes
        ctx.mark_non_differentiable(mean, var, count)
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse, count = ctx.saved_tensors
        over, along = _others(x), _along_channels(x)
        normal = (x - mean.view(along)).mul_(inverse.view(along))
        dbias, dweight = dy.sum(over), (dy * normal).sum(over)
        # Mean and variance depend on every image, so the way back needs the sums over all of them.
        by_mean, by_var = ctx.processes.sum(torch.stack([dbias, dweight])) / count
        dx = (dy - by_mean.view(along)).sub_(normal.mul_(by_var.view(along)))
        dx.mul_((inverse if weight is None else inverse * weight).view(along))
        return dx, None if weight is None else dweight, None if weight is None else dbias, None, None


def _others(x: Tensor) -> list[int]:
    """All dimensions but that of the channels."""
    return [0, *range(2, x.ndim)]


def _along_channels(x: Tensor) -> list[int]:
    return [1, -1, *[1] * (x.ndim - 2)]


def _statistics_of_all(x: Tensor, processes: Processes) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance per channel, and the number of values, of all parts together.

    From the parts' means and variances, not from sums of squares, of which float32 would lose the difference.
    """
    var, mean = torch.var_mean(x, _others(x), correction=0)
    count = torch.full_like(mean, x.numel() // x.shape[1], dtype=torch.float64)
    means, variances, counts = processes.gather(torch.stack([mean.double(), var.double(), count])).unbind(1)
    total = counts.sum(0)
    mean = (counts * means).sum(0) / total
    var = (counts * (variances + (means - mean).square())).sum(0) / total
    return mean.to(x.dtype), var.to(x.dtype), total[0].to(x.dtype)


def normalize_over(processes: Processes, norm: _BatchNorm, x: Tensor) -> Tensor:
    """Do in training what a batch norm does, as if ``x`` held the images of all processes.

    torch's own SyncBatchNorm is for GPUs only.

    Parameters
    ----------
    processes : Processes
        Each with a part of the batch, at least one image.
    norm : torch.nn.BatchNorm1d, 2d or 3d
        In training; its running statistics move.
    x : Tensor of shape (N, C, ...)
        This process's images.

    Returns
    -------
    Tensor
        Shape of ``x``.
    """
    y, mean, var, count = _NormalizeOfAll.apply(x, norm.weight, norm.bias, norm.eps, processes)  # type: ignore[no-untyped-call]
    if norm.track_running_stats:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        with torch.no_grad():
            norm.num_batches_tracked.add_(1)
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), share)
            norm.running_var.lerp_((var * (count / (count - 1))).to(norm.running_var.dtype), share)
    normalized: Tensor = y
    return normalized
