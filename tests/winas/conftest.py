"""What tests of the search share."""

from __future__ import annotations

from typing import Any

import pytest

from tilewise.experiments import known_searches
from tilewise.winas import SearchConfig


@pytest.fixture
def config() -> Any:
    """Make a config of a search that shows nothing."""

    def make(**settings: Any) -> SearchConfig:
        return SearchConfig(**{"progress": False, "epochs": 1, **settings})

    return make


@pytest.fixture
def problem() -> Any:
    """Give a small network and two sets of batches."""

    def make(steps: int = 4) -> Any:
        model = known_searches.network(0)
        return model, *(known_searches.Batches(model, steps, seed=seed) for seed in (0, 1))

    return make
