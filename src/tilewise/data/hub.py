"""Data sets from the Hugging Face hub, through its ``datasets`` library."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tilewise.data.catalogue import FACTS, Facts, Split
from tilewise.data.files import not_found


def fetch(name: str, split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Download one split, or take it from the cache of the library.

    Returns
    -------
    images : uint8 array of shape (N, C, H, W)
        As ``FACTS[name].shape``.
    labels : int64 array of shape (N,)
        In [0, classes - 1].

    Raises
    ------
    FileNotFoundError
        Whatever the cause: the library is not installed, there is no network, the set has changed. It says
        what to do, and its ``__cause__`` says why.
    """
    facts = FACTS[name]
    try:
        return _fetch(facts, split)
    except Exception as error:
        reason = f"{name} could not be had from the Hugging Face hub ({type(error).__name__}: {error})"
        raise not_found(name, split, reason) from error


def _fetch(facts: Facts, split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    from datasets import load_dataset

    image, label = facts.columns
    rows = load_dataset(facts.hub, split=split)
    channels, height, width = facts.shape
    pixels = np.empty((len(rows), height, width, channels), np.uint8)
    labels = np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        picture = np.asarray(row[image])
        if picture.dtype != np.uint8 or picture.size != pixels[i].size or picture.shape[:2] != (height, width):
            raise ValueError(f"image {i} is {picture.dtype} of shape {picture.shape}; expected uint8 of {facts.shape}")
        pixels[i] = picture.reshape(height, width, channels)
        labels[i] = row[label]
    if not len(rows) or labels.min() < 0 or labels.max() >= facts.classes:
        raise ValueError(f"expected labels in [0, {facts.classes - 1}], and at least one")
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels
