"""Normalised and augmented batches of an image set, made from tensors on the device where they are used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tilewise.train.runs import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tilewise.data.images import Images

PAD = 4
SHIFTS = 2 * PAD + 1


class Epochs:
    """What batches of all kinds share: a size, and an order that depends on nothing but seed and epoch.

    Parameters
    ----------
    samples : int
        Drawn per epoch.
    batch_size : int
        At least 1.
    seed : int
        Not negative.

    Raises
    ------
    ValueError
        If ``batch_size`` or ``seed`` is out of range.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1")
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must not be negative")
        self.samples = samples
        """Images per epoch."""
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        """Set by ``set_epoch``."""

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return math.ceil(self.samples / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Choose order and augmentation of the next pass.

        Raises
        ------
        ValueError
            If ``epoch`` is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch is {epoch}; it must not be negative")
        self.epoch = epoch

    def identity(self) -> dict[str, Any]:
        """Return what the batches are, in JSON's types: equal ones make equal batches in every epoch."""
        return {"batch": self.batch_size, "seed": self.seed, "samples": self.samples, "data": self._data()}

    def _data(self) -> str:
        """Name the data, with a digest of their content."""
        raise NotImplementedError

    def generator(self) -> torch.Generator:
        """Return this epoch's random numbers, from their start."""
        entropy = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(entropy))


class Batches(Epochs):
    """Iterating yields ``(x, y)``, as often as wanted.

    ``x`` is a float32 Tensor of shape (B, C, H, W), ``(pixel / 255 - mean) / std``; ``y`` is an int64 Tensor
    of shape (B,).

    Order and augmentation depend on nothing but ``seed`` and the epoch: two passes without ``set_epoch``
    between them are equal, a resumed run sees what an unbroken one would have seen, and neither the device
    nor ``batch_size`` changes what is drawn for an image.

    Parameters
    ----------
    images : Images
        Moved to ``device`` once, here.
    batch_size : int
        At least 1. May exceed the number of images: then there is one smaller batch.
    shuffle : bool
        Draw a new order each epoch.
    augment : bool
        Pad each raw image with 4 zero pixels on all sides (black: zeros *before* normalisation), cut out the
        original size at a random place, and, only if ``images.flips``, mirror every second one by chance.
    seed : int
        Not negative.
    device : str or torch.device
        Where images are kept and batches are made.
    drop_last : bool
        Leave out a last batch smaller than ``batch_size``.

    Raises
    ------
    ValueError
        If ``batch_size`` or ``seed`` is out of range, or ``drop_last`` would leave nothing.

    Examples
    --------
    >>> batches = Batches(load("digits", "train"), 64, shuffle=True, augment=True)
    >>> for epoch in range(20):
    ...     batches.set_epoch(epoch)
    ...     for x, y in batches:
    ...         train_step(x, y)
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment: bool = False,
        seed: int = 0,
        device: str | torch.device = "cpu",
        drop_last: bool = False,
    ) -> None:
        super().__init__(len(images), batch_size, seed)
        if drop_last and batch_size > len(images):
            raise ValueError(
                f"batch_size is {batch_size}, but {images.name} has {len(images)} images: with drop_last "
                "no batch is left"
            )
        if drop_last:
            self.samples -= len(images) % batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.device = torch.device(device)
        self._name, self._flips = images.name, images.flips
        self._images = images.images.to(self.device)
        self._labels = images.labels.to(self.device)
        mean = torch.tensor(images.mean, device=self.device).view(-1, 1, 1)
        std = torch.tensor(images.std, device=self.device).view(-1, 1, 1)
        # (pixel / 255 - mean) / std as one multiplication and one subtraction: half the time of three steps
        self._scale = 1 / (255 * std)
        self._offset = mean / std

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order, moves = self._draw()
        for start in range(0, self.samples, self.batch_size):
            here = slice(start, min(start + self.batch_size, self.samples))
            pixels = self._images.index_select(0, order[here])
            if self.augment:
                pixels = shift_and_flip(pixels, moves[here])
            x = pixels.float().mul_(self._scale).sub_(self._offset)
            yield x, self._labels.index_select(0, order[here])

    def identity(self) -> dict[str, Any]:
        """Return what the batches are, in JSON's types: equal ones make equal batches in every epoch."""
        return {**super().identity(), "shuffle": self.shuffle, "augment": self.augment}

    def _data(self) -> str:
        content = digest((self._images, self._labels, self._scale, self._offset))
        return f"{self._name}, {len(self._images)} images, digest {content}"

    def _draw(self) -> tuple[Tensor, Tensor]:
        """Order and augmentation of this epoch, drawn on the CPU for any device, and moved in one piece."""
        count = len(self._images)
        generator = self.generator()
        order = torch.randperm(count, generator=generator) if self.shuffle else torch.arange(count)
        kinds = SHIFTS**2 * (2 if self._flips else 1)
        moves = torch.randint(0, kinds if self.augment else 1, (count,), generator=generator)
        return order.to(self.device), moves.to(self.device)


def shift_and_flip(pixels: Tensor, moves: Tensor) -> Tensor:
    """Cut each image out of its zero-padded self, then mirror it or not: one gather for the whole batch.

    Parameters
    ----------
    pixels : Tensor of shape (B, C, H, W)
        Raw images.
    moves : Tensor of shape (B,), int64 in [0, 161]
        ``(flip * 9 + dy) * 9 + dx``: the cut starts at row ``dy`` and column ``dx`` of the padded image, so
        that 4 and 4 leave it in place; flip is 0 or 1.

    Returns
    -------
    Tensor of shape (B, C, H, W)
        Contiguous, of the type of ``pixels``.
    """
    channels, height, width = pixels.shape[1:]
    padded = functional.pad(pixels, (PAD, PAD, PAD, PAD))
    flip, dy, dx = moves // SHIFTS**2, moves // SHIFTS % SHIFTS, moves % SHIFTS
    columns = torch.arange(width, device=pixels.device)
    columns = torch.where(flip[:, None] == 1, width - 1 - columns, columns) + dx[:, None]
    rows = torch.arange(height, device=pixels.device) + dy[:, None]
    source = (rows[:, :, None] * padded.shape[-1] + columns[:, None, :]).flatten(1)
    return padded.flatten(2).gather(2, source[:, None].expand(-1, channels, -1)).view(pixels.shape)
