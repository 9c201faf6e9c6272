"""Where programs are measured: here, by an engine; elsewhere, by a program (:mod:`tilewise.latency.remote`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from tilewise.engine import Engine
from tilewise.engine.engine import check_threads
from tilewise.latency.machine import Machine
from tilewise.latency.works import SizedProgram

WARM_UP = 5
"""Calls before the one that is measured: weights of 17 MB took that many to settle in a cache of 32 MB."""


class Loaded(Protocol):
    """A program that is ready to be measured, on images of noise."""

    @property
    def sized(self) -> SizedProgram:
        """What is measured."""

    def call(self) -> float:
        """Give the seconds of a call, after some that bring weights to where an engine's own calls leave them."""

    def profile(self) -> list[dict[str, Any]]:
        """Give each operation's seconds in one run, and of fast convolutions their stages', as Engine.profile does."""

    def close(self) -> None:
        """Give memory back; the program is not measured again."""


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

        check_threads(threads)
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
