"""The knapsack against every combination."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.winas.budget import best_within

NUMBER = st.integers(0, 12).map(float)  # integers, so that sums are exact and ties are frequent


@st.composite
def layers(draw: Any) -> tuple[list[Any], list[Any]]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    return tuple([np.array(draw(st.lists(NUMBER, min_size=n, max_size=n))) for n in sizes] for _ in range(2))


@given(layers(), st.integers(0, 60))
def test_nothing_within_the_budget_is_worth_more(problem: tuple[list[Any], list[Any]], budget: int) -> None:
    values, costs = problem

    def total(of: list[Any], chosen: tuple[int, ...]) -> float:
        return sum(layer[i] for layer, i in zip(of, chosen, strict=True))

    every = itertools.product(*(range(len(layer)) for layer in values))
    allowed = [chosen for chosen in every if total(costs, chosen) <= budget]
    if not allowed:
        with pytest.raises(ValueError, match=f"the budget is {budget}; the cheapest"):
            best_within(values, costs, budget)
        return
    found = tuple(best_within(values, costs, budget))
    assert found in allowed
    assert total(values, found) == max(total(values, chosen) for chosen in allowed)


def test_sixty_layers_of_twelve_candidates() -> None:
    random = np.random.default_rng(0)
    costs = [random.uniform(1, 10, 12) for _ in range(60)]
    values = [np.log(random.dirichlet(np.ones(12))) for _ in range(60)]
    budget = 1.2 * sum(c.min() for c in costs)
    found = best_within(values, costs, budget)
    assert sum(c[i] for c, i in zip(costs, found, strict=True)) <= budget
