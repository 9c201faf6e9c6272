"""Loading a data set of any task by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from tilewise.data.images import Images
from tilewise.data.loading import NAMES, load
from tilewise.data.pairs import PAIRS, Pairs, load_pairs
from tilewise.data.scenes import SCENES, Scenes, load_scenes

Known: TypeAlias = Images | Pairs | Scenes


def load_known(name: str, split: Literal["train", "val", "test"], root: Path | None, scale: int | None = None) -> Known:
    """Load one split of a set for classification, segmentation or super-resolution.

    Parameters
    ----------
    name : str
        As :func:`load`, :func:`load_scenes` or :func:`load_pairs` take it.
    split : {"train", "val", "test"}
        What has no images for validation is validated on its test images.
    root : path, optional
        Folder with the original files.
    scale : int, optional
        Factor of images to enlarge, by default 2.

    Raises
    ------
    ValueError
        If there is no such set, it has no scale, or a file is damaged.
    FileNotFoundError
        If a file is missing.
    """
    if name not in (known := (*NAMES, *SCENES, *PAIRS)):
        raise ValueError(f"data set {name!r} is unknown; allowed are {', '.join(known)}, a folder, an .npz file")
    if scale is not None and name not in PAIRS:
        raise ValueError(f"scale is {scale}, but {name} has no low resolution; only {', '.join(PAIRS)} have one")
    if name in SCENES:
        return load_scenes(name, split, root)
    part: Literal["train", "test"] = "train" if split == "train" else "test"
    if name in PAIRS:
        return load_pairs(name, part, root, scale=2 if scale is None else scale)
    return load(name, part, root)
