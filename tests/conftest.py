"""Shared settings of all tests."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

# Derandomized, so that a run that passes here passes there; no deadline, because speed is no test's business.
settings.register_profile("tilewise", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("tilewise")


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
