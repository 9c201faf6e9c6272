"""Sums of two tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tilewise.engine.graph import Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.simulation import Simulated


@dataclass(frozen=True)
class Add(Op):
    """The sum of two tensors."""


def _add(im: Importer, a: dict[str, Any]) -> Value:
    x, y = im.value(a["self"]), im.value(a["other"])
    if a["alpha"] != 1 or x.shape != y.shape or x.node.chw != y.node.chw:
        raise im.refusal(f"adds {a['alpha']} * {y.shape} to {x.shape}; allowed: 1 * a tensor of the same shape")
    if x.axes != y.axes:
        raise im.refusal("adds tensors whose channels, rows and columns lie in different orders; allowed: the same")
    return x._replace(node=im.add(Add(), [x.node, y.node], x.node.chw))


IMPORTS: dict[str, Handler] = {"aten::add": _add}
SIMULATIONS: dict[str, Simulated] = {}
