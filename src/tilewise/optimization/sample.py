"""The images of an optimization: some are shown to it, the others held back to judge by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.optimization.metrics import flat
from tilewise.train.runs import digest

HELD_SHARE, HELD_MOST = 0.3, 1000
"""Of the images that are held back, at least, and how many at most."""
SHOWN_MOST = 512
SIDE, SMALLEST = 48, 8
"""Of the windows that networks which map pixels to pixels are trained and refined on, and of their smallest map."""


@dataclass(frozen=True)
class Sample:
    """Images of shape (1, C, H, W), float32, and what each came with: (1,), (1, H, W), an image, or nothing."""

    images: list[Tensor]
    targets: list[Tensor] | None

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, batches: Iterable[Any]) -> Sample:
        """Take batches apart.

        Parameters
        ----------
        batches : iterable of Tensor, or of (Tensor, Tensor)
            Images (N, C, H, W), float32, with or without targets.

        Raises
        ------
        ValueError
            If there are fewer than two images, some have targets and some not, or one is not finite.
        TypeError
            If a batch is not of these.
        """
        images: list[Tensor] = []
        targets: list[Tensor] = []
        for batch in batches:
            x, y = (batch, None) if isinstance(batch, Tensor) else (batch[0], batch[1])
            if not isinstance(x, Tensor) or x.dtype != torch.float32 or x.ndim != 4:
                found = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
                raise TypeError(f"a batch of images is {found}; allowed: float32 of shape (N, C, H, W)")
            if not torch.isfinite(x).all():
                raise ValueError("images contain NaN or infinity")
            images += torch.split(x, 1)
            targets += () if y is None else torch.split(y, 1)
        if len(images) < 2:
            raise ValueError(f"the data has {len(images)} images; at least 2 are needed, one of them to judge by")
        if targets and len(targets) != len(images):
            raise ValueError(f"{len(targets)} of {len(images)} images have targets; allowed: all or none")
        return cls(images, targets or None)

    def part(self, chosen: Iterable[int]) -> Sample:
        """Return some of the images."""
        places = list(chosen)
        return Sample([self.images[i] for i in places], self.targets and [self.targets[i] for i in places])

    def split(self, seed: int) -> tuple[Sample, Sample]:
        """Part the images at random: those to show, and those to hold back, with all that are too many to show."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed)).tolist()
        held = min(HELD_MOST, max(1, round(HELD_SHARE * len(self)), len(self) - SHOWN_MOST))
        return self.part(order[held:][:SHOWN_MOST]), self.part(order[:held])

    def digest(self) -> str:
        """Return what tells these images from others."""
        return digest([*self.images, *(self.targets or ())])


class Windows:
    """Batches for distillation: windows of the images at random places, mirrored by chance; they need no label.

    Parameters
    ----------
    images : list of Tensor of shape (1, C, H, W)
        What is shown.
    side : int, optional
        Of the windows; without it whole images, as networks with one answer for an image want them.
    batch, steps : int
        Images of a batch, and batches of an epoch.
    seed : int
        What is drawn depends on it and the epoch only.
    """

    def __init__(self, images: list[Tensor], side: int | None, batch: int, steps: int, seed: int) -> None:
        self.images, self.batch, self.steps, self.seed, self.epoch = images, batch, steps, seed, 0
        self.side = None if side is None else min([side, *(size for x in images for size in x.shape[2:])])

    def __len__(self) -> int:
        return self.steps

    def set_epoch(self, epoch: int) -> None:
        """Choose what the next pass draws."""
        self.epoch = epoch

    def identity(self) -> dict[str, Any]:
        """Return what the batches are, in JSON's types."""
        return {"steps": self.steps, "batch": self.batch, "seed": self.seed, "side": self.side,
                "data": digest(self.images)}  # fmt: skip

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        for _ in range(self.steps):
            first = int(torch.randint(len(self.images), (), generator=generator))
            shape = self.images[first].shape
            alike = [x for x in self.images if self.side is not None or x.shape == shape]
            drawn = torch.randint(len(alike), (self.batch,), generator=generator).tolist()
            x = torch.cat([self._window(alike[i], generator) for i in drawn])
            yield x, x.new_zeros(len(x))

    def _window(self, x: Tensor, generator: torch.Generator) -> Tensor:
        top, left, mirror = torch.rand(3, generator=generator).tolist()
        if self.side is None:
            return x
        row, column = (
            int(place * (size - self.side + 1)) for place, size in zip((top, left), x.shape[2:], strict=True)
        )
        window = x[..., row : row + self.side, column : column + self.side]
        return window.flip(-1) if mirror < 0.5 else window


def window_side(model: nn.Module, image: Tensor) -> int | None:
    """Return the side of windows to train on, or None where the network wants whole images.

    Windows are for networks whose outputs are maps, and that take a window. Of a network that makes maps smaller they
    are larger: where most of a map is its edge, numbers are not those of whole images.
    """
    side = max(SIDE, SMALLEST * reduction(model, image))
    if side > min(image.shape[2:]):
        return None
    with torch.no_grad():
        if any(output.ndim != 4 for output in flat(model(image))):
            return None
        try:
            model(image[..., :side, :side])
        except (RuntimeError, ValueError, AssertionError):
            return None
    return side


def reduction(model: nn.Module, image: Tensor) -> int:
    """Return how many times as high as the smallest map of a convolution an image is; single pixels are no map."""
    heights = [int(image.shape[2])]

    def note(_: nn.Module, __: Any, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[2] > 1:
            heights.append(int(output.shape[2]))

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return -(-heights[0] // min(heights))
