"""How networks are judged: by labels, or by the float network's own outputs; and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tilewise.optimization.config import MetricName
from tilewise.train.tasks import CLASSIFICATION, Segmentation, Task, divergence

RESAMPLES = 1000
"""Draws of the bootstrap."""
SHARE = 0.95
"""Of the draws that lie in an interval."""
RULE_OF_THREE = 3.0
"""Of N images none differ: then, by 95 %, fewer than 3 / N of all do."""
VOID = 255
"""The label of pixels that count for nothing in label maps that come without a task of their own."""
PICTURE_CHANNELS = (1, 3)
PICTURE_MARGIN, BEYOND = 0.1, 0.01
"""How far outputs that are pictures from 0 to 1 may go beyond, but for a share of their values at either end."""
DARKEST = 0.2
"""What a picture's brightest values reach at least; the first image may be a dark one."""


@dataclass(frozen=True)
class Agreement:
    """The same answer as the float network, for each image or each of its pixels; targets are its outputs."""

    metric = "agreement"
    unit = "%"
    size = 2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Divergence of softened probabilities."""
        return divergence(outputs, targets)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Divergence of softened probabilities."""
        return divergence(outputs, wanted)

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count equal answers, and all."""
        same = outputs.argmax(1) == targets.argmax(1)
        return torch.tensor([float(same.sum()), same.numel()], dtype=torch.float64)

    def score(self, counts: Tensor) -> float:
        """Percent of equal answers."""
        same, answers = counts.tolist()
        return float(100 * same / answers)


@dataclass(frozen=True)
class Likeness:
    """Mean over images of the peak signal-to-noise ratio to a target: the float network's output, or an image.

    Parameters
    ----------
    peak : float
        What the ratio is of: 1 for pictures, else the span of the targets.
    is_picture : bool
        Whether outputs are pictures from 0 to 1, and cut to that.
    """

    peak: float
    is_picture: bool

    metric = "psnr"
    unit = "dB"
    size = 2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean square difference, as a share of the peak."""
        return (outputs - targets).square().mean() / self.peak**2

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Mean square difference, as a share of the peak: what the ratio is made from."""
        return self.loss(outputs, wanted)

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum decibels, count images."""
        given, wanted = (t.double().clamp(0, 1) if self.is_picture else t.double() for t in (outputs, targets))
        errors = (given - wanted).square().flatten(1).mean(1).clamp_min(1e-12 * self.peak**2)
        return torch.stack(((10 * (self.peak**2 / errors).log10()).sum(), errors.new_tensor(len(errors))))

    def score(self, counts: Tensor) -> float:
        """Mean over images, in dB."""
        decibels, images = counts.tolist()
        return float(decibels / images)


def flat(outputs: Any) -> list[Tensor]:
    """Return the tensors of a network's result, whatever holds them."""
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, Mapping) else outputs
    return [tensor for value in values for tensor in flat(value)]


@dataclass(frozen=True, kw_only=True)
class Judge:
    """The task, and what its drop is measured from.

    Parameters
    ----------
    task : Task
        Which score.
    by_labels : bool
        Whether targets came with the images; else they are the float network's outputs.
    """

    task: Task
    by_labels: bool

    @property
    def from_direct(self) -> bool:
        """Whether the drop is from direct int8: decibels to float itself are infinite."""
        return not self.by_labels and isinstance(self.task, Likeness)

    def counts(self, outputs: Any, targets: Any) -> Tensor:
        """Return one image's counts; of several outputs their mean."""
        pairs = zip(flat(outputs), flat(targets), strict=True)
        return torch.stack([self.task.counts(output, target).double() for output, target in pairs]).mean(0)

    def score(self, counts: Tensor) -> float:
        """Return the score of all images, from the counts of each: (N, size)."""
        return self.task.score(counts.sum(0))

    def drop(self, base: Tensor, counts: Tensor, seed: int) -> Drop:
        """Return what is lost from one network to another, with its interval by a paired bootstrap over images."""
        random, images = np.random.default_rng(seed), len(counts)
        drawn = torch.from_numpy(random.multinomial(images, np.full(images, 1 / images), RESAMPLES)).double()
        lost = [
            self.task.score(was) - self.task.score(now) for was, now in zip(drawn @ base, drawn @ counts, strict=True)
        ]
        low, high = np.quantile(lost, ((1 - SHARE) / 2, (1 + SHARE) / 2))
        if self.task.unit != "dB" and bool((base == counts).all()):
            high = 100 * min(1.0, RULE_OF_THREE / images)
        return Drop(value=self.score(base) - self.score(counts), low=float(low), high=float(high))


@dataclass(frozen=True, kw_only=True)
class Drop:
    """What a network loses of the score, and the interval of 95 %."""

    value: float
    low: float
    high: float


def make_judge(metric: MetricName | Task, outputs: Any, targets: Tensor | None, channels: int) -> Judge:
    """Choose how to judge a network.

    Parameters
    ----------
    metric : str or Task
        What was asked for.
    outputs : Tensor, or tuple or dict of them
        What the float network gives for some images.
    targets : Tensor, optional
        Labels (N,) or (N, H, W), int64, or images of the output's shape, float32.
    channels : int
        Of the network's images.

    Raises
    ------
    ValueError
        If the metric needs labels and there are none, or outputs are not what it is for.
    """
    if not isinstance(metric, str):
        if targets is None:
            raise ValueError(f"the metric {metric.metric} needs labels, and the data has none; allowed: auto")
        return Judge(task=metric, by_labels=True)
    parts = flat(outputs)
    found = _usual(parts, targets, channels) if metric == "auto" else metric
    shape = ", ".join(str(tuple(part.shape)) for part in parts)
    if found in ("accuracy", "miou"):
        axes = 1 if found == "accuracy" else 3
        if targets is None or targets.is_floating_point() or targets.ndim != axes:
            raise ValueError(f"metric is {found}, which needs labels, and the data has none; allowed: psnr, agreement")
        if len(parts) != 1 or parts[0].ndim != axes + 1 or int(targets[targets != VOID].max()) >= parts[0].shape[1]:
            raise ValueError(f"metric is {found}, but the network gives {shape}, not a number for each class")
        task = CLASSIFICATION if found == "accuracy" else Segmentation(parts[0].shape[1], VOID)
        return Judge(task=task, by_labels=True)
    if found == "agreement":
        if len(parts) != 1 or parts[0].ndim < 2 or parts[0].shape[1] < 2:
            raise ValueError(f"metric is agreement, but the network gives {shape}; allowed: auto, psnr")
        return Judge(task=Agreement(), by_labels=False)
    return _likeness(parts, targets)


def _usual(parts: list[Tensor], targets: Tensor | None, channels: int) -> MetricName:
    """Return the metric that outputs and labels allow."""
    if len(parts) != 1:
        return "psnr"
    output = parts[0]
    if targets is not None and not targets.is_floating_point():
        return "miou" if targets.ndim == 3 else "accuracy"
    is_image = output.ndim == 4 and (output.shape[1] in (*PICTURE_CHANNELS, channels))
    return "psnr" if is_image or targets is not None or output.ndim < 2 or output.shape[1] < 2 else "agreement"


def _likeness(parts: list[Tensor], targets: Tensor | None) -> Judge:
    by_labels = targets is not None and targets.is_floating_point()
    if by_labels:
        assert targets is not None
        if len(parts) != 1 or parts[0].shape != targets.shape:
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise ValueError(
                f"targets have shape {tuple(targets.shape)}, the network gives {shapes}; they must be alike"
            )
    low, high = min(float(part.min()) for part in parts), max(float(part.max()) for part in parts)
    is_picture = len(parts) == 1 and _is_picture(parts[0])
    return Judge(task=Likeness(1.0 if is_picture else max(high - low, 1e-6), is_picture), by_labels=by_labels)


def _is_picture(output: Tensor) -> bool:
    """Whether an output is an image from 0 to 1, but for a few values that networks leave beyond."""
    if output.ndim != 4 or output.shape[1] not in PICTURE_CHANNELS:
        return False
    values = output.flatten().sort().values
    low, high = (float(values[int(share * (len(values) - 1))]) for share in (BEYOND, 1 - BEYOND))
    return low >= -PICTURE_MARGIN and DARKEST <= high <= 1 + PICTURE_MARGIN
