"""The score on a labelled set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tilewise.common.limits import usable_threads
from tilewise.common.processes import ALONE, Processes
from tilewise.common.progress import track
from tilewise.engine.accelerate import accelerate
from tilewise.engine.layerwise import served
from tilewise.nn import QuantizedConv
from tilewise.train.tasks import CLASSIFICATION, Task

WORTH_COMPILING = 2**18
"""Pixels of all images, from which compiling, about a second, is less than what it saves: 256 images of CIFAR."""


class Score(NamedTuple):
    """Result of an evaluation."""

    value: float
    """By the task's metric: accuracy in percent, mIoU in percent, PSNR in dB."""
    loss: float
    """Mean loss of the task."""
    images: int
    """Images scored."""
    distance: float | None = None
    """Mean distance from a teacher's outputs by the task's measure; it orders networks near it better than scores."""


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    task: Task = CLASSIFICATION,
    teacher: nn.Module | None = None,
    device: str = "cpu",
    progress: bool = False,
    processes: Processes = ALONE,
) -> Score:
    """Score a network on every batch.

    A quantized network is scored as it is deployed: what the engine serves of it runs there. In torch run float
    networks, other devices than the CPU, what the engine lacks, and a few small images, where compiling takes longer.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (N, classes), or what the task needs. Its training mode is put back afterwards.
    batches : iterable of (x, y)
        Inputs and int64 labels, or the task's targets; all of them are scored.
    task : Task
        Loss and score: that of the data set, ``images.task``; classification by default.
    teacher : torch.nn.Module, optional
        A network, in float as a rule, from whose outputs the distance is measured as well. Moved to the device, in
        evaluation mode.
    device : str
        Where to run.
    progress : bool
        Show a progress bar.
    processes : Processes
        Those that score together, all with the same batches; all get the score.

    Raises
    ------
    ValueError
        If there are no images, or outputs are not finite or not what the task needs.
    """
    was_training = model.training
    model.to(device).eval()
    if teacher is not None:
        teacher.to(device).eval()
    counts = torch.zeros(task.size, dtype=torch.float64, device=device)
    loss, distance = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
    count, network = 0, _as_deployed(model, batches, device)
    try:
        for x, y in track(batches, "evaluate", enabled=progress and processes.first):
            count += len(y)
            targets = processes.part(y).to(device)
            if not len(targets):
                continue
            inputs = processes.part(x).to(device)
            outputs = network(inputs).double()
            if teacher is not None:
                distance += task.distance(outputs, teacher(inputs).double()) * len(targets)
            loss += task.loss(outputs, targets.double() if targets.is_floating_point() else targets) * len(targets)
            counts += task.counts(outputs, targets)
    finally:
        model.train(was_training)
    if count == 0:
        raise ValueError("no images to evaluate")
    counts, loss, distance = processes.sum(counts), processes.sum(loss), processes.sum(distance)
    if not torch.isfinite(loss):
        raise ValueError(f"the loss over {count} images is {float(loss)}: weights or data contain NaN or infinity")
    return Score(task.score(counts), float(loss) / count, count, None if teacher is None else float(distance) / count)


def _as_deployed(model: nn.Module, batches: Iterable[Any], device: str) -> Callable[[Tensor], Tensor]:
    """Return what a model is scored by: for what the engine serves a copy of it that the first images make."""
    if device != "cpu" or not any(isinstance(m, QuantizedConv) and served(m) for m in model.modules()):
        return model
    made: list[nn.Module] = []

    def run(x: Tensor) -> Tensor:
        if not made:
            count = len(batches) if isinstance(batches, Sized) else math.inf
            worth = count * x[:, :1].numel() >= WORTH_COMPILING
            made.append(
                accelerate(model, x, threads=min(torch.get_num_threads(), usable_threads())) if worth else model
            )
        y: Tensor = made[0](x)
        return y

    return run
