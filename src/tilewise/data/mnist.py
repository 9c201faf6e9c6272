"""MNIST from its original IDX files, plain or gzipped."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tilewise.common.files import read_bytes
from tilewise.data.catalogue import FACTS, Split
from tilewise.data.files import find

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "MNIST/raw"
LARGEST = 2**26
"""Bytes that a file may unfold to; 60,000 images are 47,040,016."""
PREFIX: dict[Split, str] = {"train": "train", "test": "t10k"}


def read_mnist(split: Split, root: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split from ``root/MNIST/raw`` or from ``root`` itself.

    Returns
    -------
    images : uint8 array of shape (N, 1, 28, 28)
        N is 60,000 or 10,000 with the original files; smaller files of the same format are read too.
    labels : int64 array of shape (N,)
        In [0, 9].

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or holds something else.
    """
    facts = FACTS["mnist"]
    image_path = _find(split, root, "images-idx3-ubyte")
    label_path = _find(split, root, "labels-idx1-ubyte")
    images = read_idx(image_path, facts.shape[1:])
    labels = read_idx(label_path, ()).astype(np.int64)
    if not len(images):
        raise ValueError(f"{image_path} holds no image")
    if len(labels) != len(images):
        raise ValueError(f"{label_path} holds {len(labels)} labels; expected {len(images)}, one per image")
    if labels.max() >= facts.classes:
        raise ValueError(f"{label_path} holds label {labels.max()}; allowed is [0, {facts.classes - 1}]")
    return images.reshape(-1, *facts.shape), labels


def read_idx(path: Path, item: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes: magic number, one big-endian 32-bit size per dimension, bytes.

    Parameters
    ----------
    path : Path
        Gzipped if the name ends in ``.gz``.
    item : tuple of int
        Shape that each of its N items must have.

    Returns
    -------
    uint8 array of shape (N, *item)
        Writable.

    Raises
    ------
    ValueError
        If the file is cut short, too long, not gzip though named so, or of another type or shape.
    """
    raw = _read_bytes(path)
    start = 8 + 4 * len(item)
    if len(raw) < start:
        raise ValueError(f"{path} has {len(raw)} bytes; expected an IDX header of {start} bytes")
    magic, count, *sizes = struct.unpack(f">{2 + len(item)}I", raw[:start])
    expected = 0x0801 + len(item)  # 08: unsigned bytes; then the number of dimensions
    if magic != expected:
        raise ValueError(f"{path} begins with the number {magic}; expected {expected}")
    if tuple(sizes) != item:
        raise ValueError(f"{path} holds items of shape {tuple(sizes)}; expected {item}")
    array = np.frombuffer(raw, np.uint8, offset=start).copy()
    size = count * int(np.prod(item, dtype=np.int64))
    if array.size != size:
        raise ValueError(f"{path} has {array.size} bytes after its header; expected {size} for {count} items")
    return array.reshape(count, *item)


def _find(split: Split, root: Path, kind: str) -> Path:
    file = f"{PREFIX[split]}-{kind}"
    return find("mnist", split, root, FOLDER, (file, f"{file}.gz"))


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return read_bytes(path, LARGEST)
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    if len(content) > LARGEST:
        raise ValueError(f"{path} unfolds to more than {LARGEST} bytes; MNIST's files have less")
    return content
