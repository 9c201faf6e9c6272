"""Numbers that a network computes from the sizes of its images: they stay numbers, beside the tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from tilewise.doors.building import Builder, Handler, Integers, Sizes, Unsupported, shape_of
from tilewise.doors.reading import OnnxNode


def _shape(b: Builder, node: OnnxNode) -> Sizes:
    value = b.value(node, 0)
    if isinstance(value, Sizes):
        return Sizes([] if value.scalar else [len(value.items)])
    x = b.input(node, 0)
    rank = len(shape_of(x))
    start, end = slice(node.get("start", 0), node.get("end")).indices(rank)[:2]
    return Sizes(b.size(x, axis) for axis in range(start, end))


def _size(b: Builder, node: OnnxNode) -> Sizes:
    x = b.input(node, 0)
    return Sizes([b.product(b.size(x, axis) for axis in range(len(shape_of(x))))], scalar=True)


def gather(b: Builder, node: OnnxNode) -> Any:
    """Pick by index, from sizes or from a tensor."""
    x, index, axis = b.value(node, 0), b.constant(node, 1), node.get("axis", 0)
    assert index is not None
    if isinstance(x, Sizes):
        if index.ndim == 0:
            return Sizes([x.items[int(index)]], scalar=True)
        return Sizes(x.items[int(i)] for i in index.reshape(-1))
    tensor = b.input(node, 0)
    axis %= len(shape_of(tensor))
    extent = shape_of(tensor)[axis]
    if index.ndim == 0:
        return b.call(torch.select, tensor, axis, int(index))
    if index.ndim != 1:
        raise Unsupported(f"has indices of shape {index.shape}; allowed: one axis at most")
    places = [int(i) % extent for i in index]
    if len(places) == 1:
        return b.call(torch.narrow, tensor, axis, places[0], 1)
    return b.call(torch.index_select, tensor, axis, b.parameter(f"{node.name}_indices", np.array(places, np.int64)))


def of_sizes(b: Builder, node: OnnxNode) -> Sizes:
    """Join sizes."""
    found: list[Any] = []
    for name in node.inputs:
        value = b.values[name]
        if isinstance(value, fx.Node | Integers):
            raise Unsupported("joins sizes and a tensor; allowed: one of both")
        found += value.items if isinstance(value, Sizes) else [item.item() for item in value.reshape(-1)]
    return Sizes(found)


def _reduce_product(b: Builder, node: OnnxNode) -> Sizes:
    found = b.value(node, 0)
    if not isinstance(found, Sizes):
        raise Unsupported("of a tensor; allowed: of sizes")
    return Sizes([b.product(found.items)], scalar=not node.get("keepdims", 1))


def _constant_of_shape(b: Builder, node: OnnxNode) -> fx.Node:
    value = node.get("value", np.zeros(1, np.float32))
    kind = torch.from_numpy(np.array(value)).dtype
    return b.call(torch.full, b.ints(node, 0), value.reshape(-1)[0].item(), dtype=kind)


def _constant(_: Builder, node: OnnxNode) -> Any:
    raise Unsupported(f"has the attributes {', '.join(node.attributes)}; allowed: value and plain numbers")


def _range(b: Builder, node: OnnxNode) -> fx.Node:
    start, limit, delta = ((b.ints(node, place) or [0])[0] for place in range(3))
    return b.call(torch.arange, start, limit, delta)


def _if(b: Builder, node: OnnxNode) -> list[Any]:
    try:
        condition = b.constant(node, 0)
    except Unsupported as error:
        raise Unsupported("depends on what the network computes; allowed: on constants and fixed sizes") from error
    assert condition is not None
    return b.branch(node.get("then_branch" if bool(condition.reshape(())) else "else_branch"))


HANDLERS: dict[str, Handler] = {
    "Shape": _shape, "Size": _size, "Gather": gather, "ReduceProd": _reduce_product,
    "ConstantOfShape": _constant_of_shape, "If": _if, "Constant": _constant, "Range": _range,
}  # fmt: skip
