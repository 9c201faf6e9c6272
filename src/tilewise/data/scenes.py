"""Images with a class for each pixel: CamVid (Brostow et al., Pattern Recognition Letters 2009)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tilewise.data.batches import Epochs
from tilewise.data.catalogue import PHOTO_MEAN, PHOTO_STD
from tilewise.data.images import draw
from tilewise.data.pictures import picture_files, read_picture
from tilewise.train.runs import digest
from tilewise.train.tasks import Segmentation

SceneSplit: TypeAlias = Literal["train", "val", "test"]
CROP = (128, 160)
ZOOM = (0.75, 1.5)
SCORED = 8
"""Images at once in scoring: maps are large, and more are not faster."""

SCENES = {
    # Weights: square root of the median class's frequency over each one's, in the training images. In full (SegNet)
    # they make rare classes win pixels that are not theirs.
    "camvid": Segmentation(
        classes=11, void=11, weights=(0.51, 0.44, 2.14, 0.38, 1.0, 0.68, 1.95, 2.0, 0.87, 2.65, 3.92)
    ),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """One split of a set of images with label maps.

    Parameters
    ----------
    name : str
        Such as ``"camvid"``.
    images : Tensor of shape (N, 3, H, W), uint8
        At least one, all of one size.
    maps : Tensor of shape (N, H, W), uint8
        The class of each pixel, or the task's void label.
    task : Segmentation
        Number of classes, void label, weights of classes.

    Raises
    ------
    ValueError
        If a shape, type or value is not as said here.
    """

    name: str
    images: Tensor
    maps: Tensor
    task: Segmentation

    def __post_init__(self) -> None:
        images, maps = self.images, self.maps
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3 or images.numel() == 0:
            raise ValueError(
                f"{self.name}: images are {images.dtype} of shape {tuple(images.shape)}; "
                "they must be uint8 of shape (N, 3, H, W), not empty"
            )
        if maps.dtype != torch.uint8 or maps.shape != (len(images), *images.shape[2:]):
            raise ValueError(
                f"{self.name}: label maps are {maps.dtype} of shape {tuple(maps.shape)}; they must be uint8 of shape "
                f"{(len(images), *images.shape[2:])}"
            )
        wrong = (maps >= self.task.classes) & (maps != self.task.void)
        if wrong.any():
            raise ValueError(
                f"{self.name}: a label is {int(maps[wrong][0])}; allowed: 0 to {self.task.classes - 1}, "
                f"and {self.task.void} for void"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.task.classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def subset(self, count: int, seed: int = 0) -> Scenes:
        """Draw images without replacement, as :meth:`Images.subset` does."""
        chosen = draw(len(self), count, self.name, seed)
        return replace(self, images=self.images[chosen], maps=self.maps[chosen])

    def training(self, batch_size: int, *, seed: int = 0, device: str = "cpu") -> SceneBatches:
        """Make shuffled, augmented batches."""
        return SceneBatches(self, batch_size, augment=True, seed=seed, device=device)

    def scoring(self, *, device: str = "cpu") -> SceneBatches:
        """Make batches of whole images in their order."""
        return SceneBatches(self, SCORED, device=device)


class SceneBatches(Epochs):
    """Iterating yields ``(x, y)``: normalised images (B, 3, H, W), float32, and label maps (B, H, W), int64.

    Parameters
    ----------
    scenes : Scenes
        What to draw from.
    batch_size : int
        At least 1.
    augment : bool
        Draw an order, and for each image a window of a random place and size, enlarged or shrunk to 128x160 (or the
        image's own sides, where those are smaller), mirrored or not.
    seed : int
        Not negative; order and windows depend on it and the epoch only.
    device : str
        Where batches go.
    """

    def __init__(
        self, scenes: Scenes, batch_size: int, *, augment: bool = False, seed: int = 0, device: str = "cpu"
    ) -> None:
        super().__init__(len(scenes), batch_size, seed)
        self.scenes, self.augment, self.device = scenes, augment, torch.device(device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.generator()
        order = torch.randperm(self.samples, generator=generator) if self.augment else torch.arange(self.samples)
        chances = torch.rand(self.samples, 4, generator=generator).tolist()
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (PHOTO_MEAN, PHOTO_STD))
        for start in range(0, self.samples, self.batch_size):
            here = order[start : start + self.batch_size]
            x, y = self.scenes.images[here].float(), self.scenes.maps[here]
            if self.augment:
                cuts = [zoomed(*pair, *chances[start + i]) for i, pair in enumerate(zip(x, y, strict=True))]
                x, y = (torch.stack(parts) for parts in zip(*cuts, strict=True))
            yield ((x / 255 - mean) / std).to(self.device), y.long().to(self.device)

    def identity(self) -> dict[str, Any]:
        """Return what the batches are, in JSON's types: equal ones make equal batches in every epoch."""
        return {**super().identity(), "augment": self.augment}

    def _data(self) -> str:
        content = digest((self.scenes.images, self.scenes.maps))
        return f"{self.scenes.name}, {len(self.scenes)} images, digest {content}"


def zoomed(image: Tensor, labels: Tensor, zoom: float, top: float, left: float, mirror: float) -> tuple[Tensor, Tensor]:
    """Cut a window out of an image and its label map, and bring it to the size of training.

    Parameters
    ----------
    image : Tensor of shape (3, H, W), float32
    labels : Tensor of shape (H, W), uint8
    zoom, top, left, mirror : float
        In [0, 1): from the largest window to the smallest, its place, and whether to mirror it (from 0.5).
    """
    sides = labels.shape
    target = [min(wanted, side) for wanted, side in zip(CROP, sides, strict=True)]
    factor = ZOOM[0] + zoom * (ZOOM[1] - ZOOM[0])
    window = [min(side, max(1, round(t / factor))) for t, side in zip(target, sides, strict=True)]
    y, x = (int(place * (side - w + 1)) for place, side, w in zip((top, left), sides, window, strict=True))
    here = (..., slice(y, y + window[0]), slice(x, x + window[1]))
    image = F.interpolate(image[here][None], target, mode="bilinear", align_corners=False)[0]
    labels = F.interpolate(labels[here][None, None], target, mode="nearest-exact")[0, 0]
    return (image.flip(-1), labels.flip(-1)) if mirror >= 0.5 else (image, labels)


def load_scenes(name: str, split: SceneSplit, root: str | Path | None) -> Scenes:
    """Load one split of a segmentation set into memory.

    Parameters
    ----------
    name : {"camvid"}
        11 classes and void, in the layout of SegNet's tutorial; 367, 101 and 233 images there.
    split : {"train", "val", "test"}
        Which part.
    root : path
        Folder with ``CamVid/train``, ``CamVid/trainannot`` and so on, or that inner folder: images and, under the
        same names, label maps as PNG, of any one size.

    Raises
    ------
    ValueError
        If ``name`` or ``split`` is unknown, a file is damaged, sizes differ, or a label is out of range.
    FileNotFoundError
        If files are missing; the message says what belongs where.
    """
    if name not in SCENES:
        raise ValueError(f"segmentation set {name!r} is unknown; allowed are {', '.join(SCENES)}")
    if split not in get_args(SceneSplit):
        raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(get_args(SceneSplit))}")
    if root is None:
        raise FileNotFoundError(f"{name} needs --data-root DIR (in Python: root=DIR) with its files in DIR/CamVid")
    files = picture_files(Path(root), split, "CamVid", "CamVid's images")
    labels = {f.stem: f for f in picture_files(Path(root), f"{split}annot", "CamVid", "CamVid's label maps")}
    if missing := [f.name for f in files if f.stem not in labels]:
        raise FileNotFoundError(f"{name}: {missing[0]} has no label map {Path(missing[0]).stem}.png in {split}annot")
    images = [read_picture(f, colour=True) for f in files]
    maps = [read_picture(labels[f.stem], colour=False) for f in files]
    for file, image, label in zip(files, images, maps, strict=True):
        if not image.shape[:2] == label.shape == maps[0].shape:
            raise ValueError(
                f"{file}: the image has {image.shape[:2]} pixels, its label map {label.shape}; all of a set must "
                f"have one size, here {maps[0].shape}"
            )
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Scenes(name=name, images=pixels, maps=torch.from_numpy(np.stack(maps)), task=SCENES[name])
