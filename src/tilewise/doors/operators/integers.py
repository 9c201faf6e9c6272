"""Operations on integers that stand for numbers: QLinearConv and its kin, ConvInteger, MatMulInteger.

Each becomes the operation on the numbers that the integers stand for, and a rounding of its result: what a quantized
layer and what follows it are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tilewise.doors.building import Builder, Handler, Integers, Unsupported
from tilewise.doors.operators.arithmetic import HANDLERS as ARITHMETIC
from tilewise.doors.operators.convolution import convolution, linear
from tilewise.doors.operators.pooling import HANDLERS as POOLING
from tilewise.doors.operators.quantization import quantized, real, scale_and_zero
from tilewise.doors.reading import Array, OnnxNode


def _weights(b: Builder, node: OnnxNode, place: int) -> tuple[Array, Array]:
    """Return what integer weights at a place stand for, and their step for each output, which is their first axis."""
    weight, (scale, zero) = b.known(node, place), scale_and_zero(b, node, place + 1)
    if weight is None:
        raise Unsupported("has weights that the network computes; allowed: constants")
    shape = (-1, *[1] * (weight.ndim - 1))
    whole = weight.astype(np.int32) - zero.astype(np.int32).reshape(shape if zero.size > 1 else ())
    return whole * scale.astype(np.float32).reshape(shape if scale.size > 1 else ()), scale


def _offset(bias: Array | None, input_scale: Array, step: Array) -> Array | None:
    """Return what integers that are added to sums stand for."""
    return None if bias is None else bias.astype(np.float32) * (input_scale.astype(np.float32) * step).reshape(-1)


def _conv(b: Builder, node: OnnxNode) -> Integers | fx.Node:
    if node.get("channels_last", 0):
        raise Unsupported("has channels last; allowed: channels first")
    scale, zero = scale_and_zero(b, node, 1)
    weight, step = _weights(b, node, 3)
    x = real(b, node, 0, scale, zero)
    y = convolution(b, node, x, weight, _offset(b.constant(node, 8), scale, step), step)
    return quantized(b, node, y, *scale_and_zero(b, node, 6))


def _mat_mul(b: Builder, node: OnnxNode) -> Integers | fx.Node:
    x, weight = real(b, node, 0, *scale_and_zero(b, node, 1)), b.known(node, 3)
    if weight is None or weight.ndim != 2:
        other = real(b, node, 3, *scale_and_zero(b, node, 4))
        return quantized(b, node, b.call(torch.matmul, x, other), *scale_and_zero(b, node, 6))
    weight, step = _transposed(b, node)
    return quantized(b, node, linear(b, node, x, weight, None, step), *scale_and_zero(b, node, 6))


def _gemm(b: Builder, node: OnnxNode) -> Integers | fx.Node:
    if node.get("transA", 0) or node.get("alpha", 1.0) != 1:
        raise Unsupported("transposes A or has an alpha; allowed: neither")
    scale, zero = scale_and_zero(b, node, 1)
    weight, step = _weights(b, node, 3) if node.get("transB", 0) else _transposed(b, node)
    x = real(b, node, 0, scale, zero)
    y = linear(b, node, x, weight, _offset(b.constant(node, 6), scale, step), step)
    return quantized(b, node, y, *scale_and_zero(b, node, 7)) if b.value(node, 7) is not None else y


def _transposed(b: Builder, node: OnnxNode) -> tuple[Array, Array]:
    """Return weights and steps of a product with a matrix whose outputs are its second axis."""
    weight = b.known(node, 3)
    if weight is None:
        raise Unsupported("has weights that the network computes; allowed: constants")
    name = f"{node.inputs[3]}.T"
    b.values[name] = np.ascontiguousarray(weight.T)
    return _weights(b, replace(node, inputs=[*node.inputs[:3], name, *node.inputs[4:]]), 3)


def _of_two(function: Callable[..., Any]) -> Handler:
    """Return an operation on two tensors of integers."""

    def convert(b: Builder, node: OnnxNode) -> Integers | fx.Node:
        x, y = (real(b, node, place, *scale_and_zero(b, node, place + 1)) for place in (0, 3))
        return quantized(b, node, b.call(function, x, y), *scale_and_zero(b, node, 6))

    return convert


def _of_one(kind: str) -> Handler:
    """Return an operation on a tensor of integers, from that on numbers."""

    def convert(b: Builder, node: OnnxNode) -> Integers | fx.Node:
        if node.get("channels_last", 0):
            raise Unsupported("has channels last; allowed: channels first")
        name = f"{node.name}.real"
        b.values[name] = real(b, node, 0, *scale_and_zero(b, node, 1))
        opset = node.get("opset", node.opset)
        y = (ARITHMETIC | POOLING)[kind](b, replace(node, kind=kind, inputs=[name], opset=opset))
        assert isinstance(y, fx.Node)
        return quantized(b, node, y, *scale_and_zero(b, node, 3))

    return convert


def _concat(b: Builder, node: OnnxNode) -> Integers | fx.Node:
    places = range(2, len(node.inputs), 3)
    parts = [real(b, node, place, *scale_and_zero(b, node, place + 1)) for place in places]
    return quantized(b, node, b.call(torch.cat, parts, node.get("axis", 1)), *scale_and_zero(b, node, 0))


def lowest_and_highest(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and the zero point of bytes that hold all numbers of a tensor, and 0."""
    low, high = torch.clamp(x.amin(), max=0.0), torch.clamp(x.amax(), min=0.0)
    scale = (high - low) / 255
    return scale, torch.clamp(torch.round(-low / scale), 0, 255)


def as_bytes(x: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Return numbers as bytes, in floats."""
    return torch.clamp(torch.round(x / scale) + zero, 0, 255)


def _dynamic_quantize(b: Builder, node: OnnxNode) -> list[Any]:
    x = b.input(node, 0)
    both = b.call(lowest_and_highest, x)
    scale, zero = (b.call(operator.getitem, both, place) for place in range(2))
    return [b.call(as_bytes, x, scale, zero), scale, zero]


def _less_zero(b: Builder, node: OnnxNode, place: int) -> tuple[fx.Node, Array]:
    """Return an input and constant weights, the second one, less their zero points, which begin at a place."""
    weight, x = b.known(node, 1), b.input(node, 0)
    if weight is None:
        raise Unsupported("has weights that the network computes; allowed: constants")
    if b.value(node, place) is not None:
        x = b.call(operator.sub, x, b.input(node, place))
    zero = b.constant(node, place + 1)
    offset = 0 if zero is None else zero.astype(np.float32)
    if zero is not None and zero.size > 1:
        offset = zero.astype(np.float32).reshape((-1, *[1] * (weight.ndim - 1)) if node.kind == "ConvInteger" else -1)
    return x, weight.astype(np.float32) - offset


def _conv_integer(b: Builder, node: OnnxNode) -> fx.Node:
    x, weight = _less_zero(b, node, 2)
    return convolution(b, node, x, weight, None, None)


def _mat_mul_integer(b: Builder, node: OnnxNode) -> fx.Node:
    x, weight = _less_zero(b, node, 2)
    return linear(b, node, x, weight.T, None, None)


OWN: dict[str, Handler] = {
    "QGemm": _gemm, "QLinearAdd": _of_two(operator.add), "QLinearMul": _of_two(operator.mul),
    "QLinearConcat": _concat, "QLinearAveragePool": _of_one("AveragePool"),
    "QLinearGlobalAveragePool": _of_one("GlobalAveragePool"), "QLinearLeakyRelu": _of_one("LeakyRelu"),
    "QLinearSigmoid": _of_one("Sigmoid"), "QLinearSoftmax": _of_one("Softmax"),
    "QLinearReduceMean": _of_one("ReduceMean"), "QLinearConv": _conv,
}  # fmt: skip
HANDLERS: dict[str, Handler] = {
    "QLinearConv": _conv, "QLinearMatMul": _mat_mul, "ConvInteger": _conv_integer, "MatMulInteger": _mat_mul_integer,
    "DynamicQuantizeLinear": _dynamic_quantize, **{f"com.microsoft.{kind}": handler for kind, handler in OWN.items()},
}  # fmt: skip
