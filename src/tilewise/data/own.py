"""Images of the user's own: a folder of image files, or an .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from tilewise.common.limits import check_memory
from tilewise.data.catalogue import PHOTO_MEAN, PHOTO_STD
from tilewise.data.images import Images
from tilewise.data.pictures import SUFFIXES, read_picture

SPLITS = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val")}
"""Folders, and ends of names in an .npz file, that hold a split; without any of them all images are of every split."""
PHOTO_CHANNELS = 3


def is_own(name: str) -> bool:
    """Whether a name is that of a folder or an .npz file, not of a known data set."""
    return name.endswith(".npz") or "/" in name or Path(name).is_dir()


def load_own(
    name: str, split: str, *, size: int | None = None, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()
) -> Images:
    """Read images with or without labels; those without have the label 0.

    Parameters
    ----------
    name : str
        A folder of images, of folders of images (one for each class, by name), or of ``train`` and ``test`` or
        ``val``, which hold one or the other. Or an .npz file of uint8 ``images`` (N, C, H, W) or (N, H, W, C), and
        ``labels``; or ``x_train``, ``y_train``, ``x_test`` and ``y_test``.
    split : {"train", "val", "test"}
        Which part.
    size : int, optional
        Height and width to bring image files to: the shorter side is scaled to it, the middle kept. Without it all
        of them have to be alike in size.
    mean, std : C floats
        Per channel of ``pixel / 255``. By default ImageNet's for images of three channels, else 0 and 1.

    Raises
    ------
    FileNotFoundError
        If there is no such folder or file, or no image in it.
    ValueError
        If a file is damaged, or images differ in size.
    """
    path = Path(name)
    if path.suffix == ".npz":
        images, labels = _read_arrays(path, split)
    else:
        images, labels = _read_folder(path, split, size)
    channels = images.shape[1]
    is_photo = channels == PHOTO_CHANNELS
    return Images(
        name=name,
        images=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        classes=int(labels.max()) + 1,
        mean=mean or (PHOTO_MEAN if is_photo else (0.0,) * channels),
        std=std or (PHOTO_STD if is_photo else (1.0,) * channels),
        flips=is_photo,
    )


def _read_folder(path: Path, split: str, size: int | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    folder = next((path / part for part in SPLITS[split] if (path / part).is_dir()), path)
    classes = sorted(child for child in folder.iterdir() if child.is_dir() and _pictures(child))
    files = [(file, label) for label, child in enumerate(classes) for file in _pictures(child)]
    files = files or [(file, 0) for file in _pictures(folder)]
    if not files:
        kinds = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
        raise FileNotFoundError(f"there is no image ({kinds}) in {folder}, nor in folders in it")
    images = [_fitted(read_picture(file, colour=True), size) for file, _ in files]
    for (file, _), image in zip(files, images, strict=True):
        if image.shape != images[0].shape:
            found = " and ".join(f"{x.shape[0]}x{x.shape[1]}" for x in (images[0], image))
            raise ValueError(f"{files[0][0]} and {file} are {found}; all have to be alike, or --image-size given")
    return np.stack(images).transpose(0, 3, 1, 2).copy(), np.array([label for _, label in files], np.int64)


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (*SUFFIXES, ".jpeg"))


def _fitted(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Scale the shorter side to a size and keep the middle."""
    if size is None:
        return image
    if size < 1:
        raise ValueError(f"image-size is {size}; it must be at least 1")
    from PIL import Image

    height, width = image.shape[:2]
    factor = size / min(height, width)
    scaled = Image.fromarray(image).resize(
        (max(size, round(width * factor)), max(size, round(height * factor))), Image.Resampling.BILINEAR
    )
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    return np.array(scaled.crop((left, top, left + size, top + size)), np.uint8)


def _read_arrays(path: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with np.load(path, allow_pickle=False) as file:
            check_memory(sum(entry.file_size for entry in file.zip.infolist()), f"the arrays of {path}")
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, BadZipFile, EOFError) as error:
        raise ValueError(f"{path} is no .npz file of arrays, or a damaged one: {error}") from error
    images = _first(arrays, ["images", "x"], split)
    if images is None:
        raise ValueError(f"{path} has the arrays {', '.join(arrays) or 'none at all'}; allowed: images, or x_{split}")
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.size == 0:
        raise ValueError(
            f"{path}: images are {images.dtype} of shape {images.shape}; allowed: uint8, (N, C, H, W) or (N, H, W, C)"
        )
    if images.ndim == 3:  # grey, as in Keras's files
        images = images[:, None]
    elif images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    labels = _first(arrays, ["labels", "y"], split)
    labels = np.zeros(len(images)) if labels is None else labels.reshape(-1)
    return np.ascontiguousarray(images), labels.astype(np.int64)


def _first(arrays: dict[str, NDArray[Any]], names: list[str], split: str) -> NDArray[Any] | None:
    """Return the array of a split, or else that of all images."""
    wanted = [f"{name}_{part}" for part in SPLITS[split] for name in names] + names
    return next((arrays[name] for name in wanted if name in arrays), None)
