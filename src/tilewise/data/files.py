"""Finding the original files of a data set, and saying what to do when they are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.data.catalogue import FACTS, Split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAYOUT: dict[tuple[str, Split], str] = {
    ("cifar10", "train"): "cifar-10-batches-py/data_batch_1 .. data_batch_5",
    ("cifar10", "test"): "cifar-10-batches-py/test_batch",
    ("cifar100", "train"): "cifar-100-python/train",
    ("cifar100", "test"): "cifar-100-python/test",
    ("mnist", "train"): "MNIST/raw/train-images-idx3-ubyte and train-labels-idx1-ubyte (plain or .gz)",
    ("mnist", "test"): "MNIST/raw/t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (plain or .gz)",
}


def not_found(name: str, split: Split, what: str) -> FileNotFoundError:
    """Error that begins with what is missing and ends with the two ways to get it."""
    return FileNotFoundError(
        f"{what}. Give --data-root DIR (in Python: root=DIR) with the original files at "
        f"DIR/{LAYOUT[name, split]}, or give no folder and install the hub extra "
        f"(pip install 'tilewise[hub]') to fetch {FACTS[name].hub} from the Hugging Face hub"
    )


def find(name: str, split: Split, root: Path, folder: str, names: Sequence[str]) -> Path:
    """First of ``names`` that is a file in ``root/folder`` or, failing that, in ``root`` itself.

    Raises
    ------
    FileNotFoundError
        If none is; the message names the file and says what to do.
    """
    for place in (root / folder, root):
        for file in names:
            path = place / file
            if path.is_file():
                return path
    if not root.is_dir():
        raise not_found(name, split, f"{name}: {root} is not a folder")
    raise not_found(name, split, f"{name}: neither {root / folder} nor {root} has a file {' or '.join(names)}")
