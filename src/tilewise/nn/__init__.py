"""Trainable layers: quantized direct convolution and Winograd-aware convolution."""

from __future__ import annotations

from tilewise.nn.base import Fallback, QuantizedConv
from tilewise.nn.conv1d import Conv1d
from tilewise.nn.direct import Conv2d
from tilewise.nn.frozen import Frozen
from tilewise.nn.linear import Linear
from tilewise.nn.lossless import LosslessConv2d
from tilewise.nn.norm import Affine, FoldedNorm, affine_of, order_norms, plain_norms
from tilewise.nn.plain import plain_copy, unwrapped
from tilewise.nn.quantize import Quantize
from tilewise.nn.reports import LayerReport, Reporting, describe
from tilewise.nn.serving import unservable, unsuitable
from tilewise.nn.surrounded import Surrounded, convolutions, has_hooks, is_plain, keep_hooks, surround
from tilewise.nn.transposed import Transposed
from tilewise.nn.winograd import WinogradConv2d

__all__ = [
    "Affine",
    "Conv1d",
    "Conv2d",
    "Fallback",
    "FoldedNorm",
    "Frozen",
    "LayerReport",
    "Linear",
    "LosslessConv2d",
    "Quantize",
    "QuantizedConv",
    "Reporting",
    "Surrounded",
    "Transposed",
    "WinogradConv2d",
    "affine_of",
    "convolutions",
    "describe",
    "has_hooks",
    "is_plain",
    "keep_hooks",
    "order_norms",
    "plain_copy",
    "plain_norms",
    "surround",
    "unservable",
    "unsuitable",
    "unwrapped",
]
