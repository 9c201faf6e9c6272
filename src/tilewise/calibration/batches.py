"""Batches that a network is calibrated on: of its images, or of several inputs by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Batch: TypeAlias = Tensor | dict[str, Tensor]
"""Images (N, ...), or several inputs by the names of the model's arguments, of as many images each."""
GROUP_VALUES = 2**22
"""Numbers in the images that are measured at once, at most: 27 images of 224x224, 1365 of CIFAR."""


def inputs_in(batch: Any, device: str) -> Batch:
    """Return what the network reads of a batch: of (x, y) the x.

    Raises
    ------
    ValueError
        If inputs by name have different numbers of images.
    """
    if isinstance(batch, Mapping):
        counts = {name: len(x) for name, x in batch.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"a batch has {counts} images; allowed: as many of each input")
        return {name: x.to(device) for name, x in batch.items()}
    x: Tensor = batch if isinstance(batch, Tensor) else batch[0]
    return x.to(device)


def call(model: nn.Module, batch: Batch) -> Any:
    """Run a model on a batch."""
    return model(**batch) if isinstance(batch, dict) else model(batch)


def count(batch: Batch) -> int:
    """Return how many images a batch has."""
    return len(batch if isinstance(batch, Tensor) else next(iter(batch.values())))


def has_numbers(batch: Batch) -> bool:
    """Whether anything in a batch is not 0."""
    return any(bool(x.any()) for x in (batch.values() if isinstance(batch, dict) else [batch]))


def apart(batch: Batch) -> list[Batch]:
    """Return the images of a batch one by one."""
    if isinstance(batch, dict):
        return [{name: x[i : i + 1] for name, x in batch.items()} for i in range(count(batch))]
    return list(torch.split(batch, 1)) if len(batch) else []  # of no images it makes one part


def grouped(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the images of some batches, in their order, in groups that depend on the images alone.

    A layer's range depends on which images the layers before it had seen by then; so it must not depend on how a
    loader happens to batch them.

    Parameters
    ----------
    batches : iterable of Batch
        Where the shape of an image changes, a group ends.
    """
    waiting: list[Batch] = []
    for batch in batches:
        for image in apart(batch):
            numbers = sum(x.numel() for x in _by_name(image).values())
            if waiting and (_shapes(waiting[0]) != _shapes(image) or (len(waiting) + 1) * numbers > GROUP_VALUES):
                yield _together(waiting)
                waiting = []
            waiting.append(image)
    if waiting:
        yield _together(waiting)


def _by_name(batch: Batch) -> dict[str, Tensor]:
    return batch if isinstance(batch, dict) else {"": batch}


def _shapes(image: Batch) -> dict[str, torch.Size]:
    return {name: x.shape for name, x in _by_name(image).items()}


def _together(images: list[Batch]) -> Batch:
    found = {name: torch.cat([_by_name(image)[name] for image in images]) for name in _by_name(images[0])}
    return found[""] if list(found) == [""] else found
