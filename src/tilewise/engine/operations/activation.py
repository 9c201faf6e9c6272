"""Activations: limits, another slope below 0, and functions of one number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tilewise.engine.functions import FUNCTIONS
from tilewise.engine.fxnodes import operation
from tilewise.engine.graph import Activation, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.operations.elementwise import ElementWise
from tilewise.engine.simulation import Run, Simulated

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
    if len(slope) not in (1, x.shape[0]):
        raise im.refusal(f"has {len(slope)} slopes; allowed: 1, or {x.shape[0]}, one a channel")
    return im.alike(Activate(Activation(slope=slope)), x if len(slope) == 1 else im.as_channels(x, [1]))


def _function(name: str) -> Callable[[Importer, dict[str, Any]], Value]:
    """Return the handler of a function of one number that has no arguments."""

    def handler(im: Importer, a: dict[str, Any]) -> Value:
        return im.alike(Activate(Activation(function=name)), im.value(a["self"]))

    return handler


def _gelu(im: Importer, a: dict[str, Any]) -> Value:
    return _function(GELU[a["approximate"]])(im, a)


def _elu(im: Importer, a: dict[str, Any]) -> Value:
    alpha, scale = _elu_factors(im.node, a)
    slope = () if alpha == 1 else (float(np.float32(alpha)),)
    x = im.alike(Activate(Activation(function="elu", slope=slope)), im.value(a["self"]))
    return x if scale == 1 else im.alike(ElementWise(torch.full((x.node.chw.channels,), scale)), x)


def _elu_factors(node: fx.Node, a: dict[str, Any]) -> tuple[float, float]:
    """Return what numbers below 0 and what all results are multiplied by."""
    return (a["alpha"], 1.0) if operation(node) == "aten::elu" else SELU


def _softplus(im: Importer, a: dict[str, Any]) -> Value:
    if a["beta"] != 1 or a["threshold"] < LINEAR:
        raise im.refusal(f"has beta {a['beta']} and threshold {a['threshold']}; allowed: 1, and from {LINEAR} on")
    return _function("softplus")(im, a)


def _simulated(name: str) -> Simulated:
    def simulate(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
        return FUNCTIONS[name].compute(a["self"])

    return simulate


def _simulate_gelu(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    return FUNCTIONS[GELU[a["approximate"]]].compute(a["self"])


def _simulate_elu(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    alpha, scale = _elu_factors(node, a)
    y = FUNCTIONS["elu"].compute(a["self"])
    return torch.where(y > 0, y, y * alpha) * scale


GELU = {"none": "gelu", "tanh": "gelu_tanh"}
"""By torch's names for the two."""
SELU = (1.6732632423543772, 1.0507009873554805)
"""SELU is an ELU with these two factors."""
LINEAR = 17
"""From here on softplus(x) is x in float32."""
NAMED = {
    "aten::abs": "abs", "aten::erf": "erf", "aten::exp": "exp", "aten::hardsigmoid": "hardsigmoid",
    "aten::hardswish": "hardswish", "aten::log": "log", "aten::mish": "mish", "aten::reciprocal": "reciprocal",
    "aten::sigmoid": "sigmoid", "aten::silu": "silu", "aten::sqrt": "sqrt", "aten::square": "square",
    "aten::tanh": "tanh",
}  # fmt: skip
"""Functions without arguments."""
LIMITS = ("aten::relu", "aten::relu6", "aten::hardtanh", "aten::clamp", "aten::clamp_min", "aten::clamp_max")
IMPORTS: dict[str, Handler] = {
    **dict.fromkeys(LIMITS, _clamp), "aten::leaky_relu": _leaky, "aten::prelu": _prelu, "aten::elu": _elu,
    "aten::selu": _elu, "aten::gelu": _gelu, "aten::softplus": _softplus,
    **{aten: _function(name) for aten, name in NAMED.items()},
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    "aten::elu": _simulate_elu, "aten::selu": _simulate_elu, "aten::gelu": _simulate_gelu,
    "aten::softplus": _simulated("softplus"), **{aten: _simulated(name) for aten, name in NAMED.items()},
}  # fmt: skip
