"""Direct int8 convolutions as exact fast ones: the same sums from fewer products (docs/exact.md)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.algebra import algorithm
from tilewise.algebra.wraparound import WORD, Wraparound, wraparound
from tilewise.engine.plan import OPERATIONS, Array, Plan
from tilewise.quant.exact import WRAPPING

MIN_CHANNELS = 4
"""Fewest input channels: below, the transforms cost more than the products they save."""
PAYS = {3: (32, 8 * 8), 5: (32, 28 * 28)}
"""Fewest channels (in and out) and pixels of a map with which they beat direct, by kernel size (docs/exact.md)."""


def with_exact(plan: Plan) -> Plan:
    """Give the plan with an exact fast convolution wherever one has a direct one's sums; results stay the same."""
    for i, node in enumerate(plan.nodes):
        if node["op"] == "direct":
            plan = as_exact(plan, i, WRAPPING.get(plan.arrays[f"{i}.weight"].shape[1], ())) or plan
    return plan


def as_exact(plan: Plan, i: int, names: Sequence[str]) -> Plan | None:
    """Give the plan with its operation ``i``, a direct one, as an exact fast one; None as :func:`exact_fields`."""
    node = plan.nodes[i]
    own = {key.partition(".")[2]: value for key, value in plan.arrays.items() if key.startswith(f"{i}.")}
    found = exact_fields({**node, **own}, plan.tensors[node["x"]], names)
    if found is None:
        return None
    arrays = {f"{i}.{k}": v for k, v in found.items() if isinstance(OPERATIONS["exact"][k], Array)}
    plain = {k: v for k, v in found.items() if f"{i}.{k}" not in arrays}
    nodes = (*plan.nodes[:i], {"op": "exact", "name": node["name"], **plain}, *plan.nodes[i + 1 :])
    return dataclasses.replace(plan, nodes=nodes, arrays=plan.arrays | arrays)


def exact_fields(direct: dict[str, Any], x: dict[str, Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Turn the fields of a direct convolution into those of an exact fast one.

    Parameters
    ----------
    direct : dict
        Fields of ``OPERATIONS["direct"]``, arrays among them.
    x : dict
        The tensor that it reads.
    names : sequence of str
        Algorithms, the preferred one first.

    Returns
    -------
    dict or None
        Fields of ``OPERATIONS["exact"]``. None if the layer is none that these algorithms serve: its weights are not
        int8, it has strides, or its sums could leave what they are exact for.
    """
    weight = direct["weight"]
    window, plain = weight.shape[1:3], direct["stride"] == direct["dilation"] == (1, 1)
    if weight.dtype != np.int8 or window[0] != window[1] or not plain or weight.shape[3] < MIN_CHANNELS:
        return None
    for name in names:
        if (recipe := _proved(name, weight, x["low"])) is not None:
            at, g, bt = (part.astype(np.int32) for part in recipe.parts)
            kept = {k: v for k, v in direct.items() if k in OPERATIONS["exact"]}
            return {**kept, "algorithm": recipe.algorithm.name, "at": at, "g": g, "bt": bt, "block": 0}
    return None


def pays(r: int, channels: int, pixels: int) -> bool:
    """Whether an exact algorithm can be expected to be faster than direct: ``channels`` is the fewer of C and K."""
    enough = PAYS.get(r, (math.inf, math.inf))
    return channels >= enough[0] and pixels >= enough[1]


def _proved(name: str, weight: NDArray[np.int8], low: int) -> Wraparound | None:
    """Give the recipe of an algorithm if it is exact for these weights, whatever bytes the input holds."""
    limits = (0, 255) if low == 0 else (-128, 127)
    try:
        recipe = wraparound(algorithm(name, weight.shape[1]), *limits)
    except ValueError:
        return None
    sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1)
    return recipe if sums.max() * max(-limits[0], limits[1]) < 2 ** (WORD - 1 - recipe.shift) else None
