"""Measurements that take turns.

Machines are shared and change their speed, so only times of the same round compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from tilewise.common.progress import track

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def in_turns(measurements: Mapping[K, Callable[[], T]], rounds: int, *, progress: str = "") -> dict[K, list[T]]:
    """Make every measurement once in each round, and return what each gave, round by round.

    Parameters
    ----------
    measurements : mapping of name to callable
        What to call, in this order.
    rounds : int
        How often.
    progress : str
        Title of a progress bar; empty shows none.
    """
    found: dict[K, list[T]] = {name: [] for name in measurements}
    for _ in track(range(rounds), progress, enabled=bool(progress)):
        for name, measure in measurements.items():
            found[name].append(measure())
    return found


def stopwatch(call: Callable[[], object], seconds: float) -> Callable[[], float]:
    """Return a measurement of a call: its mean time over as many calls as fit into so many seconds, at least one.

    How many fit is found out now. Each measurement begins with a call that is not counted and brings weights back into
    the caches.
    """
    call()
    count = max(1, int(seconds / max(1e-6, _elapsed(call, 1))))

    def measure() -> float:
        call()
        return _elapsed(call, count) / count

    return measure


def _elapsed(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start
