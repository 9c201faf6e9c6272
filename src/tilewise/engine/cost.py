"""What the operations of a plan have to do at least: the two numbers of a roofline."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tilewise.engine.plan import ITEM_BYTES, Plan


class Cost(NamedTuple):
    """Work of one operation.

    Parameters
    ----------
    operations : int
        Two for each multiply-add that a direct convolution needs, whatever the algorithm really multiplies; 0 for all
        that is no convolution.
    bytes : int
        Of activations read and written, and of weights.
    """

    operations: int
    bytes: int


def costs(plan: Plan, images: int) -> list[Cost]:
    """Give the cost of each operation of a plan on some images, in its order."""
    return [_cost(plan, i, node, images) for i, node in enumerate(plan.nodes)]


def _cost(plan: Plan, i: int, node: dict[str, Any], images: int) -> Cost:
    touched = images * sum(_bytes(plan, node[role]) for role in ("x", "y", "residual") if node.get(role) is not None)
    if node["op"] not in ("direct", "exact", "residue", "fast"):
        return Cost(0, touched)
    y = plan.tensors[node["y"]]
    weight = plan.arrays[f"{i}.u" if node["op"] == "fast" else f"{i}.weight"]
    if node["op"] != "fast":
        window = math.prod(weight.shape[1:])
    else:
        at, bt = plan.arrays[f"{i}.at"], plan.arrays[f"{i}.bt"]
        window = (bt.shape[1] - node["stride"] * (at.shape[0] - 1)) ** 2 * weight.shape[2]
    return Cost(2 * images * y["height"] * y["width"] * y["channels"] * window, touched + weight.nbytes)


def _bytes(plan: Plan, number: int) -> int:
    tensor = plan.tensors[number]
    values = tensor["height"] * tensor["width"] * tensor["channels"]
    return int(values * ITEM_BYTES[tensor["dtype"]])
