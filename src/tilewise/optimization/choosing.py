"""Each layer its algorithm: one optimization over measured seconds and measured losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.conversion import convert
from tilewise.engine.layerwise import native_layer
from tilewise.nn import QuantizedConv, convolutions
from tilewise.optimization.metrics import flat
from tilewise.quant import FLOAT_BITS, Direct
from tilewise.winas.budget import best_within

Table: TypeAlias = Mapping[str, Mapping[str, float]]
"""Numbers by layer, then by candidate."""

POINTS = 8
"""Networks of a front."""


@torch.no_grad()
def layer_losses(model: nn.Module, network: nn.Module, images: Sequence[Tensor]) -> dict[str, float]:
    """Measure what each layer of a quantized network does to the float network's output, alone.

    Parameters
    ----------
    model : torch.nn.Module
        The float network.
    network : torch.nn.Module
        The same, converted and calibrated; layers that are direct although another algorithm was asked are left out.
    images : sequence of Tensor of shape (N, C, H, W)
        What to measure on.

    Returns
    -------
    dict of str to float
        By layer: the mean square of the change, as a share of the output's. Such shares about add up over layers.
    """
    plain = convert(model, {"*": Direct(bits=FLOAT_BITS)}).eval()
    wanted = [flat(plain(x)) for x in images]
    signal = sum(float(y.double().square().sum()) for outputs in wanted for y in outputs)
    own, losses = convolutions(network), {}
    for name, conv in convolutions(plain).items():
        layer = own.get(name)
        if not isinstance(layer, QuantizedConv) or layer.fallback is not None:
            continue
        norm, layer.norm = layer.norm, ()  # the float network keeps its own
        run = native_layer(layer)
        hook = conv.register_forward_hook(lambda _, inputs, __, run=run: run(inputs[0]))
        try:
            found = [flat(plain(x)) for x in images]
        finally:
            hook.remove()
            layer.norm = norm
        pairs = (pair for outputs in zip(found, wanted, strict=True) for pair in zip(*outputs, strict=True))
        noise = sum(float((y - float_y).double().square().sum()) for y, float_y in pairs)
        losses[name] = noise / max(signal, 1e-30)
    return losses


def front(seconds: Table, losses: Table) -> list[dict[str, str]]:
    """Return choices of a candidate for each layer, from the least loss to the least time; no other is better in both.

    Parameters
    ----------
    seconds, losses : mapping of str to mapping of str to float
        By layer, then by candidate; a candidate needs both numbers.
    """
    names = {layer: [c for c in seconds[layer] if c in losses[layer]] for layer in seconds}
    costs = [np.array([seconds[layer][c] for c in chosen]) for layer, chosen in names.items()]
    values = [-np.array([losses[layer][c] for c in chosen]) for layer, chosen in names.items()]
    if not costs:
        return []
    fastest = sum(float(cost.min()) for cost in costs)
    surest = best_within(values, costs, float("inf"))
    slowest = sum(float(cost[place]) for cost, place in zip(costs, surest, strict=True))
    found: list[dict[str, str]] = []
    for budget in np.linspace(slowest, fastest, POINTS):
        # Sums in another order may differ in the last bit.
        places = best_within(values, costs, float(budget) * (1 + 1e-9))
        choice = {layer: names[layer][place] for layer, place in zip(names, places, strict=True)}
        if choice not in found:
            found.append(choice)
    return found
