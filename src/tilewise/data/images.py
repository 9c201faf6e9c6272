"""One split of a labelled image set, whole in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tilewise.data.batches import Batches
from tilewise.train.tasks import CLASSIFICATION, Task

SCORED = 250
"""Images at once in scoring."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """One split of a labelled image set. Two of them are equal only if they are the same object.

    Parameters
    ----------
    name : str
        Such as ``"cifar10"``.
    images : Tensor of shape (N, C, H, W), uint8 in [0, 255]
        At least one image, all sizes at least 1.
    labels : Tensor of shape (N,), int64 in [0, classes - 1]
        On the same device as ``images``.
    classes : int
        Number of classes, at least 1; not all of them need be present.
    mean, std : C floats
        Per channel, each std positive; ``Batches`` yields ``(images / 255 - mean) / std``.
    flips : bool
        Whether a horizontal flip keeps the label: True for photographs, False for digits.

    Raises
    ------
    ValueError
        If a shape, type or value is not as said here.
    """

    name: str
    images: Tensor
    labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.dim() != 4 or images.numel() == 0:
            raise ValueError(
                f"{self.name}: images are {images.dtype} of shape {tuple(images.shape)}; "
                "they must be uint8 of shape (N, C, H, W), not empty"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{self.name}: labels are {labels.dtype} of shape {tuple(labels.shape)}; "
                f"they must be int64 of shape ({len(images)},)"
            )
        if labels.device != images.device:
            raise ValueError(f"{self.name}: labels are on {labels.device}, images on {images.device}")
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= self.classes:
            raise ValueError(f"{self.name}: labels are in [{low}, {high}]; allowed is [0, {self.classes - 1}]")
        channels = images.shape[1]
        if len(self.mean) != channels or len(self.std) != channels or not min(self.std) > 0:
            raise ValueError(
                f"{self.name}: mean is {self.mean}, std is {self.std}; both need {channels} values, and std "
                "only positive ones"
            )

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, count: int, seed: int = 0) -> Images:
        """Draw images without replacement, in random order.

        Parameters
        ----------
        count : int
            How many, from 1 to ``len(self)``.
        seed : int
            The same seed draws the same images on any device, and a smaller count the first of them.

        Raises
        ------
        ValueError
            If ``count`` is out of range.
        """
        chosen = draw(len(self), count, self.name, seed).to(self.images.device)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen])

    def split(self, share: float, seed: int = 0) -> tuple[Images, Images]:
        """Part the images at random; the second part holds ``share`` of them.

        Parameters
        ----------
        share : float
            Between 0 and 1; each part gets at least one image.
        seed : int
            The same seed parts alike on any device.

        Raises
        ------
        ValueError
            If a part would be empty.
        """
        held_out = round(share * len(self))
        if not 1 <= held_out < len(self):
            raise ValueError(f"a part of {held_out} of {len(self)} images was asked of {self.name}; both need an image")
        mixed = self.subset(len(self), seed)
        first, second = slice(None, -held_out), slice(-held_out, None)
        return (
            replace(mixed, images=mixed.images[first], labels=mixed.labels[first]),
            replace(mixed, images=mixed.images[second], labels=mixed.labels[second]),
        )

    @property
    def task(self) -> Task:
        """What networks are trained for on it."""
        return CLASSIFICATION

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def training(self, batch_size: int, *, seed: int = 0, device: str = "cpu") -> Batches:
        """Make shuffled, augmented batches."""
        return Batches(self, batch_size, shuffle=True, augment=True, seed=seed, device=device)

    def scoring(self, *, device: str = "cpu") -> Batches:
        """Make batches of the images in their order."""
        return Batches(self, SCORED, device=device)


def draw(total: int, count: int, name: str, seed: int) -> Tensor:
    """Draw ``count`` of ``total`` indices without replacement, in random order, on the CPU.

    Raises
    ------
    ValueError
        If ``count`` is out of range.
    """
    if not 1 <= count <= total:
        raise ValueError(f"a subset of {count} was asked of {name}; it must be in [1, {total}]")
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]
