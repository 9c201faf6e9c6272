"""Trainable layers: quantized direct convolution and Winograd-aware convolution."""

from __future__ import annotations

from tilewise.nn.base import Fallback, QuantizedConv
from tilewise.nn.direct import Conv2d
from tilewise.nn.frozen import Frozen
from tilewise.nn.linear import Linear
from tilewise.nn.lossless import LosslessConv2d
from tilewise.nn.norm import Affine, FoldedNorm, affine_of
from tilewise.nn.plain import plain_copy, unwrapped
from tilewise.nn.quantize import Quantize
from tilewise.nn.serving import unservable, unsuitable
from tilewise.nn.surrounded import Surrounded, convolutions, has_hooks, is_plain, keep_hooks, surround
from tilewise.nn.transposed import Transposed
from tilewise.nn.winograd import WinogradConv2d

__all__ = [
    "Affine",
    "Conv2d",
    "Fallback",
    "FoldedNorm",
    "Frozen",
    "Linear",
    "LosslessConv2d",
    "Quantize",
    "QuantizedConv",
    "Surrounded",
    "Transposed",
    "WinogradConv2d",
    "affine_of",
    "convolutions",
    "has_hooks",
    "is_plain",
    "keep_hooks",
    "plain_copy",
    "surround",
    "unservable",
    "unsuitable",
    "unwrapped",
]
