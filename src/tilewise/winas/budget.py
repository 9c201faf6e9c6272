"""The likeliest architecture that a latency budget allows, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def best_within(values: Sequence[Numbers], costs: Sequence[Numbers], budget: float) -> list[int]:
    """Choose one candidate of every layer so that the sum of values is largest and that of costs within the budget.

    The multiple-choice knapsack, solved layer by layer over the sums that nothing beats: those for which no other
    costs as little and is worth as much.

    Parameters
    ----------
    values, costs : sequences of arrays of shape (candidates,)
        By layer, such as log probabilities and seconds.
    budget : float
        Infinity allows everything.

    Returns
    -------
    list of int
        Index by layer. Costs added in the order of the layers do not exceed the budget.

    Raises
    ------
    ValueError
        If even the cheapest candidates cost more than the budget.
    """
    cost, value = np.zeros(1), np.zeros(1)
    came: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for layer_values, layer_costs in zip(values, costs, strict=True):
        total_cost = np.add.outer(cost, layer_costs).ravel()
        total_value = np.add.outer(value, layer_values).ravel()
        order = np.lexsort((-total_value, total_cost))
        order = order[total_cost[order] <= budget]
        if not len(order):
            raise ValueError(f"the budget is {budget}; the cheapest candidates cost more")
        # In order of cost, and at equal cost the worthiest first: keep what is worth more than all before it.
        sorted_values = total_value[order]
        before = np.concatenate(([-np.inf], np.maximum.accumulate(sorted_values)[:-1]))
        kept = order[sorted_values > before]
        came.append((kept // len(layer_costs), kept % len(layer_costs)))
        cost, value = total_cost[kept], total_value[kept]
    place, chosen = int(np.argmax(value)), []
    for previous, candidate in reversed(came):
        chosen.append(int(candidate[place]))
        place = int(previous[place])
    return chosen[::-1]
