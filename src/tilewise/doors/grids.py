"""Layers of networks that another tool has quantized: they take the file's integers as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tilewise.nn import Conv2d, Linear
from tilewise.quant import Direct, QuantGrid

BITS = 8
LOWEST, HIGHEST = -128, 127
"""Of the weights of quantized layers."""
WORD = 2**15 - 1
"""The largest integer of a 16-bit grid."""


def grid_of(scale: Any, zero: Any, low: int, high: int) -> QuantGrid | None:
    """Return the grid of integers ``low .. high`` that are ``(q - zero) * scale``; None: the engine has none such.

    Raises
    ------
    ValueError
        If the scale is no positive number, or the zero point none of the integers.
    """
    step, offset = float(np.float32(scale)), int(zero)
    if not (np.isfinite(step) and step > 0):
        raise ValueError(f"has the scale {step}; allowed: finite numbers above 0")
    if not low <= offset <= high:
        raise ValueError(f"has the zero point {offset}; allowed: {low} to {high}")
    grid = QuantGrid.of_step(step, low - offset, high - offset)
    fits = np.isfinite(grid.factor) and (grid.dtype == "uint8" or max(-grid.low, grid.high) <= WORD)
    return grid if fits else None


def quantized_layer(layer: nn.Module, grid: QuantGrid | None, step: Any) -> nn.Module:
    """Return a layer with the integers of its file, as one of tilewise's; the layer itself where they do not fit it.

    Parameters
    ----------
    layer : torch.nn.Module
        Its weights are what the file's integers stand for.
    grid : QuantGrid or None
        Of what it reads, where that lies on one.
    step : array of shape (), (1,) or (K,), or None
        Of its weights, where these are integers.
    """
    if grid is None or step is None or grid.dtype != "uint8" or type(layer) not in (nn.Conv2d, nn.Linear):
        return layer
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    steps = torch.from_numpy(np.array(step, np.float32)).reshape(-1, 1, 1, 1)
    weight = layer.weight.detach()
    integers = torch.round(weight / steps.view(-1, *[1] * (weight.ndim - 1)))
    if len(steps) not in (1, len(weight)) or not bool(((integers >= LOWEST) & (integers <= HIGHEST)).all()):
        return layer
    if isinstance(layer, nn.Linear):
        return Linear.from_linear(layer, Direct(bits=BITS)).fix(grid, steps)
    return Conv2d.from_conv(layer, Direct(bits=BITS)).fix(grid, steps)
