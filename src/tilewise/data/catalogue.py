"""What is known of each data set before a byte of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Split: TypeAlias = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Constants of one data set.

    Parameters
    ----------
    classes : int
        Number of classes.
    shape : (C, H, W)
        Of one image.
    mean, std : C floats
        Normalisation, per channel of ``pixel / 255``.
    flips : bool
        Whether a mirrored image keeps its label.
    hub : str
        Name on the Hugging Face hub; empty if it does not come from there.
    columns : (image, label)
        Their names on the hub.
    """

    classes: int
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    flips: bool
    hub: str = ""
    columns: tuple[str, str] = ("image", "label")


# Not CIFAR's own statistics but ImageNet's: the widely used pretrained ResNet-20 was trained with them.
PHOTO_MEAN = (0.485, 0.456, 0.406)
PHOTO_STD = (0.229, 0.224, 0.225)

FACTS = {
    "cifar10": Facts(
        classes=10,
        shape=(3, 32, 32),
        mean=PHOTO_MEAN,
        std=PHOTO_STD,
        flips=True,
        hub="uoft-cs/cifar10",
        columns=("img", "label"),
    ),
    "cifar100": Facts(
        classes=100,
        shape=(3, 32, 32),
        mean=PHOTO_MEAN,
        std=PHOTO_STD,
        flips=True,
        hub="uoft-cs/cifar100",
        columns=("img", "fine_label"),
    ),
    "digits": Facts(classes=10, shape=(1, 32, 32), mean=(0.3051,), std=(0.3239,), flips=False),
    "mnist": Facts(classes=10, shape=(1, 28, 28), mean=(0.1307,), std=(0.3081,), flips=False, hub="ylecun/mnist"),
}
