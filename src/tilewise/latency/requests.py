"""What a server sees: how long requests take, and how many images a second go through, with several in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.engine import Engine
from tilewise.engine.streams import Streams

WARM_UP = 3
"""Requests of each worker before the clock starts."""


@dataclass(frozen=True)
class Served:
    """What was measured.

    Parameters
    ----------
    seconds : float64 array
        Of each request.
    images_per_second : float
        Of all workers together.
    """

    seconds: NDArray[np.float64]
    images_per_second: float

    def percentile(self, percent: float) -> float:
        """Return the seconds that so many requests in 100 do not exceed."""
        return float(np.percentile(self.seconds, percent))


def serve(engine: Engine, images: Sequence[NDArray[Any]], streams: Streams, seconds: float) -> Served:
    """Send one request after another from each worker, and measure.

    Parameters
    ----------
    engine : Engine
        What runs.
    images : sequence of arrays
        Those of a request, one for each input.
    streams : Streams
        How requests are shared among threads.
    seconds : float
        How long; every worker ends the request that it is at.
    """
    began = threading.Barrier(streams.workers)

    def work(number: int) -> tuple[float, list[float], float]:
        try:
            own = streams.caller(engine, number)
            for _ in range(WARM_UP):
                own(*images)
        except BaseException:
            began.abort()
            raise
        began.wait()
        found = [time.perf_counter()]
        while found[-1] < found[0] + seconds:
            own(*images)
            found.append(time.perf_counter())
        return found[0], list(np.diff(found)), found[-1]

    with ThreadPoolExecutor(streams.workers) as pool:
        futures = [pool.submit(work, number) for number in range(streams.workers)]
    for future in futures:
        if (error := future.exception()) is not None and not isinstance(error, threading.BrokenBarrierError):
            raise error
    starts, times, ends = zip(*(future.result() for future in futures), strict=True)
    every = np.concatenate(times)
    return Served(every, len(every) * len(images[0]) / (max(ends) - min(starts)))
