"""The layers that the engine computes with: what it serves, and float layers in the form of quantized ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tilewise.nn import Conv2d, QuantizedConv, WinogradConv2d
from tilewise.quant import FLOAT_BITS, Direct


def check_layer(name: str, layer: QuantizedConv) -> None:
    """Refuse what the engine does not serve, naming the layer, the value and what is allowed."""
    spec = layer.spec
    allowed = {
        f"bits is {spec.bits}; the engine allows 2 to 8, or {FLOAT_BITS} for float": 2 <= spec.bits <= 8
        or spec.bits == FLOAT_BITS,
        f"quantizer is {spec.quantizer!r}; the engine allows 'tap'": spec.quantizer == "tap" or spec.bits == FLOAT_BITS,
        f"groups is {layer.groups}; the engine allows 1": layer.groups == 1,
        f"padding_mode is {layer.padding_mode!r}; the engine allows 'zeros'": layer.padding_mode == "zeros",
        f"weights are {layer.weight.dtype}; the engine allows torch.float32": layer.weight.dtype == torch.float32,
    }
    if isinstance(layer, WinogradConv2d):
        problem = f"hadamard_bits is {spec.product_bits}; the engine allows None"  # type: ignore[union-attr]
        allowed[problem] = layer.spec.product_bits == FLOAT_BITS
    if spec.bits != FLOAT_BITS:
        message = "has no input range yet; calibrate(model, batches) or train it first"
        allowed[message] = layer.get_range("input_range").ready
    for problem, fine in allowed.items():
        if not fine:
            raise ValueError(f"layer {name!r}: {problem}")


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
