"""Several requests in flight: a pool of threads that call one engine, or engines that share its weights."""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from tilewise.engine.engine import Engine

Mode: TypeAlias = Literal["latency", "throughput"]
MOST_WORKERS = 1024
LATENCY_WORKERS = 2
"""While one request computes, the next one is checked and copied."""
AHEAD = 2
"""Requests for each worker that are taken from the source before their results are asked for."""


@dataclass(frozen=True)
class Streams:
    """How requests are shared among threads.

    Parameters
    ----------
    workers : int
        Threads that call.
    threads : int
        What each worker's own engine has; 0: all call one engine, and take turns.
    cores : sequence of tuple of int
        By worker the cores that it stays on; empty: wherever the system puts it.
    """

    workers: int
    threads: int
    cores: Sequence[tuple[int, ...]] = ()

    def caller(self, engine: Engine, number: int) -> Engine:
        """Return the engine that worker ``number`` calls; it runs on the calling thread's cores, which are set here."""
        if self.cores:
            os.sched_setaffinity(0, self.cores[number])  # threads that an engine starts inherit them
        return engine.share(self.threads) if self.threads else engine


def streams_of(mode: str, workers: int | None, threads: int, *, pin: bool = False) -> Streams:
    """Return how an engine of ``threads`` threads serves requests.

    Parameters
    ----------
    mode : {"latency", "throughput"}
        All threads work on one request, or each worker's share of them on one of its own.
    workers : int, optional
        By default 2 for latency, and for throughput as many as there are threads.
    threads : int
        Of all workers together.
    pin : bool
        Whether each worker stays on cores of its own; for throughput only.

    Raises
    ------
    ValueError
        If an argument is not allowed.
    """
    if mode not in ("latency", "throughput"):
        raise ValueError(f"mode is {mode!r}; allowed: latency, throughput")
    if workers is None:
        workers = LATENCY_WORKERS if mode == "latency" else threads
    if isinstance(workers, bool) or not isinstance(workers, int) or not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f"workers is {workers!r}; allowed: 1 to {MOST_WORKERS}")
    if mode == "latency":
        if pin:
            raise ValueError("pin is True, but in latency mode all workers share the threads; allowed: False")
        return Streams(workers, 0)
    each = max(1, threads // workers)
    if not pin:
        return Streams(workers, each)
    cores = sorted(os.sched_getaffinity(0))
    if workers * each > len(cores):
        raise ValueError(f"workers is {workers} and pin is True; allowed: 1 to {len(cores)}, a core for each")
    return Streams(workers, each, [tuple(cores[i * each : (i + 1) * each]) for i in range(workers)])


def in_order(
    engine: Engine, items: Iterable[Any], streams: Streams, call: Callable[[Engine, Any], Any]
) -> Iterator[Any]:
    """Yield ``call(engine, item)`` for each item, in their order; a few are in flight.

    Items are taken in the thread that asks for results, a few more than workers can use. What a call or the source
    raises is raised where its result would stand, and ends the sequence.
    """
    own = threading.local()
    numbers = itertools.count()

    def work(item: Any) -> Any:
        if not hasattr(own, "engine"):
            own.engine = streams.caller(engine, next(numbers))
        return call(own.engine, item)

    flying: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(streams.workers, thread_name_prefix="tilewise-map")
    try:
        for future in _begun(items, lambda item: pool.submit(work, item)):
            flying.append(future)
            if len(flying) >= AHEAD * streams.workers:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begun(items: Iterable[Any], begin: Callable[[Any], Future[Any]]) -> Iterator[Future[Any]]:
    """Begin with each item; if the source fails, its error is the last result."""
    try:
        for item in items:
            yield begin(item)
    except Exception as error:  # noqa: BLE001 - raised again in its place
        failed: Future[Any] = Future()
        failed.set_exception(error)
        yield failed
