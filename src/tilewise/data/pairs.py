"""Images in low and high resolution: Set5, Set14, and T91 to train on (Yang et al. 2010, Zeyde et al. 2010)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tilewise.data.batches import Epochs
from tilewise.data.catalogue import SPLITS, Split
from tilewise.data.images import draw
from tilewise.data.pictures import picture_files, read_picture
from tilewise.quant.rounding import round_half_up
from tilewise.train.runs import digest
from tilewise.train.tasks import SuperResolution

PATCH = 32
"""Side of training patches, in pixels of low resolution."""

PAIRS: dict[str, dict[Split, str]] = {
    "set5": {"train": "T91", "test": "Set5"},
    "set14": {"train": "T91", "test": "Set14"},
}
"""Folders of each set; both are scored after training on T91."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """One split of a set of images to enlarge.

    Parameters
    ----------
    name : str
        Such as ``"set5"``.
    low, high : tuple of Tensor of shape (H, W) and (scale * H, scale * W), uint8
        Luma in both resolutions; at least one pair, of any sizes.
    task : SuperResolution
        Has the scale.

    Raises
    ------
    ValueError
        If a shape or type is not as said here.
    """

    name: str
    low: tuple[Tensor, ...]
    high: tuple[Tensor, ...]
    task: SuperResolution

    def __post_init__(self) -> None:
        if not self.low or len(self.low) != len(self.high):
            raise ValueError(f"{self.name}: {len(self.low)} low and {len(self.high)} high images; need as many, not 0")
        for low, high in zip(self.low, self.high, strict=True):
            wanted = tuple(self.task.scale * side for side in low.shape)
            if {low.dtype, high.dtype} != {torch.uint8} or low.dim() != 2 or tuple(high.shape) != wanted:
                raise ValueError(
                    f"{self.name}: a pair is {low.dtype} of shape {tuple(low.shape)} and {high.dtype} of shape "
                    f"{tuple(high.shape)}; both must be uint8, (H, W) and {self.task.scale} times that"
                )

    def __len__(self) -> int:
        return len(self.low)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the first image."""
        height, width = self.low[0].shape
        return 1, height, width

    def subset(self, count: int, seed: int = 0) -> Pairs:
        """Draw images without replacement, as :meth:`Images.subset` does."""
        chosen = draw(len(self), count, self.name, seed).tolist()
        low, high = (tuple(images[i] for i in chosen) for images in (self.low, self.high))
        return replace(self, low=low, high=high)

    def training(self, batch_size: int, *, seed: int = 0, device: str = "cpu") -> Patches:
        """Make shuffled batches of patches, mirrored and turned."""
        return Patches(self, batch_size, seed=seed, device=device)

    def scoring(self, *, device: str = "cpu") -> Wholes:
        """Make batches of one whole image each."""
        return Wholes(self, device=device)


class Patches(Epochs):
    """Iterating yields ``(x, y)``: patches (B, 1, 32, 32) and (B, 1, 32 * scale, 32 * scale), float32 in [0, 1].

    An epoch has as many patches as cover all images once; each is cut at a random place, mirrored and turned by
    chance. Sets whose smallest side is below 32 have patches of that size.

    Parameters
    ----------
    pairs : Pairs
        What to cut them from.
    batch_size : int
        At least 1.
    seed : int
        Not negative; all that is drawn depends on it and the epoch only.
    device : str
        Where batches go.
    """

    def __init__(self, pairs: Pairs, batch_size: int, *, seed: int = 0, device: str = "cpu") -> None:
        self.side = min(PATCH, *(side for low in pairs.low for side in low.shape))
        shares = [max(1, round(low.numel() / self.side**2)) for low in pairs.low]
        self.sources = torch.repeat_interleave(torch.arange(len(pairs)), torch.tensor(shares))
        super().__init__(len(self.sources), batch_size, seed)
        self.pairs, self.device = pairs, torch.device(device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = self.generator()
        order = self.sources[torch.randperm(self.samples, generator=generator)].tolist()
        chances = torch.rand(self.samples, 3, generator=generator).tolist()
        cuts = [(source, *chance) for source, chance in zip(order, chances, strict=True)]
        for start in range(0, self.samples, self.batch_size):
            patches = [self._cut(*cut) for cut in cuts[start : start + self.batch_size]]
            x, y = (torch.stack(parts)[:, None].to(self.device) / 255 for parts in zip(*patches, strict=True))
            yield x, y

    def _data(self) -> str:
        content = digest((*self.pairs.low, *self.pairs.high))
        return f"{self.pairs.name}, {len(self.pairs)} images, scale {self.pairs.task.scale}, digest {content}"

    def _cut(self, source: int, top: float, left: float, kind: float) -> tuple[Tensor, Tensor]:
        low, high, scale = self.pairs.low[source], self.pairs.high[source], self.pairs.task.scale
        y, x = (int(place * (side - self.side + 1)) for place, side in zip((top, left), low.shape, strict=True))
        turns, mirror = divmod(int(8 * kind), 2)
        patches = []
        for image, factor in ((low, 1), (high, scale)):
            size = factor * self.side
            patch = image[factor * y : factor * y + size, factor * x : factor * x + size].rot90(turns)
            patches.append(patch.flip(1) if mirror else patch)
        return patches[0], patches[1]


class Wholes:
    """Iterating yields ``(x, y)``: one image (1, 1, H, W) and its original, float32 in [0, 1]."""

    def __init__(self, pairs: Pairs, *, device: str = "cpu") -> None:
        self.pairs, self.device = pairs, torch.device(device)

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for low, high in zip(self.pairs.low, self.pairs.high, strict=True):
            yield low[None, None].to(self.device) / 255, high[None, None].to(self.device) / 255


def luma(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Give the Y channel of ITU-R BT.601 in [16, 235], rounded to 8 bits, as MATLAB's ``rgb2ycbcr`` does.

    Parameters
    ----------
    rgb : uint8 array of shape (H, W, 3)
    """
    y: npt.NDArray[np.float64] = 16 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255
    return round_half_up(y).astype(np.uint8)


def bicubic(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Resize by Pillow's bicubic kernel (a = -0.5), widened where it shrinks (antialiasing), as MATLAB's ``imresize``.

    Parameters
    ----------
    image : uint8 array of shape (H, W)
    height, width : int
        Of the result.
    """
    from PIL import Image

    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized, np.uint8)


def load_pairs(name: str, split: Split, root: str | Path | None, *, scale: int) -> Pairs:
    """Load one split of a super-resolution set into memory.

    Images are cut to multiples of ``scale`` (right and bottom); low resolution is made by :func:`bicubic` from the
    luma of the high one.

    Parameters
    ----------
    name : {"set5", "set14"}
        What is scored; the training split of both is T91.
    split : {"train", "test"}
        Which part.
    root : path
        Folder with ``SR/T91``, ``SR/Set5``, ``SR/Set14``, or that inner folder.
    scale : int
        2 to 4.

    Raises
    ------
    ValueError
        If ``name``, ``split`` or ``scale`` is not one of these, or a file is damaged or too small.
    FileNotFoundError
        If files are missing; the message says what belongs where.
    """
    if name not in PAIRS:
        raise ValueError(f"super-resolution set {name!r} is unknown; allowed are {', '.join(PAIRS)}")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(SPLITS)}")
    if scale not in (2, 3, 4):
        raise ValueError(f"scale is {scale}; allowed: 2, 3, 4")
    folder = PAIRS[name][split]
    if root is None:
        raise FileNotFoundError(f"{name} needs --data-root DIR (in Python: root=DIR) with images in DIR/SR/{folder}")
    low, high = [], []
    for file in picture_files(Path(root), folder, "SR", f"the images of {folder}"):
        y = luma(read_picture(file, colour=True))
        height, width = (side // scale for side in y.shape)
        if min(height, width) <= 2:
            raise ValueError(f"{file} has {y.shape[0]}x{y.shape[1]} pixels; too few for scale {scale}")
        y = np.ascontiguousarray(y[: height * scale, : width * scale])
        high.append(torch.from_numpy(y))
        low.append(torch.from_numpy(bicubic(y, height, width)))
    return Pairs(name=name, low=tuple(low), high=tuple(high), task=SuperResolution(scale))
