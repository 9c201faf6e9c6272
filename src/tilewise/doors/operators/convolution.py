"""Convolutions, transposed ones, and matrix products."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from tilewise.doors.building import Builder, Handler, Unsupported, shape_of
from tilewise.doors.grids import quantized_layer
from tilewise.doors.reading import Array, OnnxNode

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {
    1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d,
}  # fmt: skip


def padded(
    b: Builder, node: OnnxNode, x: fx.Node, window: list[int], mode: str = "constant"
) -> tuple[fx.Node, list[int]]:
    """Return what a window slides over, and the padding, alike on both sides, that is left to whoever slides it."""
    axes = len(window)
    strides, dilations = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, window, strict=True)]
    how = node.get("auto_pad", "NOTSET")
    if how == "VALID":
        return x, [0] * axes
    if how == "NOTSET":
        pads = node.get("pads", [0] * 2 * axes)
        before, after = pads[:axes], pads[axes:]
    elif how in ("SAME_UPPER", "SAME_LOWER"):
        before, after = _same(b, x, spans, strides, is_upper=how == "SAME_UPPER")
    else:
        raise Unsupported(f"has auto_pad {how!r}; allowed: NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    if before == after:
        return x, list(before)
    sides = [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair]
    return b.call(F.pad, x, sides, mode), [0] * axes


def _same(
    b: Builder, x: fx.Node, spans: list[int], strides: list[int], *, is_upper: bool
) -> tuple[list[Any], list[Any]]:
    """Return padding before and after with which a result has as many pixels as its input, divided by the stride."""
    before, after = [], []
    for axis, (span, stride) in enumerate(zip(spans, strides, strict=True), 2):
        if stride == 1:
            missing: Any = span - 1
        elif span < stride:  # windows that do not meet: none may be missing
            tried = shape_of(x)[axis]
            missing = max((-(-tried // stride) - 1) * stride + span - tried, 0)
        else:
            extent = b.method("size", x, axis)
            steps = b.number(operator.floordiv, b.number(operator.add, extent, -1), stride)
            missing = b.number(
                operator.sub, b.number(operator.add, b.number(operator.mul, steps, stride), span), extent
            )
        half = b.number(operator.floordiv, missing, 2)
        rest = b.number(operator.sub, missing, half)
        before.append(half if is_upper else rest)
        after.append(rest if is_upper else half)
    return before, after


def _conv(b: Builder, node: OnnxNode) -> fx.Node:
    return convolution(b, node, b.input(node, 0), b.known(node, 1), b.constant(node, 2), steps_of(b, node, 0))


def convolution(
    b: Builder, node: OnnxNode, given: fx.Node, weight: Array | None, bias: Array | None, step: Array | None
) -> fx.Node:
    """Append a convolution: a quantized one where its input lies on a grid and its weights are multiples of a step."""
    if weight is None or weight.ndim - 2 not in CONVOLUTIONS:
        raise Unsupported(
            "has weights that the network computes, or of no convolution; allowed: constants, 1 to 3 axes"
        )
    window = list(weight.shape[2:])
    x, padding = padded(b, node, given, window)
    axes, groups = len(window), node.get("group", 1)
    strides, dilations = (tuple(node.get(name, [1] * axes)) for name in ("strides", "dilations"))
    layer = CONVOLUTIONS[axes](
        weight.shape[1] * groups, weight.shape[0], tuple(window), strides, tuple(padding), dilations, groups,
        bias=bias is not None, device="meta",
    )  # fmt: skip
    plain = with_weights(layer, weight, bias)
    return b.module(quantized_layer(plain, b.grids.get(given), step), node, x, like=plain)


def steps_of(b: Builder, node: OnnxNode, axis: int) -> Array | None:
    """Return the steps of a layer's weights, where these are integers, along the axis of its outputs or one for all."""
    found = b.steps.get(node.inputs[1])
    if found is None:
        return None
    scale, along = found
    weight = b.known(node, 1)
    assert weight is not None
    return scale if scale.size == 1 or along % weight.ndim == axis else None


def _conv_transpose(b: Builder, node: OnnxNode) -> fx.Node:
    x, weight, bias = b.input(node, 0), b.known(node, 1), b.constant(node, 2)
    if weight is None or weight.ndim - 2 not in TRANSPOSED:
        raise Unsupported(
            "has weights that the network computes, or of no convolution; allowed: constants, 1 to 3 axes"
        )
    window, axes = list(weight.shape[2:]), weight.ndim - 2
    strides, dilations = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    extra = node.get("output_padding", [0] * axes)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, window, strict=True)]
    begin, end = _transposed_padding(node, shape_of(x)[2:], spans, strides, extra)
    if any(first < 0 for first in begin) or any(
        more + first - last < 0 for more, first, last in zip(extra, begin, end, strict=True)
    ):
        padding, added, crop = [0] * axes, list(extra), True
    else:  # less padding at the end is more of the result there
        padding, crop = begin, False
        added = [more + first - last for more, first, last in zip(extra, begin, end, strict=True)]
        crop = any(value >= max(s, d) for value, s, d in zip(added, strides, dilations, strict=True))
        if crop:
            padding, added = [0] * axes, list(extra)
    groups = node.get("group", 1)
    layer = TRANSPOSED[axes](
        weight.shape[0], weight.shape[1] * groups, tuple(window), tuple(strides), tuple(padding), tuple(added), groups,
        bias is not None, tuple(dilations), device="meta",
    )  # fmt: skip
    y = b.module(with_weights(layer, weight, bias), node, x)
    if crop:
        sides = [-side for pair in zip(reversed(begin), reversed(end), strict=True) for side in pair]
        y = b.call(F.pad, y, sides)
    return y


def _transposed_padding(
    node: OnnxNode, extents: list[int], spans: list[int], strides: list[int], extra: list[int]
) -> tuple[list[int], list[int]]:
    """Return what a transposed convolution takes away from its result, before and after."""
    axes, how = len(spans), node.get("auto_pad", "NOTSET")
    if how == "NOTSET" and "output_shape" not in node.attributes:
        pads = node.get("pads", [0] * 2 * axes)
        return list(pads[:axes]), list(pads[axes:])
    if how == "VALID":
        return [0] * axes, [0] * axes
    wanted = node.get("output_shape", [e * s for e, s in zip(extents, strides, strict=True)])[-axes:]
    whole = [s * (e - 1) + o + k for s, e, o, k in zip(strides, extents, extra, spans, strict=True)]
    missing = [had - want for had, want in zip(whole, wanted, strict=True)]
    halves = [value // 2 for value in missing]
    rest = [value - half for value, half in zip(missing, halves, strict=True)]
    return (halves, rest) if how == "SAME_UPPER" else (rest, halves)


def _gemm(b: Builder, node: OnnxNode) -> fx.Node:
    x, weight, bias = b.input(node, 0), b.known(node, 1), b.known(node, 2)
    alpha, beta = float(node.get("alpha", 1.0)), float(node.get("beta", 1.0))
    has_addend = len(node.inputs) > 2 and bool(node.inputs[2])
    if weight is not None and not node.get("transA", 0):
        weight = weight if node.get("transB", 0) else weight.T
        if not has_addend or (bias is not None and bias.size in (1, len(weight))):
            offset = None if bias is None else np.broadcast_to(bias.reshape(-1) * np.float32(beta), len(weight))
            step = steps_of(b, node, 0 if node.get("transB", 0) else 1) if alpha == 1 else None
            return linear(b, node, x, weight * np.float32(alpha), offset, step)
    a = b.method("t", x) if node.get("transA", 0) else x
    other = b.input(node, 1)
    y = b.call(torch.matmul, a, b.method("t", other) if node.get("transB", 0) else other)
    y = y if alpha == 1 else b.call(operator.mul, y, alpha)
    if not has_addend:
        return y
    addend = b.input(node, 2)
    return b.call(operator.add, y, addend if beta == 1 else b.call(operator.mul, addend, beta))


def _matmul(b: Builder, node: OnnxNode) -> fx.Node:
    weight = b.known(node, 1)
    if weight is None or weight.ndim != 2:
        return b.call(torch.matmul, b.input(node, 0), b.input(node, 1))
    return linear(b, node, b.input(node, 0), weight.T, None, steps_of(b, node, 1))


def linear(b: Builder, node: OnnxNode, x: fx.Node, weight: Array, bias: Array | None, step: Array | None) -> fx.Node:
    """Append a linear layer, quantized as :func:`convolution` says."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    plain = with_weights(layer, weight, bias)
    return b.module(quantized_layer(plain, b.grids.get(x), step), node, x, like=plain)


def with_weights(layer: Any, weight: Array, bias: Array | None) -> nn.Module:
    """Give a layer its weights."""
    layer.weight = nn.Parameter(torch.from_numpy(np.array(weight, np.float32)))
    if bias is not None:
        layer.bias = nn.Parameter(torch.from_numpy(np.array(bias, np.float32)))
    found: nn.Module = layer
    return found


HANDLERS: dict[str, Handler] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _matmul,
}  # fmt: skip
