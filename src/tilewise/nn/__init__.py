"""Trainable layers: quantized direct convolution and Winograd-aware convolution."""

from __future__ import annotations

from tilewise.nn.base import Fallback, QuantizedConv
from tilewise.nn.direct import Conv2d
from tilewise.nn.winograd import WinogradConv2d, unservable

__all__ = ["Conv2d", "Fallback", "QuantizedConv", "WinogradConv2d", "unservable"]
