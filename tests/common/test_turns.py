from __future__ import annotations

import functools
import time

import pytest

from tilewise.common.turns import in_turns, stopwatch


def test_measurements_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> int:
        order.append(name)
        return len(order)

    found = in_turns({name: functools.partial(measure, name) for name in "ab"}, 3)
    assert order == ["a", "b"] * 3
    assert found == {"a": [1, 3, 5], "b": [2, 4, 6]}


@pytest.mark.parametrize(("takes", "count"), [(0.25, 4), (4.0, 1)])
def test_a_stopwatch_gives_the_mean_of_the_calls_that_fit(
    takes: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = 0.0, 0

    def call() -> None:
        nonlocal clock, calls
        clock, calls = clock + takes, calls + 1

    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    measure = stopwatch(call, 1.0)
    calls = 0
    assert measure() == takes
    assert calls == 1 + count  # the first one is not counted
