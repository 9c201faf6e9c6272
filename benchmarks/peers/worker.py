"""One peer in a process of its own, so that no library's threads or settings meet another's."""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # nothing here may load NumPy or a library before the process has its cores
    from collections.abc import Iterator

    from peers.net import Sample
    from peers.runner import Peer, Runner, Variant

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WARM_SECONDS = 0.01
TIMEOUT = 900.0
PATIENCE = 10.0


class WorkerError(Exception):
    """What a worker says instead of an answer."""


@contextmanager
def environment(settings: dict[str, str], cores: set[int]) -> Iterator[None]:
    """Set variables and cores for processes that are started meanwhile."""
    before, own = dict(os.environ), os.sched_getaffinity(0)
    os.environ.update(settings)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)
        os.environ.clear()
        os.environ.update(before)


class Worker:
    """The measuring process of one peer, seen from outside.

    Parameters
    ----------
    name : str
        Of the peer.
    threads : int
        How many it may run, each with a core of its own.
    settings : dict of str to str
        Environment variables beside those for the number of threads.
    log : path
        What its library prints.
    """

    def __init__(self, name: str, threads: int, settings: dict[str, str], log: Path) -> None:
        cores = sorted(os.sched_getaffinity(0))[:threads]
        variables = dict.fromkeys(THREAD_VARIABLES, str(threads)) | settings
        self.name = name
        self._connection, remote = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_serve, args=(remote, name, threads, str(log)), daemon=True)
        with environment(variables, set(cores)):
            self._process.start()
        remote.close()

    def ask(self, question: str, *args: Any) -> Any:
        """Let it answer one of :class:`_Server`'s questions.

        Raises
        ------
        WorkerError
            If it can not, has died or takes too long; in the latter cases it is gone then.
        """
        try:
            self._connection.send((question, args))
            if not self._connection.poll(TIMEOUT):
                self.stop()
                raise WorkerError(f"{question} took more than {TIMEOUT:.0f} s")
            answer, error = self._connection.recv()
        except (EOFError, OSError) as problem:
            self._process.join()
            raise WorkerError(f"its process died with {self._process.exitcode}") from problem
        if error:
            raise WorkerError(error)
        return answer

    @property
    def alive(self) -> bool:
        """Whether it can still answer."""
        return self._process.is_alive()

    def stop(self) -> None:
        """End the process: it goes by itself when its pipe closes, unless it hangs."""
        self._connection.close()
        self._process.join(PATIENCE)
        self._process.terminate()
        self._process.join()


class _Server:
    """What a worker can be asked."""

    def __init__(self, name: str, threads: int) -> None:
        from peers.registry import peer

        self.peer: Peer = peer(name)
        self.threads = threads
        self.sample: Sample | None = None
        self.runners: dict[str, Runner] = {}

    def version(self) -> str:
        """Version of the library."""
        return self.peer.version()

    def build(self, variant: Variant, path: str) -> dict[str, Any]:
        """Build a variant for the sample of a folder and check what it computes."""
        from peers.sample_file import read_sample

        if self.sample is None:
            self.sample = read_sample(Path(path))
        runner = self.peer.build(variant, self.sample, self.threads)
        runner.call()
        self.runners[variant.name] = runner
        return {"error": self.sample.error(runner.output()), "note": runner.note}

    def measure(self, variant: str, seconds: float) -> dict[str, float]:
        """Return the median seconds of calls for a time, and of the convolution alone where the peer tells."""
        runner = self.runners[variant]
        calls = timed(runner.call, seconds)
        found = {"call": statistics.median(calls)}
        if runner.node is not None:
            found["node"] = runner.node(max(3, min(len(calls), 1000)))
        return found

    def free(self) -> None:
        """Forget what was built."""
        self.runners.clear()
        self.sample = None
        gc.collect()


def timed(call: Callable[[], object], seconds: float) -> list[float]:
    """Call for about this time after warming up, at least once; give the seconds of each call."""
    clock = time.perf_counter
    start = clock()
    call()
    while clock() - start < WARM_SECONDS:
        call()
    found: list[float] = []
    end = clock() + seconds
    while not found or clock() < end:
        begin = clock()
        call()
        found.append(clock() - begin)
    return found


def _serve(connection: Connection, name: str, threads: int, log: str) -> None:
    """Answer until the pipe closes; whatever libraries print goes to the log."""
    with Path(log).open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    server = _Server(name, threads)
    while True:
        try:
            question, args = connection.recv()
        except EOFError:
            return
        try:
            connection.send((getattr(server, question)(*args), ""))
        except Exception as problem:  # noqa: BLE001 - a peer may refuse a case in any way; the others go on
            connection.send((None, f"{type(problem).__name__}: {problem}"[:300]))
