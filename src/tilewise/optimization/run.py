"""``tw.optimize``: a network and images in, a faster network and what proves it out."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.common.limits import check_threads
from tilewise.common.modules import copy_model
from tilewise.common.places import check_place, sole_use
from tilewise.latency import Machine, layer_shapes
from tilewise.latency.shapes import LayerShape
from tilewise.nn import unwrapped
from tilewise.optimization.attempts import Bench
from tilewise.optimization.climb import Climb, Clock
from tilewise.optimization.config import MetricName, OptimizeConfig
from tilewise.optimization.journal import Journal
from tilewise.optimization.metrics import Judge, flat, make_judge
from tilewise.optimization.outcome import Optimized, finish
from tilewise.optimization.sample import Sample
from tilewise.optimization.training import Trainer
from tilewise.train import Task
from tilewise.train.runs import digest


def optimize(
    model: nn.Module,
    images: Iterable[Any],
    *,
    out: str | Path | None = None,
    max_drop: float = 0.5,
    minutes: float = 10.0,
    metric: MetricName | Task = "auto",
    threads: int = 1,
    seed: int = 0,
    progress: bool = False,
    origin: Mapping[str, Any] | None = None,
) -> Optimized:
    """Make a network as fast as this machine can while it loses no more than allowed.

    From free to dear: lossless algorithms; algorithms that need calibration only; refinement layer by layer;
    distillation on the same images. Each layer gets its algorithm by measured time and measured loss. No label is
    needed. A part of the images is held back, and networks are judged by it.

    Parameters
    ----------
    model : torch.nn.Module
        A float network that can be compiled; it is not changed.
    images : iterable of Tensor, or of (Tensor, Tensor)
        Images (N, C, H, W), float32, as the network takes them, with or without targets: labels (N,) or (N, H, W), or
        images. Some hundreds are enough; all are kept in memory.
    out : path, optional
        Folder for ``model.tilewise``, ``specs.json``, ``summary.json``, ``report.html`` and what was measured. A call
        that was stopped goes on there. By default a new folder among the temporary ones, which stays.
    max_drop : float
        How much may be lost, in the metric's unit: points in percent, or dB.
    minutes : float
        Time to spend, about.
    metric : {"auto", "accuracy", "miou", "psnr", "agreement"} or Task
        How networks are judged; by default as labels and outputs allow (:class:`OptimizeConfig`).
    threads : int
        How many to run with; 0: as many as this process may use.
    seed : int
        Of what is held back, and of training.
    progress : bool
        Say on the error stream what is tried.
    origin : mapping, optional
        What summary and page shall say of where model and images come from, in JSON's types.

    Returns
    -------
    Optimized
        An interruption (Ctrl-C) ends the search, and gives the best so far.

    Raises
    ------
    ValueError
        If an argument or an image is not allowed, the network can not be compiled, the folder holds another run or is
        in use by one, or no network that was tried keeps the budget; the error then names the nearest.
    OSError
        If the folder can not be written.

    Examples
    --------
    >>> found = tilewise.optimize(model, batches, out="runs/fast", max_drop=0.5)
    >>> y = found.engine(x)
    >>> print(found.page)
    """
    named: MetricName = metric if isinstance(metric, str) else "auto"
    threads = check_threads(threads)
    config = OptimizeConfig(max_drop=max_drop, minutes=minutes, metric=named, threads=threads, seed=seed)
    clock, sample = Clock.of(minutes), Sample.of(images)
    model = copy_model(unwrapped(model)).eval()
    torch.set_num_threads(threads)
    if out is not None:
        check_place(Path(out), "folder")
    shown, held = sample.split(seed)
    judge = _judge(model, metric, held)
    identity = {
        "seed": seed, "threads": threads, "model": digest(model.state_dict().values()), "images": sample.digest(),
        "metric": judge.task.metric, "machine": str(Machine.here(threads)),
        "version": metadata.version("tilewise"),
    }  # fmt: skip
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="tilewise-"))
    told = {"model": type(model).__name__, **(origin or {})}
    say = _say if progress else _keep_silent
    with sole_use(folder):
        bench = Bench(model, shown, held, judge, config, Journal(folder, identity), say)
        operations = sum(shape.operations for shape in _shapes(model, shown.images[0]).values())
        climb = Climb(bench, Trainer(model, shown, judge, operations, seed), clock)
        interrupted = False
        try:
            climb.run()
        except KeyboardInterrupt:
            if not bench.attempts:
                raise
            interrupted = True
            say("interrupted; measuring the best so far ...")
        return finish(bench, climb, folder, {"origin": told, "interrupted": interrupted})


def _judge(model: nn.Module, metric: MetricName | Task, held: Sample) -> Judge:
    """Look at what the network gives, and choose how to judge it."""
    x = held.images[0]
    with torch.no_grad():
        outputs = model(x)
    if not all(bool(torch.isfinite(y).all()) for y in flat(outputs)):
        raise ValueError("the network's outputs are not finite: its weights contain NaN or infinity")
    return make_judge(metric, outputs, held.targets[0] if held.targets else None, x.shape[1])


def _shapes(model: nn.Module, image: Tensor) -> Mapping[str, LayerShape]:
    try:
        return layer_shapes(model, image)
    except ValueError:  # a layer that reads maps of several sizes: its operations are not counted
        return {}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _keep_silent(_: str) -> None:
    pass
