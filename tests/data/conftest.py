"""Writers of small files in the formats in which the data sets are published."""

from __future__ import annotations

import gzip
import io
import pickle
import struct

import numpy as np
import pytest


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, like the published files."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_bytes(self, value):
        if len(value) < 256:
            self.write(b"U" + struct.pack("<B", len(value)) + value)
        else:
            self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def as_published(content):
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    return stream.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.fixture
def published_pickle():
    return as_published


@pytest.fixture
def cifar_files(tmp_path):
    """Folder with CIFAR-10 (4 images a file) and CIFAR-100 (6 images a file), and what is in it."""
    rng = np.random.default_rng(0)
    content = {}

    def write(path, key, classes, count):
        data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = rng.integers(0, classes, count).tolist()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(as_published({b"batch_label": b"x", key: labels, b"data": data, b"filenames": [b"a.png"]}))
        return data, labels

    ten, hundred = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-100-python"
    batches = [write(ten / f"data_batch_{i}", b"labels", 10, 4) for i in range(1, 6)]
    content["cifar10", "train"] = np.concatenate([b[0] for b in batches]), [y for b in batches for y in b[1]]
    content["cifar10", "test"] = write(ten / "test_batch", b"labels", 10, 4)
    for split in ("train", "test"):
        content["cifar100", split] = write(hundred / split, b"fine_labels", 100, 6)
    return tmp_path, content


def idx(array):
    array = np.asarray(array, np.uint8)
    return struct.pack(f">{array.ndim + 1}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def write_mnist():
    """Write one split of 5 images into a folder; returns what is in it."""

    def write(folder, prefix="train", *, gz=False):
        rng = np.random.default_rng(len(prefix))
        images = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, 5, dtype=np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        for file, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            raw = idx(array)
            path = folder / f"{prefix}-{file}{'.gz' if gz else ''}"
            path.write_bytes(gzip.compress(raw) if gz else raw)
        return images, labels

    return write
