"""Running the runs of a sweep: one after the other in this process, or side by side over Ray."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tilewise.common.files import write_json

RETRIES = 3
PATIENCE_S = 5.0


class Command(Protocol):
    """What a run runs: a command that resumes what it finds in its folder."""

    def run(self) -> dict[str, Any] | None:
        """Run it; give its result."""
        ...


@dataclass(frozen=True)
class Job:
    """A run that is ready to start, wherever.

    Parameters
    ----------
    name : str
        Of the run.
    command : Command
        Can be pickled.
    folder : path
        Absolute; gets ``result.json``, and ``output.txt`` with what the command prints.
    threads : int
        CPU threads.
    gpus : int
        GPUs.
    place : path
        Working directory, which relative paths in the command start from.
    """

    name: str
    command: Command
    folder: Path
    threads: int
    gpus: int = 0
    place: Path = field(default_factory=Path.cwd)


def perform(job: Job) -> str:
    """Run a job to its end; give what went wrong, or nothing."""
    import torch

    try:
        torch.set_num_threads(job.threads)
        os.chdir(job.place)
        with (
            (job.folder / "output.txt").open("a") as output,
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
        ):
            result = job.command.run()
        write_json(job.folder / "result.json", result)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this run's alone
        return f"{type(error).__name__}: {error}"
    return ""


def execute(jobs: Sequence[Job], *, address: str | None = None, workers: int = 1) -> Iterator[tuple[Job, str]]:
    """Run jobs, and give each with what went wrong (or nothing) as it ends.

    Over Ray a job whose process or machine dies is started again, up to three times, and resumes.

    Parameters
    ----------
    jobs : sequence of Job
        Started in this order.
    address : str, optional
        Of a Ray cluster: ``"auto"`` for the one that this machine belongs to, ``"host:6379"`` or
        ``"ray://host:10001"``. Its cores and GPUs say how many jobs run at once.
    workers : int
        Without a cluster: how many run at once. One needs no Ray.

    Raises
    ------
    ValueError
        If the number is below one, the address can not be reached, or no machine has the cores and GPUs of a job.
    RuntimeError
        If Ray is needed and not installed.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    if address is not None and workers != 1:
        raise ValueError("both an address and workers are given; a cluster's cores say how many runs it takes at once")
    if not jobs or (address is None and workers == 1):
        for job in jobs:
            yield job, perform(job)
        return
    ray = _connect(address, workers)
    try:
        # A process of its own for each job: it ends with what the job has kept.
        start = ray.remote(max_calls=1, max_retries=RETRIES)(perform)
        needs = {job.name: {"CPU": 1 if address is None else job.threads, "GPU": job.gpus} for job in jobs}
        _check_room(ray, needs)
        running = {
            start.options(num_cpus=needs[job.name]["CPU"], num_gpus=needs[job.name]["GPU"]).remote(job): job
            for job in jobs
        }
        while running:
            (ended, *_), _ = ray.wait(list(running))
            yield running.pop(ended), _outcome(ray, ended)
    finally:
        ray.shutdown()


def _connect(address: str | None, workers: int) -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise RuntimeError("runs side by side need Ray: pip install 'tilewise[sweep]'") from error
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        # Ray starts workers with niceness 15: beside anything else on the machine they would stand still.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        return ray
    try:
        if address != "auto":
            # Ray itself gives up after half a minute.
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=PATIENCE_S).close()
        ray.init(address=address, **quiet)
    except (OSError, ValueError, OverflowError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"no Ray cluster at {address}: {reason}") from error
    return ray


def _outcome(ray: Any, ended: Any) -> str:
    try:
        return str(ray.get(ended))
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__} after {RETRIES} retries: {str(error).strip().splitlines()[0]}"


def _check_room(ray: Any, needs: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse what Ray would let wait for ever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, need in needs.items():
        if not any(all(machine.get(kind, 0) >= count for kind, count in need.items()) for machine in machines):
            wanted = " and ".join(f"{count} {kind}s" for kind, count in need.items() if count)
            raise ValueError(f"run {name} needs {wanted} of one machine, and none has as many")
