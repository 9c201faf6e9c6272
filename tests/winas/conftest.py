"""What tests of the search share."""

from __future__ import annotations

from typing import Any

import pytest

from tilewise.experiments import known_searches
from tilewise.winas import SearchConfig

FOUR = ("direct", "F2", "F4", "F6")
"""One more than by default, so that there is much to choose from."""


@pytest.fixture
def config() -> Any:
    """Make a config of a search that shows nothing."""

    def make(**settings: Any) -> SearchConfig:
        given = {"algorithms": FOUR, "progress": False, "epochs": 1}
        return SearchConfig(**{**given, **settings})

    return make


@pytest.fixture
def problem() -> Any:
    """Return a small network and two sets of batches."""

    def make(steps: int = 4) -> Any:
        model = known_searches.network(0)
        return model, *(known_searches.Batches(model, steps, seed=seed) for seed in (0, 1))

    return make
