"""Activations that limit a number to a range."""

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


IMPORTS: dict[str, Handler] = dict.fromkeys(
    ("aten::relu", "aten::relu6", "aten::hardtanh", "aten::clamp", "aten::clamp_min", "aten::clamp_max"), _clamp
)
SIMULATIONS: dict[str, Simulated] = {}
