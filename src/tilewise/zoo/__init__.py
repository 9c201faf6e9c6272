"""The networks of the papers, by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tilewise.zoo.imagenet import resnet18_224, vgg16
from tilewise.zoo.lenet import lenet5
from tilewise.zoo.resnet import resnet18, resnet20
from tilewise.zoo.small import small_cnn

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet5": lenet5,
    "resnet18": resnet18,
    "resnet18_224": resnet18_224,
    "resnet20": resnet20,
    "small": small_cnn,
    "vgg16": vgg16,
}


def build(name: str, *, classes: int = 10, channels: int = 3, width: float = 1.0) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    name : {"lenet5", "resnet18", "resnet18_224", "resnet20", "small", "vgg16"}
        Which one.
    classes, channels : int
        Outputs, and channels of the input images.
    width : float
        Factor on all channel counts (``resnet18`` only).

    Raises
    ------
    ValueError
        If the name is unknown, or ``width`` is given for a network without it.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; allowed: {', '.join(MODELS)}")
    if name == "resnet18":
        return resnet18(width=width, classes=classes, channels=channels)
    if width != 1.0:
        raise ValueError(f"width is {width}, but only resnet18 has a width; allowed: 1.0")
    return MODELS[name](classes=classes, channels=channels)


__all__ = ["MODELS", "build", "lenet5", "resnet18", "resnet18_224", "resnet20", "small_cnn", "vgg16"]
