"""Training with several processes: starting them, and letting what a model measures be of the whole batch."""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException
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
        If Lightning Fabric is not installed, or a process failed or was killed; the others are ended then.
    """
    external = dist.is_available() and dist.is_torchelastic_launched()
    _check_devices(devices, device, external=external)
    if devices == 1 and not external:
        return function(*args)
    # Bound, as Fabric looks for models in the arguments that it passes on, and refuses frozen dataclasses.
    call = functools.partial(function, *args)
    if external:
        return cast("R | None", _fabric("ddp", device).launch(_join, call))
    threads = max(1, torch.get_num_threads() // devices)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        _spawn(_fabric("ddp_spawn", device, devices), _work, call, threads, result)
        return cast("R", pickle.loads(result.read_bytes()))  # noqa: S301 - our own process wrote it


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


def _fabric(strategy: str, device: str, devices: int | None = None) -> Any:
    """Set up Lightning Fabric for processes of its own (``devices``) or those of torchrun."""
    try:
        fabric = importlib.import_module("lightning_fabric")
        environments = importlib.import_module("lightning_fabric.plugins.environments")
    except ImportError as error:
        raise RuntimeError("several processes need Lightning Fabric: pip install 'tilewise[distributed]'") from error
    accelerator = device.partition(":")[0]
    if devices is not None:
        # Named, so that a job of Slurm's around us is not taken for processes that it has started.
        plugins = [environments.LightningEnvironment()]
        return fabric.Fabric(accelerator=accelerator, devices=devices, strategy=strategy, plugins=plugins)
    local = int(os.environ["LOCAL_WORLD_SIZE"])
    nodes = int(os.environ["WORLD_SIZE"]) // local
    return fabric.Fabric(accelerator=accelerator, devices=local, num_nodes=nodes, strategy=strategy)


def _spawn(fabric: Any, function: Callable[..., None], *args: Any) -> None:
    """Run in processes of our own; of one that fails, give the one line that says why."""
    before = os.environ.get("MASTER_PORT")
    try:
        fabric.launch(function, *args)
    except ProcessRaisedException as error:
        raise RuntimeError(str(error).strip().splitlines()[-1]) from error
    except ProcessExitedException as error:
        raise RuntimeError(f"{error}; a run with --out continues with --resume") from error
    finally:
        # Fabric leaves the port there, and the next launch would take it for given.
        if before is None:
            os.environ.pop("MASTER_PORT", None)


def _work(_: Any, call: Callable[[], Any], threads: int, result: Path) -> None:
    torch.set_num_threads(threads)
    try:
        given = call()
        if Processes.here().first:
            # Through Fabric's pipe it would have to fit into the pipe's buffer, as that is read after the end only.
            result.write_bytes(pickle.dumps(given))
    finally:
        dist.destroy_process_group()


def _join(_: Any, call: Callable[[], R]) -> R | None:
    try:
        result = call()
        return result if Processes.here().first else None
    finally:
        dist.destroy_process_group()
