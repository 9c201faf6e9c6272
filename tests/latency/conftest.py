"""Tables of made-up times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tilewise.latency import Candidate, Convolution, LatencyTable, LayerShape, Machine, Record
from tilewise.latency.records import Work

HERE = Machine.here(1)
ELSEWHERE = Machine(cpu="Elbrus", isa="e2k", threads=1)


def shape_of(channels: int, size: int, ratio: float = 1.0, **others: Any) -> LayerShape:
    sizes = {"kernel": (3, 3), "padding": (1, 1), **others}
    return LayerShape(
        batch=1, in_channels=channels, out_channels=round(channels * ratio), height=size, width=size, **sizes
    )


def work_of(shape: LayerShape, candidate: str = "F4 int8", **ends: Any) -> Convolution:
    return Convolution(shape=shape, candidate=Candidate.parse(candidate), **ends)


def record_of(work: Work, seconds: float, source: Any = "network", machine: Machine = HERE) -> Record:
    return Record(
        work=work, seconds=seconds, quartiles=(seconds, seconds), rounds=1, source=source, machine=machine,
        date="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def grid_table() -> Callable[[Callable[[Convolution], float]], LatencyTable]:
    """Make a table of a grid whose times a function gives."""

    def make(seconds: Callable[[Convolution], float]) -> LatencyTable:
        works = [work_of(shape_of(c, s, r)) for c in (16, 64) for s in (4, 16) for r in (1, 2)]
        return LatencyTable(record_of(work, seconds(work), "grid") for work in works)

    return make
