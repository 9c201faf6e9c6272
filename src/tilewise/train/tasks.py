"""What a network is trained and scored for: its loss, and the one number by which it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 4.0


class Task(Protocol):
    """A loss that is a mean over images of one size, and a score, of which more is better.

    Processes that share a batch add up their parts, so both are sums over images before they are anything else.
    """

    @property
    def metric(self) -> str:
        """Name of the score, as logs and results have it."""

    @property
    def unit(self) -> str:
        """What follows the score's number in a text."""

    @property
    def size(self) -> int:
        """Number of counts."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over a batch; ValueError if the outputs are of no shape for these targets."""

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean distance to another network's outputs, for distillation."""

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return what the score is made from: ``size`` float64 numbers, summed over a batch, to be summed over all."""

    def score(self, counts: Tensor) -> float:
        """Return the score of summed counts."""


@dataclass(frozen=True)
class Classification:
    """One class for each image: cross entropy, and the percent of images whose largest logit is their label."""

    metric = "accuracy"
    unit = "%"
    size = 2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (N, classes) and int64 labels (N,)."""
        _check(outputs, (len(targets), None))
        return F.cross_entropy(outputs, targets)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Divergence of softened probabilities."""
        return divergence(outputs, wanted)

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count hits and images."""
        return torch.stack(((outputs.argmax(1) == targets).sum(), targets.new_tensor(len(targets)))).double()

    def score(self, counts: Tensor) -> float:
        """Percent of hits."""
        hits, images = counts.tolist()
        return float(100 * hits / images)


@dataclass(frozen=True)
class Segmentation:
    """One class for each pixel: cross entropy, and the mean over classes of intersection over union, in percent.

    Parameters
    ----------
    classes : int
        Labels 0 to classes - 1.
    void : int
        The label of pixels that neither the loss nor the score regards.
    weights : tuple of float
        Of each class in the loss; all 1 if empty.
    """

    classes: int
    void: int
    weights: tuple[float, ...] = ()

    metric = "miou"
    unit = "% mIoU"

    @property
    def size(self) -> int:
        """Pairs of classes."""
        return self.classes**2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of logits (N, classes, H, W) and int64 label maps (N, H, W); void pixels count as 0."""
        _check(outputs, (len(targets), self.classes, *targets.shape[1:]))
        weights = outputs.new_tensor(self.weights) if self.weights else None
        # Divided by a number that is the same for all parts of a batch, however many of their pixels are void.
        return F.cross_entropy(outputs, targets, weights, ignore_index=self.void, reduction="sum") / targets.numel()

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Divergence of softened probabilities, mean over pixels."""
        return divergence(outputs, wanted)

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Count pixels by true and found class."""
        seen = targets != self.void
        pairs = targets[seen] * self.classes + outputs.argmax(1)[seen]
        return torch.bincount(pairs, minlength=self.classes**2).double()

    def score(self, counts: Tensor) -> float:
        """Mean over the classes that occur, as truth or as answer.

        Raises
        ------
        ValueError
            If none occurs.
        """
        confusion = counts.view(self.classes, self.classes)
        both = confusion.diagonal()
        either = confusion.sum(0) + confusion.sum(1) - both
        if not either.any():
            raise ValueError(f"no pixel has a class: all labels are {self.void}, which stands for none")
        return float(100 * (both[either > 0] / either[either > 0]).mean())


@dataclass(frozen=True)
class SuperResolution:
    """An enlarged luma channel: mean absolute error, and the mean over images of the peak signal-to-noise ratio.

    As is usual since Yang et al. and Dong et al., ``scale`` pixels at each border are left out, and both images are
    rounded to 8 bits.

    Parameters
    ----------
    scale : int
        Factor of both sides.
    """

    scale: int

    metric = "psnr"
    unit = "dB"
    size = 2

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean absolute error of (N, 1, H, W), 1 being white."""
        _check(outputs, tuple(targets.shape))
        return F.l1_loss(outputs, targets)

    def distance(self, outputs: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference."""
        return F.l1_loss(outputs, wanted)

    def counts(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Sum decibels, count images."""
        inner = (..., slice(self.scale, -self.scale), slice(self.scale, -self.scale))
        given, wanted = ((255 * t[inner].double()).round().clamp(0, 255) for t in (outputs, targets))
        # Equal images would be infinitely good: half a step of error on one pixel is the best there is to score.
        errors = (given - wanted).square().mean((1, 2, 3)).clamp(min=0.25 / given[0].numel())
        return torch.stack(((10 * (255**2 / errors).log10()).sum(), errors.new_tensor(len(errors))))

    def score(self, counts: Tensor) -> float:
        """Mean over images, in dB."""
        decibels, images = counts.tolist()
        return float(decibels / images)


CLASSIFICATION = Classification()


def divergence(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Kullback-Leibler divergence over axis 1, mean over all others; softened as in Hinton et al. 2015."""
    given, wanted = (F.log_softmax(t / TEMPERATURE, 1) for t in (outputs, wanted))
    # Scaled so that gradients keep their size.
    return TEMPERATURE**2 * F.kl_div(given, wanted, log_target=True, reduction="none").sum(1).mean()


def _check(outputs: Tensor, shape: tuple[int | None, ...]) -> None:
    sizes = tuple(outputs.shape)
    if len(sizes) != len(shape) or any(want not in (None, size) for size, want in zip(sizes, shape, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"the network gives a tensor of shape {sizes}; the task needs ({wanted})")
