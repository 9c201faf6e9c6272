"""The model of convolutions, and its rates from a table."""

from __future__ import annotations

import numpy as np
import pytest

from tilewise.latency import Convolution, LatencyTable
from tilewise.latency.models import RATES, ConvolutionModel

from .conftest import record_of, shape_of, work_of

NAMES = ("direct int8", "F2 int8", "F4 int8", "F6 int8", "direct float32", "F4 float32", "F4 learned int8")
WORKS = [work_of(shape_of(c, size), name) for name in NAMES for c in (16, 64, 256) for size in (4, 16, 56)]
BETWEEN = [work_of(shape_of(c, size), name) for name in NAMES for c in (24, 96) for size in (7, 28)]


def fitted(works: list[Convolution], seconds: list[float]) -> ConvolutionModel:
    return ConvolutionModel.fit(record_of(work, s, "grid") for work, s in zip(works, seconds, strict=True))


def test_rates_of_another_machine_are_found_again() -> None:
    other = {"products, int8": 1e11, "products, float32": 6e10, "transformed": 5e9, "weight bytes": 4e9}
    machine = ConvolutionModel(RATES | other)
    model = fitted(WORKS, [machine.seconds(work) for work in WORKS])
    for name, rate in other.items():
        assert model.rates[name] == pytest.approx(rate, rel=0.1), name
    for work in BETWEEN:
        assert model.seconds(work) == pytest.approx(machine.seconds(work), rel=0.05)
        assert ConvolutionModel().seconds(work) < 0.7 * machine.seconds(work)


def test_a_machine_that_is_slower_throughout_is_that_everywhere() -> None:
    works = [work for work in WORKS if "float32" not in str(work.candidate)]
    model = fitted(works, [3 * ConvolutionModel().seconds(work) for work in works])
    for name, rate in RATES.items():
        assert model.rates[name] == pytest.approx(rate / 3), name


def test_no_rate_is_negative_whatever_was_measured() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        model = fitted(WORKS, (10 ** random.uniform(-7, -2, len(WORKS))).tolist())
        assert all(0 < rate < float("inf") for rate in model.rates.values())


def test_a_table_between_whose_points_another_machine_is_predicted() -> None:
    machine = ConvolutionModel(RATES | {"transformed": 2e9})
    grid = [work_of(shape_of(c, size, k)) for c in (16, 64, 256) for size in (4, 16, 56) for k in (1, 2)]
    table = LatencyTable(record_of(work, machine.seconds(work), "grid") for work in grid)
    for work in (work_of(shape_of(c, size, 1.5)) for c in (24, 96) for size in (7, 28)):
        assert table.seconds_of(work) == pytest.approx(machine.seconds(work), rel=0.05)


def test_without_records_the_rates_are_round_numbers() -> None:
    assert ConvolutionModel.fit([]) == ConvolutionModel()
