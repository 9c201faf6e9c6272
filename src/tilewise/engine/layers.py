"""The layers that the engine computes with: what it serves, and float layers in the form of quantized ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tilewise.nn import Conv2d, QuantizedConv, WinogradConv2d
from tilewise.nn.frozen import Frozen
from tilewise.quant import FLOAT_BITS, Direct, QuantGrid

INT16_MAX = 2**15 - 1
INT32_MAX = 2**31 - 1


def check_layer(name: str, layer: QuantizedConv) -> None:
    """Refuse what the engine does not serve, naming the layer, the value and what is allowed."""
    spec = layer.spec
    allowed = {
        f"quantizer is {spec.quantizer!r}; the engine allows 'tap'": spec.quantizer == "tap" or spec.bits == FLOAT_BITS,
        f"weights are {layer.weight.dtype}; the engine allows torch.float32": layer.weight.dtype == torch.float32,
    }
    if isinstance(layer, WinogradConv2d):
        problem = f"bits is {spec.bits}; with learned transforms of {layer.algorithm.name} the engine allows 2 to 8"
        allowed[problem] = not (8 < spec.bits < FLOAT_BITS and layer.has_float_transform)
        problem = f"hadamard_bits is {spec.product_bits}; the engine allows None"  # type: ignore[union-attr]
        allowed[problem] = layer.spec.product_bits == FLOAT_BITS
    if spec.bits != FLOAT_BITS:
        message = "has no input range yet; calibrate(model, batches) or train it first"
        allowed[message] = layer.get_range("input_range").ready
    for problem, fine in allowed.items():
        if not fine:
            raise ValueError(f"layer {name!r}: {problem}")
    if spec.bits != FLOAT_BITS:
        check_grid(name, QuantGrid.of(layer.get_range("input_range")))


def check_grid(name: str, grid: QuantGrid) -> None:
    """Refuse a grid that int16 does not hold, naming the layer."""
    if grid.high > INT16_MAX:
        raise ValueError(
            f"layer {name!r}: its inputs are never negative and go up to {grid.high} at 16 bits; the engine allows "
            f"{INT16_MAX}, that is, 15 bits"
        )


def check_sums(name: str, layer: QuantizedConv, numbers: Frozen) -> None:
    """Refuse a layer whose sums could leave int32 for some input, by its own weights.

    Raises
    ------
    ValueError
        Naming the layer, the bound and the largest width that keeps it.
    """
    bits = layer.spec.bits
    if bits <= 8 or bits == FLOAT_BITS:
        return  # the native check is enough: no weights of ordinary layers come near its bound
    assert numbers.grid is not None
    fast = isinstance(layer, WinogradConv2d)
    weight = np.abs(numbers.weight.astype(np.float64))
    rows = weight.reshape(-1, weight.shape[-1] if fast else weight[0].size)
    largest = numbers.v_limit if fast else max(-numbers.grid.low, numbers.grid.high)
    bound = float(rows.sum(1).max()) * largest
    if bound <= INT32_MAX:
        return
    for fitting in range(bits - 1, 8, -1):
        shorter = 2.0 ** (fitting - bits)
        if float(((rows + 0.5) * shorter + 0.5).sum(1).max()) * (largest + 1) * shorter <= INT32_MAX:
            break
    else:
        fitting = 8
    raise ValueError(
        f"layer {name!r}: with {bits} bits its sums could reach {bound:.0f}; int32 allows {INT32_MAX}; "
        f"at most {fitting} bits would do"
    )


def float_layer(
    weight: Tensor,
    bias: Tensor | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Conv2d:
    """Give a float convolution with these weights."""
    k, c, *window = weight.shape
    layer = Conv2d(
        c * groups, k, tuple(window), spec=Direct(bits=FLOAT_BITS), stride=stride, padding=padding, dilation=dilation,
        groups=groups, bias=bias is not None, device="meta",
    )  # fmt: skip
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    layer.bias = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)
    return layer.eval()
