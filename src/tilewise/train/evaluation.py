"""Accuracy on a labelled set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.quant.processes import ALONE, Processes
from tilewise.train.progress import track


class Score(NamedTuple):
    """Result of an evaluation."""

    accuracy: float
    """Percent of the images whose largest logit is their label."""
    loss: float
    """Mean cross entropy."""
    images: int
    """Images scored."""


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    device: str = "cpu",
    progress: bool = False,
    processes: Processes = ALONE,
) -> Score:
    """Score a classifier on every batch.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (N, classes). Its training mode is put back afterwards.
    batches : iterable of (x, y)
        Inputs and int64 labels; all of them are scored.
    device : str
        Where to run.
    progress : bool
        Show a progress bar.
    processes : Processes
        Those that score together, all with the same batches; all get the score.

    Raises
    ------
    ValueError
        If there are no images, or logits are not finite.
    """
    was_training = model.training
    model.to(device).eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    loss = torch.zeros((), dtype=torch.float64, device=device)
    count = 0
    try:
        for x, y in track(batches, "evaluate", enabled=progress and processes.first):
            count += len(y)
            labels = processes.part(y).to(device)
            if not len(labels):
                continue
            logits = model(processes.part(x).to(device))
            correct += (logits.argmax(1) == labels).sum()
            loss += F.cross_entropy(logits.double(), labels, reduction="sum")
    finally:
        model.train(was_training)
    if count == 0:
        raise ValueError("no images to evaluate")
    correct, loss = processes.sum(correct), processes.sum(loss)
    if not torch.isfinite(loss):
        raise ValueError(f"the loss over {count} images is {float(loss)}: weights or data contain NaN or infinity")
    return Score(100 * int(correct) / count, float(loss) / count, count)
