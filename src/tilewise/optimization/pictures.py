"""What float and the winner make of an image, as files for the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

BEFORE, AFTER, DIFFERENCE = "before.webp", "after.webp", "difference.webp"
SIDE = 512
"""Of the pictures, at most: their middle is kept."""
QUALITY = 95
"""Of their compression: losslessly, three pictures of an upscaler make a page of a megabyte."""
GAIN = 10
"""By which differences are enlarged, so that they can be seen."""


@torch.no_grad()
def draw_pictures(before: Callable[[Tensor], Any], after: Callable[[Tensor], Any], image: Tensor, folder: Path) -> None:
    """Write what two networks give for one image, and ten times their difference around grey."""
    given, now = (_middle(network(image))[0].clamp(0, 1) for network in (before, after))
    folder.mkdir(parents=True, exist_ok=True)
    _write(given, folder / BEFORE)
    _write(now, folder / AFTER)
    _write((0.5 + GAIN * (now - given)).clamp(0, 1), folder / DIFFERENCE)


def liveliest(batches: Iterable[Tensor]) -> Tensor:
    """Return the image whose numbers differ most, as a batch of one: there is most to see in it."""
    images = [batch[i : i + 1] for batch in batches for i in range(len(batch))]
    return max(images, key=lambda image: float(image.std()))


def _middle(pictures: Tensor) -> Tensor:
    height, width = pictures.shape[2:]
    top, left = max(0, (height - SIDE) // 2), max(0, (width - SIDE) // 2)
    return pictures[..., top : top + SIDE, left : left + SIDE]


def _write(picture: Tensor, path: Path) -> None:
    from PIL import Image

    pixels = (255 * picture).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels.squeeze())).save(path, quality=QUALITY)
