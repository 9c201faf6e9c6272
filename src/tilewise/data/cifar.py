"""CIFAR-10 and CIFAR-100 from their original Python pickles (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from tilewise.data.catalogue import FACTS, Split
from tilewise.data.files import find
from tilewise.data.pickles import read_pickle

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = 3 * 32 * 32

FILES: dict[tuple[str, Split], tuple[str, ...]] = {
    ("cifar10", "train"): tuple(f"data_batch_{i}" for i in range(1, 6)),
    ("cifar10", "test"): ("test_batch",),
    ("cifar100", "train"): ("train",),
    ("cifar100", "test"): ("test",),
}
FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
LABELS = {"cifar10": "labels", "cifar100": "fine_labels"}


def read_cifar(
    name: Literal["cifar10", "cifar100"], split: Split, root: Path
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split from ``root/cifar-10-batches-py`` or ``root/cifar-100-python``, or from ``root`` itself.

    Returns
    -------
    images : uint8 array of shape (N, 3, 32, 32)
        N is 50,000 or 10,000 with the original files; smaller files of the same format are read too.
    labels : int64 array of shape (N,)
        In [0, 9] or [0, 99]; the fine labels of CIFAR-100.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, holds something else, or names code.
    """
    paths = [find(name, split, root, FOLDER[name], (file,)) for file in FILES[name, split]]
    images, labels = zip(*(_read_batch(path, LABELS[name], FACTS[name].classes) for path in paths), strict=True)
    return np.concatenate(images).reshape(-1, 3, 32, 32), np.concatenate(labels)


def _read_batch(path: Path, key: str, classes: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    content = read_pickle(path)
    data, labels = content.get("data"), content.get(key)
    if not isinstance(data, np.ndarray) or data.ndim != 2 or data.shape[1] != PIXELS or not len(data):
        found = f"shape {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"{path}: 'data' is {found}; expected bytes of shape (N, {PIXELS})")
    if not isinstance(labels, list) or len(labels) != len(data):
        found = f"{len(labels)} labels" if isinstance(labels, list) else type(labels).__name__
        raise ValueError(f"{path}: {key!r} is {found}; expected a list of {len(data)} labels, one per image")
    if not all(type(label) is int and 0 <= label < classes for label in labels):
        raise ValueError(f"{path}: {key!r} has a value that is not an integer in [0, {classes - 1}]")
    return data, np.array(labels, np.int64)
