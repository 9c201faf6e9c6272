"""Where programs are measured, here or elsewhere, and how: in turns, operation by operation."""

from __future__ import annotations

import functools
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, Protocol

import numpy as np

from tilewise.common.limits import check_threads
from tilewise.common.turns import in_turns
from tilewise.engine import Engine
from tilewise.latency.operations import SizedProgram, call_of
from tilewise.latency.records import STAGES, Machine, Operation, Record, Work, origin

ROUNDS = 15
WARM_UP = 5
"""Calls before the one that is measured: weights of 17 MB took that many to settle in a cache of 32 MB."""


class Loaded(Protocol):
    """A program that is ready to be measured, on images of noise."""

    @property
    def sized(self) -> SizedProgram:
        """What is measured."""

    def call(self) -> float:
        """Return the seconds of a call, after some that bring weights to where an engine's own calls leave them."""

    def profile(self) -> list[dict[str, Any]]:
        """Return each operation's seconds in one run, of fast convolutions by stages too, as ``Engine.profile``."""

    def close(self) -> None:
        """Free memory; the program is not measured again."""


class Runner(Protocol):
    """A machine that measures programs."""

    @property
    def machine(self) -> Machine:
        """What the latencies hold for."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of what took part, for records."""

    def load(self, sized: SizedProgram) -> Loaded:
        """Get a program ready.

        Raises
        ------
        ValueError
            If it is not possible.
        """


class Here:
    """The machine that this process runs on.

    Parameters
    ----------
    threads : int
        How many to run with.

    Raises
    ------
    ValueError
        If there are not so many.
    """

    def __init__(self, threads: int = 1) -> None:
        from tilewise import _native

        threads = check_threads(threads)
        self.machine = Machine.here(threads)
        self.versions = {"tilewise": metadata.version("tilewise"), "compiler": _native.compiler()}

    def load(self, sized: SizedProgram) -> Loaded:
        """Make an engine."""
        engine = Engine(sized.program.to_bytes(), threads=self.machine.threads, batch=sized.shape[0])
        return _Loaded(engine, sized)


class _Loaded:
    def __init__(self, engine: Engine, sized: SizedProgram) -> None:
        self.sized = sized
        self._engine = engine
        self._images = np.random.default_rng(0).standard_normal(sized.shape, dtype=np.float32)

    def call(self) -> float:
        for _ in range(WARM_UP):
            self._engine(self._images)
        start = time.perf_counter()
        self._engine(self._images)
        return time.perf_counter() - start

    def profile(self) -> list[dict[str, Any]]:
        return self._engine.profile(self._images, repeats=1)

    def close(self) -> None:
        del self._engine


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
        """Return the mean over the places of a network that are alike: sums over the network stay the same."""
        means = [statistics.mean(x) for x in zip(*((t.seconds, *t.quartiles) for t in timings), strict=True)]
        stages = {s: statistics.mean(t.stages[s] for t in timings) for s in timings[0].stages}
        return cls(seconds=means[0], quartiles=(means[1], means[2]), stages=stages)


@dataclass(frozen=True)
class Timed:
    """A program where it is measured, and what each of its operations is."""

    loaded: Loaded
    works: Sequence[Work]

    @property
    def all_works(self) -> list[Work]:
        """Its operations, and the call."""
        return [*self.works, call_of(self.loaded.sized)]


class Tally:
    """What operations took in programs that took turns.

    Parameters
    ----------
    rounds : int
        Runs of each program, at least 1.

    Notes
    -----
    The programs of one :meth:`take` run one after another, round by round, so that what disturbs the machine disturbs
    them alike. An operation that stands at several places is recorded with the mean of their medians, so that sums over
    a network stay what they were.
    """

    def __init__(self, rounds: int) -> None:
        if rounds < 1:
            raise ValueError(f"rounds is {rounds}; it must be at least 1")
        self.rounds = rounds
        self._places: dict[Work, list[Timing]] = defaultdict(list)
        self._around: dict[Operation, list[float]] = defaultdict(list)

    def take(self, programs: Sequence[Timed], title: str) -> None:
        """Measure programs, and close them; show progress under a title, if there is one."""
        profiles = in_turns(
            {number: functools.partial(self._profile, timed.loaded) for number, timed in enumerate(programs)},
            self.rounds,
            progress=title,
        )
        for timed, rounds in zip(programs, profiles.values(), strict=True):
            timed.loaded.close()
            for work, rows in zip(timed.works, zip(*rounds, strict=True), strict=True):
                staged = rows if rows[0]["multiply"] else ()
                self._places[work].append(Timing.of([row["seconds"] for row in rows], staged))

    def _profile(self, loaded: Loaded) -> list[dict[str, Any]]:
        """Return each operation's seconds in one run; keep what a call takes around them."""
        call, rows = loaded.call(), loaded.profile()
        self._around[call_of(loaded.sized)].append(call - sum(row["seconds"] for row in rows))
        return rows

    def records(
        self, source: Literal["network", "grid"], runner: Runner, programs: Sequence[Timed]
    ) -> Iterator[Record]:
        """Return a record for each operation of these programs, and for what calls took around them."""
        works = dict.fromkeys(work for timed in programs for work in timed.all_works)
        found = {work: Timing.mean(self._places[work]) for work in works if work in self._places}
        # A small difference of two large times: the median of all there are, lest one bad program shifts it.
        calls = (work for work in works if isinstance(work, Operation) and work in self._around)
        found |= {call: Timing.of(self._around[call]) for call in calls}
        measured = origin(runner.machine, runner.versions)
        for work, timing in found.items():
            yield Record(work=work, **vars(timing), rounds=self.rounds, source=source, **measured)
