"""Numbers on a grid: rounded to it as the file says, and read from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tilewise.doors.building import Builder, Handler, Unsupported, shape_of
from tilewise.doors.reading import OnnxNode


def on_grid(x: Tensor, scale: Tensor, zero: Tensor, low: int, high: int) -> Tensor:
    """Return the integers that numbers are on a grid, as floats: rounded half to even, as ONNX says."""
    return torch.clamp(torch.round(x / scale) + zero, low, high)


def from_grid(q: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """Return the numbers that integers of a grid stand for."""
    return (q - zero) * scale


def _grid(b: Builder, node: OnnxNode, x: fx.Node) -> tuple[Any, Any, np.dtype[Any]]:
    """Return scale and zero point as parameters that broadcast, and the type of the integers."""
    scale, zero = b.constant(node, 1), b.constant(node, 2)
    if scale is None:
        raise Unsupported("has no scale")
    if zero is None:
        zero = np.zeros(scale.shape, np.uint8)
    if scale.size > 1 and scale.ndim != 1:
        raise Unsupported(f"has scales of shape {scale.shape}; allowed: one, or one for each channel")
    shape = [1] * len(shape_of(x))
    if scale.size > 1:
        shape[node.get("axis", 1)] = scale.size
    numbers = (np.array(value, np.float32).reshape(shape if value.size > 1 else ()) for value in (scale, zero))
    names = (f"{node.name}_scale", f"{node.name}_zero")
    scale_node, zero_node = (b.parameter(name, value) for name, value in zip(names, numbers, strict=True))
    return scale_node, zero_node, zero.dtype


def _quantize(b: Builder, node: OnnxNode) -> fx.Node:
    x = b.input(node, 0)
    scale, zero, dtype = _grid(b, node, x)
    limits = np.iinfo(dtype)
    return b.call(on_grid, x, scale, zero, int(limits.min), int(limits.max))


def _dequantize(b: Builder, node: OnnxNode) -> fx.Node:
    x = b.input(node, 0)
    scale, zero, _ = _grid(b, node, x)
    return b.call(from_grid, x, scale, zero)


HANDLERS: dict[str, Handler] = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
