"""Operations number by number: arithmetic, activations, comparisons."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from tilewise.doors.building import Builder, Handler, Sizes, Unsupported, shape_of
from tilewise.doors.operators.convolution import with_weights
from tilewise.doors.reading import OnnxNode


def _operand(b: Builder, node: OnnxNode, place: int) -> Any:
    """Return an input; a constant of one value as a number."""
    found = b.known(node, place)
    if found is not None and found.size == 1 and found.dtype.kind in "fiu":
        other = b.value(node, 1 - place)
        if isinstance(other, fx.Node) and len(shape_of(other)) >= found.ndim:
            return found.reshape(()).item()
    return b.input(node, place)


def _binary(function: Callable[..., Any], of_numbers: Callable[..., Any] | None = None) -> Handler:
    """Return an operation on two tensors, or on sizes."""

    def convert(b: Builder, node: OnnxNode) -> fx.Node | Sizes:
        values = [b.value(node, 0), b.value(node, 1)]
        if any(isinstance(v, Sizes) for v in values) and not any(isinstance(v, fx.Node) for v in values):
            return _of_sizes(b, values, of_numbers or function)
        found = _of_linear(b, node) if node.kind == "Add" else None
        return found or b.call(function, _operand(b, node, 0), _operand(b, node, 1))

    return convert


def _of_sizes(b: Builder, values: list[Any], function: Callable[..., Any]) -> Sizes:
    lists = [
        value.items if isinstance(value, Sizes) else [item.item() for item in value.reshape(-1)] for value in values
    ]
    is_scalar = all(v.scalar if isinstance(v, Sizes) else v.ndim == 0 for v in values)
    length = max(map(len, lists))
    first, second = (items * length if len(items) == 1 else items for items in lists)
    return Sizes([b.number(function, x, y) for x, y in zip(first, second, strict=True)], scalar=is_scalar)


def _of_linear(b: Builder, node: OnnxNode) -> fx.Node | None:
    """Give an offset to the linear layer before it, if nothing else reads that one."""
    for place in (0, 1):
        offset, x = b.known(node, place), b.value(node, 1 - place)
        if offset is None or not isinstance(x, fx.Node) or x.op != "call_module":
            continue
        layer = b.root.get_submodule(str(x.target))
        has_offset = any(name == "bias" for name, _ in layer.named_parameters())
        if not isinstance(layer, nn.Linear) or has_offset or b.readers[node.inputs[1 - place]] > 1:
            continue
        if offset.shape[-1:] == (layer.out_features,) and offset.size == layer.out_features:
            with_weights(layer, layer.weight.detach().numpy(), offset.reshape(-1))
            return x
    return None


def quotient(x: Any, y: Any) -> Any:
    """Return a quotient as ONNX has it: of whole numbers a whole one."""
    if isinstance(x, torch.Tensor) and not x.is_floating_point():
        return torch.div(x, y, rounding_mode="trunc")
    return x / y


def _variadic(function: Callable[..., Any]) -> Handler:
    def convert(b: Builder, node: OnnxNode) -> fx.Node:
        found = b.input(node, 0)
        for place in range(1, len(node.inputs)):
            found = b.call(function, found, b.input(node, place))
        return found

    return convert


def _mean(b: Builder, node: OnnxNode) -> fx.Node:
    return b.call(operator.truediv, _variadic(operator.add)(b, node), len(node.inputs))


def _unary(function: Callable[..., Any], of_numbers: Callable[..., Any] | None = None) -> Handler:
    def convert(b: Builder, node: OnnxNode) -> fx.Node | Sizes:
        found = b.value(node, 0)
        if isinstance(found, Sizes) and of_numbers is not None:
            return Sizes([b.number(of_numbers, item) for item in found.items], scalar=found.scalar)
        return b.call(function, b.input(node, 0))

    return convert


def _module(make: Callable[[OnnxNode], nn.Module]) -> Handler:
    return lambda b, node: b.module(make(node), node, b.input(node, 0))


def _clip(b: Builder, node: OnnxNode) -> fx.Node:
    low, high = node.get("min"), node.get("max")
    bounds = [bound if found is None else found.reshape(()).item()
              for bound, found in ((low, b.constant(node, 1)), (high, b.constant(node, 2)))]  # fmt: skip
    bounds = [None if bound is None or abs(bound) >= np.finfo(np.float32).max else bound for bound in bounds]
    if bounds == [0, 6]:
        return b.module(nn.ReLU6(), node, b.input(node, 0))
    if bounds == [0, None]:
        return b.module(nn.ReLU(), node, b.input(node, 0))
    if bounds == [None, None]:
        return b.input(node, 0)
    return b.call(torch.clamp, b.input(node, 0), *bounds)


def _prelu(b: Builder, node: OnnxNode) -> fx.Node:
    x, slope = b.input(node, 0), b.known(node, 1)
    channels = shape_of(x)[1] if len(shape_of(x)) > 1 else 1
    shape = [1] * (slope.ndim if slope is not None else 0)
    if slope is not None and len(shape) == len(shape_of(x)) - 1 and shape:
        shape[0] = channels
    if slope is None or (slope.size != 1 and list(slope.shape) != shape):
        positive, negative = b.call(F.relu, x), b.call(torch.clamp, x, None, 0)
        return b.call(operator.add, positive, b.call(operator.mul, negative, b.input(node, 1)))
    layer = nn.PReLU(slope.size)
    layer.weight = nn.Parameter(torch.from_numpy(np.array(slope.reshape(-1), np.float32)))
    return b.module(layer, node, x)


def _gelu(node: OnnxNode) -> nn.Module:
    return nn.GELU(approximate=node.get("approximate", "none"))


def _hard_sigmoid(b: Builder, node: OnnxNode) -> fx.Node:
    alpha, beta = float(node.get("alpha", 0.2)), float(node.get("beta", 0.5))
    x = b.input(node, 0)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return b.module(nn.Hardsigmoid(), node, x)
    return b.call(torch.clamp, b.call(operator.add, b.call(operator.mul, x, alpha), beta), 0, 1)


def _softmax(make: Callable[[int], nn.Module]) -> Handler:
    """Return softmax over an axis; before set 13 over that axis and all after it."""

    def convert(b: Builder, node: OnnxNode) -> fx.Node:
        x = b.input(node, 0)
        rank = len(shape_of(x))
        axis = node.get("axis", -1 if node.opset >= 13 else 1)
        if node.opset >= 13 or axis % rank == rank - 1 or all(e == 1 for e in shape_of(x)[axis % rank + 1 :]):
            return b.module(make(axis), node, x)
        flat = b.module(make(-1), node, b.call(torch.flatten, x, axis % rank))
        return b.method("reshape", flat, [b.size(x, i) for i in range(rank)])

    return convert


def _cast(b: Builder, node: OnnxNode) -> fx.Node | Sizes:
    from onnx import TensorProto

    kinds = {
        TensorProto.FLOAT: torch.float32, TensorProto.FLOAT16: torch.float32, TensorProto.DOUBLE: torch.float32,
        TensorProto.INT64: torch.int64, TensorProto.INT32: torch.int32, TensorProto.BOOL: torch.bool,
        TensorProto.UINT8: torch.uint8, TensorProto.INT8: torch.int8,
    }  # fmt: skip
    wanted = node.get("to")
    if wanted not in kinds:
        raise Unsupported(f"casts to the type {wanted}; allowed: {', '.join(map(str, sorted(kinds)))}")
    found = b.value(node, 0)
    if isinstance(found, Sizes):
        whole = not kinds[wanted].is_floating_point
        items = [
            b.number(math.trunc, i) if whole and not isinstance(i, int) and _is_float(i) else i for i in found.items
        ]
        return Sizes(items, scalar=found.scalar)
    x = b.input(node, 0)
    return x if x.meta["val"].dtype == kinds[wanted] else b.method("to", x, kinds[wanted])


def _is_float(item: Any) -> bool:
    return isinstance(item.meta["val"] if isinstance(item, fx.Node) else item, float)


def _where(b: Builder, node: OnnxNode) -> fx.Node:
    return b.call(torch.where, *(b.input(node, place) for place in range(3)))


def _identity(b: Builder, node: OnnxNode) -> Any:
    return b.values[node.inputs[0]]


def _dropout(b: Builder, node: OnnxNode) -> Any:
    if len(node.outputs) > 1 and b.readers[node.outputs[1]]:
        raise Unsupported("gives its mask; allowed: what it leaves")
    return b.values[node.inputs[0]]


def _pow(x: Any, y: Any) -> Any:
    return torch.pow(x, y)


HANDLERS: dict[str, Handler] = {
    "Add": _binary(operator.add), "Sub": _binary(operator.sub), "Mul": _binary(operator.mul),
    "Div": _binary(quotient, operator.floordiv), "Pow": _binary(_pow, operator.pow), "Mod": _binary(operator.mod),
    "Equal": _binary(torch.eq, operator.eq), "Greater": _binary(torch.gt, operator.gt),
    "Less": _binary(torch.lt, operator.lt),
    "GreaterOrEqual": _binary(torch.ge), "LessOrEqual": _binary(torch.le), "And": _binary(torch.logical_and),
    "Or": _binary(torch.logical_or), "Not": _unary(torch.logical_not),
    "Sum": _variadic(operator.add), "Max": _variadic(torch.maximum), "Min": _variadic(torch.minimum), "Mean": _mean,
    "Relu": _module(lambda _: nn.ReLU()), "Sigmoid": _module(lambda _: nn.Sigmoid()),
    "Tanh": _module(lambda _: nn.Tanh()), "HardSwish": _module(lambda _: nn.Hardswish()),
    "Mish": _module(lambda _: nn.Mish()), "Softplus": _module(lambda _: nn.Softplus()),
    "Softsign": _module(lambda _: nn.Softsign()), "Gelu": _module(_gelu),
    "LeakyRelu": _module(lambda node: nn.LeakyReLU(node.get("alpha", 0.01))),
    "Elu": _module(lambda node: nn.ELU(node.get("alpha", 1.0))),
    "Celu": _module(lambda node: nn.CELU(node.get("alpha", 1.0))),
    "Selu": _module(lambda _: nn.SELU()), "HardSigmoid": _hard_sigmoid, "PRelu": _prelu, "Clip": _clip,
    "Softmax": _softmax(nn.Softmax), "LogSoftmax": _softmax(nn.LogSoftmax),
    "Neg": _unary(torch.neg, operator.neg), "Abs": _unary(torch.abs), "Sqrt": _unary(torch.sqrt),
    "Exp": _unary(torch.exp), "Log": _unary(torch.log), "Reciprocal": _unary(torch.reciprocal),
    "Floor": _unary(torch.floor, math.floor), "Ceil": _unary(torch.ceil, math.ceil), "Round": _unary(torch.round),
    "Erf": _unary(torch.erf), "Sin": _unary(torch.sin), "Cos": _unary(torch.cos), "Sign": _unary(torch.sign),
    "Cast": _cast, "Where": _where, "Identity": _identity, "Dropout": _dropout,
}  # fmt: skip
