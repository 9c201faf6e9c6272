"""Windows that take a maximum or a mean, and reductions over whole axes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tilewise.doors.building import Builder, Handler, Unsupported, shape_of
from tilewise.doors.operators.convolution import padded
from tilewise.doors.reading import OnnxNode

MAXIMA: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
MEANS: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def _max_pool(b: Builder, node: OnnxNode) -> fx.Node:
    window = list(node.get("kernel_shape"))
    if len(node.outputs) > 1 and node.outputs[1]:
        raise Unsupported("gives the places of its maxima; allowed: the maxima alone")
    # A border that repeats the map's last pixel changes no maximum: every window that sees it sees that pixel too.
    x, padding = padded(b, node, b.input(node, 0), window, "replicate")
    if any(2 * pad > k for pad, k in zip(padding, window, strict=True)):
        x = b.call(F.pad, x, [side for pad in reversed(padding) for side in (pad, pad)], "replicate")
        padding = [0] * len(window)
    axes = len(window)
    pool = MAXIMA[axes](
        tuple(window), tuple(node.get("strides", [1] * axes)), tuple(padding),
        tuple(node.get("dilations", [1] * axes)), ceil_mode=bool(node.get("ceil_mode", 0)),
    )  # fmt: skip
    return b.module(pool, node, x)


def _average_pool(b: Builder, node: OnnxNode) -> fx.Node:
    window, axes = list(node.get("kernel_shape")), len(node.get("kernel_shape"))
    if any(d != 1 for d in node.get("dilations", [1])):
        raise Unsupported(f"has dilations {node.get('dilations')}; allowed: 1")
    counts_border = bool(node.get("count_include_pad", 0))
    before = b.input(node, 0)
    x, padding = padded(b, node, before, window)
    strides, ceil = tuple(node.get("strides", [1] * axes)), bool(node.get("ceil_mode", 0))
    if any(2 * pad > k for pad, k in zip(padding, window, strict=True)):
        raise Unsupported(f"has pads {node.get('pads')}, more than half of its window {window}")
    pool = MEANS[axes](tuple(window), strides, tuple(padding), ceil, counts_border or x is not before)
    y = b.module(pool, node, x)
    if x is before or counts_border:
        return y
    ones, _ = padded(b, node, b.call(torch.ones_like, before), window)  # the share of a window that lies on the map
    return b.call(operator.truediv, y, b.module(MEANS[axes](tuple(window), strides, 0, ceil), node, ones))


def _global(function: Any) -> Handler:
    def convert(b: Builder, node: OnnxNode) -> fx.Node:
        x = b.input(node, 0)
        if len(shape_of(x)) == 4 and function is torch.mean:
            return b.module(nn.AdaptiveAvgPool2d(1), node, x)
        if len(shape_of(x)) == 4:
            return b.module(nn.AdaptiveMaxPool2d(1), node, x)
        return b.call(function, x, list(range(2, len(shape_of(x)))), True)

    return convert


def _reduced(reduce: Callable[..., Tensor]) -> Handler:
    """Return a reduction over the axes that an attribute or an input names."""

    def convert(b: Builder, node: OnnxNode) -> fx.Node:
        x = b.input(node, 0)
        axes = b.ints(node, 1, "axes")
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return x
            axes = list(range(len(shape_of(x))))
        return b.call(reduce, x, axes, bool(node.get("keepdims", 1)))

    return convert


def sum_of_squares(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    """Return sums of squares over some axes."""
    return (x * x).sum(axes, keepdim)


def norm(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    """Return roots of sums of squares over some axes."""
    return (x * x).sum(axes, keepdim).sqrt()


def sum_of_magnitudes(x: Tensor, axes: list[int], keepdim: bool) -> Tensor:
    """Return sums of absolute values over some axes."""
    return x.abs().sum(axes, keepdim)


def _arg_max(b: Builder, node: OnnxNode) -> fx.Node:
    if node.get("select_last_index", 0):
        raise Unsupported("takes the last of equal values; allowed: the first")
    function = torch.argmax if node.kind == "ArgMax" else torch.argmin
    return b.call(function, b.input(node, 0), node.get("axis", 0), bool(node.get("keepdims", 1)))


HANDLERS: dict[str, Handler] = {
    "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global(torch.mean),
    "GlobalMaxPool": _global(torch.amax), "ReduceMean": _reduced(torch.mean), "ReduceSum": _reduced(torch.sum),
    "ReduceMax": _reduced(torch.amax), "ReduceMin": _reduced(torch.amin), "ReduceL2": _reduced(norm),
    "ReduceL1": _reduced(sum_of_magnitudes), "ReduceSumSquare": _reduced(sum_of_squares),
    "ReduceLogSumExp": _reduced(torch.logsumexp),
    "ArgMax": _arg_max, "ArgMin": _arg_max,
}  # fmt: skip
