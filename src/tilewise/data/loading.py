"""Loading a data set by name."""

from __future__ import annotations

from pathlib import Path

import torch

from tilewise.data.catalogue import FACTS, SPLITS, Split
from tilewise.data.cifar import read_cifar
from tilewise.data.digits import read_digits
from tilewise.data.hub import fetch
from tilewise.data.images import Images
from tilewise.data.mnist import read_mnist

NAMES = tuple(FACTS)


def load(name: str, split: Split, root: str | Path | None = None) -> Images:
    """Load one split of a data set into memory.

    Parameters
    ----------
    name : {"cifar10", "cifar100", "digits", "mnist"}
        ``digits`` comes with scikit-learn, needs no download, and ignores ``root``.
    split : {"train", "test"}
        ``digits`` has 1,297 and 500 images, the others have their original splits.
    root : path, optional
        Folder with the original files: ``MNIST/raw/train-images-idx3-ubyte`` and its three companions (plain
        or ``.gz``), ``cifar-10-batches-py/*``, ``cifar-100-python/*``; or that inner folder itself. Without
        it, the set is fetched from the Hugging Face hub, which needs the ``hub`` extra.

    Returns
    -------
    Images
        Of shape (N, 3, 32, 32) for CIFAR, (N, 1, 32, 32) for digits, (N, 1, 28, 28) for MNIST.

    Raises
    ------
    ValueError
        If ``name`` or ``split`` is unknown, or a file is damaged or not what it should be. No code named in a
        file is ever run.
    FileNotFoundError
        If a file is missing or the hub cannot be reached; the message says what to do.
    """
    if name not in FACTS:
        raise ValueError(f"data set {name!r} is unknown; allowed are {', '.join(NAMES)}")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(SPLITS)}")
    if name == "digits":
        pixels, labels = read_digits(split)
    elif root is None:
        pixels, labels = fetch(name, split)
    elif name == "mnist":
        pixels, labels = read_mnist(split, Path(root))
    else:
        pixels, labels = read_cifar("cifar10" if name == "cifar10" else "cifar100", split, Path(root))
    facts = FACTS[name]
    return Images(
        name=name,
        images=torch.from_numpy(pixels),
        labels=torch.from_numpy(labels),
        classes=facts.classes,
        mean=facts.mean,
        std=facts.std,
        flips=facts.flips,
    )
