"""Training with several processes: starting them, and letting what a model measures be of the whole batch."""

from __future__ import annotations

import functools
import os
import pickle
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn
from torch.nn.modules.batchnorm import _BatchNorm

from tilewise.common.processes import Processes
from tilewise.nn.synchronized import normalize_over
from tilewise.quant.fake import Range

R = TypeVar("R")


@contextmanager
def sharing(model: nn.Module, processes: Processes) -> Iterator[None]:
    """Let ranges and batch norms in training see the parts of each batch that the other processes have.

    Parameters
    ----------
    model : torch.nn.Module
        In its own state again afterwards.
    processes : Processes
        Those that call the model together, each with at least one image.
    """
    if processes.world == 1:
        yield
        return
    ranges = [m for m in model.modules() if isinstance(m, Range)]
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    try:
        for each in ranges:
            each.processes = processes
        for norm in norms:
            norm.forward = functools.partial(_normalize, processes, norm)  # type: ignore[method-assign]
        yield
    finally:
        for each in ranges:
            del each.processes
        for norm in norms:
            del norm.forward


def _normalize(processes: Processes, norm: _BatchNorm, x: torch.Tensor) -> torch.Tensor:
    if norm.training:
        return normalize_over(processes, norm, x)
    return type(norm).forward(norm, x)


def launch(function: Callable[..., R], *args: Any, devices: int = 1, device: str = "cpu") -> R | None:
    """Call a function in several processes on this machine, or join those that torchrun has started.

    Each process has torch's default process group, by which ``fit`` finds the others, and its share of the CPU
    threads. Under torchrun threads are each process's own matter, as ever.

    Parameters
    ----------
    function : callable
        Importable by name, and its arguments can be pickled.
    *args
        Given to each call.
    devices : int
        Processes on this machine: at most its cores, or its GPUs. Under torchrun leave it at 1.
    device : str
        ``"cpu"`` or ``"cuda"``.

    Returns
    -------
    object or None
        What the first process's call gave; None in torchrun's other processes.

    Raises
    ------
    ValueError
        If there are not as many devices.
    RuntimeError
        If a process failed or was killed; the others are ended then.
    """
    external = dist.is_available() and dist.is_torchelastic_launched()
    _check_devices(devices, device, external=external)
    if devices == 1 and not external:
        return function(*args)
    call = functools.partial(function, *args)
    if external:
        return _join(call, device)
    with tempfile.TemporaryDirectory() as folder:
        work = _Work(call, Path(folder), devices, device, max(1, torch.get_num_threads() // devices))
        try:
            _run_to_the_end(work)
        except ProcessRaisedException as error:
            raise RuntimeError(str(error).strip().splitlines()[-1]) from error
        except ProcessExitedException as error:
            raise RuntimeError(f"{error}; a run with --out continues with --resume") from error
        return cast("R", pickle.loads(work.result.read_bytes()))  # noqa: S301 - our own process wrote it


def _check_devices(devices: int, device: str, *, external: bool) -> None:
    cuda = device.startswith("cuda")
    there = torch.cuda.device_count() if cuda else os.cpu_count() or 1
    if not 1 <= devices <= max(1, there):
        raise ValueError(
            f"devices is {devices}; this machine has {there} {'GPUs' if cuda else 'cores'}, so 1 to {there}"
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if external and devices not in (1, local):
        raise ValueError(f"devices is {devices}, but torchrun has started {local} processes on this machine")
    if devices > 1 and device not in ("cpu", "cuda"):
        raise ValueError(f"device is {device!r}; allowed with {devices} devices: cpu, cuda")


@dataclass(frozen=True)
class _Work:
    """What each process of this machine is told."""

    call: Callable[[], Any]
    folder: Path
    world: int
    device: str
    threads: int

    @property
    def result(self) -> Path:
        """Where the first process leaves what its call gave: a pipe would have to be read before it is full."""
        return self.folder / "result"


def _spawned(rank: int, work: _Work, parent: int) -> None:
    """Run one of the processes."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(work.threads)
    if work.device == "cuda":
        torch.cuda.set_device(rank)
    # Nobody beyond this machine is asked or answered: processes find each other by a file, and speak by the loopback.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    meeting = f"file://{work.folder / 'meeting'}"
    dist.init_process_group(_backend(work.device), init_method=meeting, rank=rank, world_size=work.world)
    try:
        given = work.call()
        if Processes.here().first:
            work.result.write_bytes(pickle.dumps(given))
    finally:
        dist.destroy_process_group()


def _run_to_the_end(work: _Work) -> None:
    """Run the processes; whatever ends the wait for them ends them too."""
    started = spawn(_spawned, (work, os.getpid()), nprocs=work.world, join=False)  # type: ignore[no-untyped-call]
    try:
        while not started.join():
            pass
    finally:
        for process in started.processes:
            process.terminate()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone: nobody would hear of its result."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _join(call: Callable[[], R], device: str) -> R | None:
    """Run as one of torchrun's processes."""
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(_backend(device))
    try:
        result = call()
        return result if Processes.here().first else None
    finally:
        dist.destroy_process_group()


def _backend(device: str) -> str:
    return "nccl" if device == "cuda" else "gloo"
