"""Activations: limits, and another slope below 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from tilewise.engine.capture import operation
from tilewise.engine.graph import Activation, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.simulation import Simulated

INFINITY = float("inf")


@dataclass(frozen=True)
class Activate(Op):
    """An activation."""

    activation: Activation


def _clamp(im: Importer, a: dict[str, Any]) -> Value:
    named = {"aten::relu": (0.0, None), "aten::relu6": (0.0, 6.0)}
    low, high = named.get(operation(im.node)) or (a.get("min", a.get("min_val")), a.get("max", a.get("max_val")))
    if any(isinstance(limit, fx.Node) for limit in (low, high)):
        raise im.refusal("has limits that are tensors; allowed: numbers")
    # As torch compares float32 tensors: with limits rounded to float32.
    lowest = -INFINITY if low is None else float(np.float32(low))
    highest = INFINITY if high is None else float(np.float32(high))
    if not lowest <= highest:
        raise im.refusal(f"has the limits {low} and {high}; allowed: numbers in order")
    return im.alike(Activate(Activation(lowest, highest)), im.value(a.get("self", a.get("input"))))


def _leaky(im: Importer, a: dict[str, Any]) -> Value:
    return im.alike(Activate(Activation(slope=(float(np.float32(a["negative_slope"])),))), im.value(a["self"]))


def _prelu(im: Importer, a: dict[str, Any]) -> Value:
    x, weight = im.value(a["self"]), im.tensor(a["weight"])
    assert weight is not None
    slope = tuple(weight.detach().flatten().tolist())
    if len(slope) not in (1, x.node.chw.channels):
        raise im.refusal(f"has {len(slope)} slopes; allowed: 1, or {x.node.chw.channels}, one a channel")
    if len(slope) > 1 and not x.holds_channels(1):
        raise im.refusal("has a slope for each entry of an axis that is not the channels; allowed: one a channel")
    return im.alike(Activate(Activation(slope=slope)), x)


IMPORTS: dict[str, Handler] = dict.fromkeys(
    ("aten::relu", "aten::relu6", "aten::hardtanh", "aten::clamp", "aten::clamp_min", "aten::clamp_max"), _clamp
) | {"aten::leaky_relu": _leaky, "aten::prelu": _prelu}
SIMULATIONS: dict[str, Simulated] = {}
