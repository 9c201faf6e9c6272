"""Numbers on a grid: rounded to it as the file says, and read from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from tilewise.doors.building import Builder, Handler, Integers, Unsupported, shape_of
from tilewise.doors.grids import grid_of
from tilewise.doors.reading import Array, OnnxNode
from tilewise.nn import Quantize
from tilewise.quant import QuantGrid

TYPES: dict[str, tuple[torch.dtype, int, int]] = {
    "uint8": (torch.uint8, 0, 255), "int8": (torch.int8, -128, 127), "uint16": (torch.int32, 0, 2**16 - 1),
    "int16": (torch.int16, -(2**15), 2**15 - 1), "uint4": (torch.uint8, 0, 15), "int4": (torch.int8, -8, 7),
    "uint2": (torch.uint8, 0, 3), "int2": (torch.int8, -2, 1), "int32": (torch.int32, -(2**31), 2**31 - 1),
}  # fmt: skip
"""Of a zero point: what holds such integers, and the first and the last of them."""
OF_NUMBERS = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4", 25: "uint2", 26: "int2"}
"""Names of types by ONNX's numbers."""


def on_grid(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
    """Return the integers that numbers are on a grid, as floats: rounded half to even, as ONNX says."""
    return torch.clamp(torch.round(x / scale) + zero, low, high)


def from_grid(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Return the numbers that integers of a grid stand for."""
    return (q - zero) * scale


def type_of(zero: Array) -> tuple[torch.dtype, int, int]:
    """Return what holds integers of a zero point's type, and the first and the last of them."""
    found = TYPES.get(str(zero.dtype))
    if found is None:
        raise Unsupported(f"has a zero point of type {zero.dtype}; allowed: {', '.join(TYPES)}")
    return found


def scale_and_zero(b: Builder, node: OnnxNode, place: int) -> tuple[Array, Array]:
    """Return a scale, which is the input at a place, and its zero point, which is the next; both constants."""
    scale, zero = b.constant(node, place), b.constant(node, place + 1)
    if scale is None:
        raise Unsupported("has no scale")
    if zero is None:
        zero = np.zeros(scale.shape, OF_NUMBERS.get(node.get("output_dtype", 2), "uint8"))
    return scale, zero


def one_grid(scale: Array, zero: Array) -> tuple[QuantGrid | None, int, torch.dtype]:
    """Return the grid of a scale and zero point, with what :class:`Integers` keep beside; None: of another kind."""
    dtype, low, high = type_of(zero)
    if scale.size != 1 or zero.size != 1:
        return None, 0, dtype
    try:
        return grid_of(scale.reshape(()), zero.reshape(()), low, high), int(zero.reshape(())), dtype
    except ValueError as error:
        raise Unsupported(str(error)) from error


def quantized(b: Builder, node: OnnxNode, x: fx.Node, scale: Array, zero: Array) -> Integers | fx.Node:
    """Round numbers to a grid; integers of a kind that the engine lacks are floats."""
    grid, offset, dtype = one_grid(scale, zero)
    if grid is None:
        limits = type_of(zero)[1:]
        return b.call(on_grid, x, *_broadcast(b, node, x, scale, zero), *limits)
    if b.grids.get(x) != grid:
        x = b.module(Quantize.on(grid), node, x, like=nn.Identity())
        b.grids[x] = grid
    return Integers(x, grid, offset, dtype)


def real(b: Builder, node: OnnxNode, place: int, scale: Array, zero: Array) -> fx.Node:
    """Return the numbers that an input's integers stand for."""
    found = b.value(node, place)
    grid, offset, dtype = one_grid(scale, zero)
    if isinstance(found, Integers) and grid is not None and found.kind[:2] == (grid, offset):
        return found.real
    x = b.input(node, place)
    y = b.call(from_grid, x, *_broadcast(b, node, x, scale, zero))
    if grid is not None and dtype != torch.int32:  # as it comes from outside, or with another scale
        y = b.module(Quantize.on(grid), node, y, like=nn.Identity())
        b.grids[y] = grid
    return y


def _broadcast(b: Builder, node: OnnxNode, x: fx.Node, scale: Array, zero: Array) -> list[fx.Node]:
    """Return scale and zero point as parameters that broadcast."""
    if scale.size > 1 and scale.ndim != 1:
        raise Unsupported(f"has scales of shape {scale.shape}; allowed: one, or one for each channel")
    shape = [1] * len(shape_of(x))
    if scale.size > 1:
        shape[node.get("axis", 1)] = scale.size
    numbers: list[Any] = [
        np.array(value, np.float32).reshape(shape if value.size > 1 else ()) for value in (scale, zero)
    ]
    return [b.parameter(f"{node.name}_{name}", value) for name, value in zip(("scale", "zero"), numbers, strict=True)]


def _quantize(b: Builder, node: OnnxNode) -> Integers | fx.Node:
    return quantized(b, node, b.input(node, 0), *scale_and_zero(b, node, 1))


def _dequantize(b: Builder, node: OnnxNode) -> fx.Node:
    scale = b.value(node, 1)
    if isinstance(scale, fx.Node):  # of integers whose scale each batch has anew
        zero = b.input(node, 2) if b.value(node, 2) is not None else 0
        return b.call(from_grid, b.input(node, 0), scale, zero)
    return real(b, node, 0, *scale_and_zero(b, node, 1))


HANDLERS: dict[str, Handler] = {
    "QuantizeLinear": _quantize, "DequantizeLinear": _dequantize,
    "com.microsoft.QuantizeLinear": _quantize, "com.microsoft.DequantizeLinear": _dequantize,
}  # fmt: skip
