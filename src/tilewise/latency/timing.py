"""Measuring engines that take turns, operation by operation."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tilewise.engine import Engine
from tilewise.latency.records import STAGES, Operation, Record, Work, origin
from tilewise.latency.works import call_of
from tilewise.train.progress import track

ROUNDS = 15
WARM_UP = 5
"""Calls before the one that is measured: weights of 17 MB took that many to settle in a cache of 32 MB."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one operation: median over rounds, quartiles; and of its stages."""

    seconds: float
    quartiles: tuple[float, float]
    stages: dict[str, float]

    @classmethod
    def of(cls, seconds: Sequence[float], stages: Sequence[Mapping[str, float]] = ()) -> Timing:
        """Sum up rounds."""
        low, middle, high = (max(0.0, float(q)) for q in np.quantile(seconds, (0.25, 0.5, 0.75)))
        medians = {s: statistics.median(row[s] for row in stages) for s in STAGES} if stages else {}
        return cls(seconds=middle, quartiles=(low, high), stages=medians)

    @classmethod
    def mean(cls, timings: Sequence[Timing]) -> Timing:
        """Give the mean over the places of a network that are alike: sums over the network stay the same."""
        means = [statistics.mean(x) for x in zip(*((t.seconds, *t.quartiles) for t in timings), strict=True)]
        stages = {s: statistics.mean(t.stages[s] for t in timings) for s in timings[0].stages}
        return cls(seconds=means[0], quartiles=(means[1], means[2]), stages=stages)


@dataclass(frozen=True)
class Timed:
    """An engine, and what each of its operations is."""

    engine: Engine
    works: Sequence[Work]


class Tally:
    """What operations took in engines that took turns.

    Parameters
    ----------
    rounds : int
        Runs of each engine, at least 1.

    Notes
    -----
    The engines of one :meth:`take` run one after another, round by round, so that what disturbs the machine disturbs
    them alike. An operation that stands at several places is recorded with the mean of their medians, so that sums over
    a network stay what they were.
    """

    def __init__(self, rounds: int) -> None:
        if rounds < 1:
            raise ValueError(f"rounds is {rounds}; it must be at least 1")
        self.rounds = rounds
        self._places: dict[Work, list[Timing]] = defaultdict(list)
        self._around: dict[Operation, list[float]] = defaultdict(list)

    def take(self, engines: Sequence[Timed], images: NDArray[np.float32], title: str) -> None:
        """Measure engines that read the same images; show progress under a title, if there is one."""
        profiles: list[list[list[dict[str, Any]]]] = [[] for _ in engines]
        for _ in track(range(self.rounds), title, enabled=bool(title)):
            for timed, rounds in zip(engines, profiles, strict=True):
                call = call_seconds(timed.engine, images)
                rounds.append(timed.engine.profile(images, repeats=1))
                inside = sum(row["seconds"] for row in rounds[-1])
                self._around[call_of(timed.engine.plan)].append(call - inside)
        for timed, rounds in zip(engines, profiles, strict=True):
            for work, rows in zip(timed.works, zip(*rounds, strict=True), strict=True):
                staged = rows if rows[0]["multiply"] else ()
                self._places[work].append(Timing.of([row["seconds"] for row in rows], staged))

    def records(self, source: Literal["network", "grid"], threads: int) -> Iterator[Record]:
        """Give a record for each operation, and for what calls took around them."""
        found = {work: Timing.mean(timings) for work, timings in self._places.items()}
        # A small difference of two large times: the median of all there are, lest one bad engine shifts it.
        found |= {call: Timing.of(seconds) for call, seconds in self._around.items()}
        for work, timing in found.items():
            yield Record(work=work, **vars(timing), rounds=self.rounds, source=source, **origin(threads))


def call_seconds(engine: Engine, images: Any) -> float:
    """Measure one call, after some that bring weights back to where an engine's own calls leave them."""
    for _ in range(WARM_UP):
        engine(images)
    start = time.perf_counter()
    engine(images)
    return time.perf_counter() - start
