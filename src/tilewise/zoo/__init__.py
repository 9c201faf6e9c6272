"""The networks of the papers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tilewise.zoo.imagenet import resnet18_224, vgg16
from tilewise.zoo.lenet import lenet5
from tilewise.zoo.resnet import resnet18, resnet20
from tilewise.zoo.small import small_cnn
from tilewise.zoo.superresolution import edsr, espcn
from tilewise.zoo.unet import unet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "edsr": edsr,
    "espcn": espcn,
    "lenet5": lenet5,
    "resnet18": resnet18,
    "resnet18_224": resnet18_224,
    "resnet20": resnet20,
    "small": small_cnn,
    "unet": unet,
    "vgg16": vgg16,
}
_WIDE = ("edsr", "resnet18", "unet")
_SCALED = ("edsr", "espcn")


def build(
    name: str, *, classes: int = 10, channels: int | None = None, width: float = 1.0, scale: int | None = None
) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    name : {"edsr", "espcn", "lenet5", "resnet18", "resnet18_224", "resnet20", "small", "unet", "vgg16"}
        Which one.
    classes : int
        Outputs; networks that enlarge images have none.
    channels : int, optional
        Of the input images; 1 for networks that enlarge luma, else 3.
    width : float
        Factor on all channel counts (``edsr``, ``resnet18`` and ``unet`` only).
    scale : {2, 3, 4}, optional
        Factor of networks that enlarge images (``edsr``, by default 2, and ``espcn``, 3).

    Raises
    ------
    ValueError
        If the name is unknown, or ``width`` or ``scale`` is given for a network without it.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; allowed: {', '.join(MODELS)}")
    if width != 1.0 and name not in _WIDE:
        raise ValueError(f"width is {width}, but only {', '.join(_WIDE)} have a width; allowed: 1.0")
    if scale is not None and name not in _SCALED:
        raise ValueError(f"scale is {scale}, but {name} does not enlarge images; only {', '.join(_SCALED)} do")
    options: dict[str, Any] = {"width": width} if name in _WIDE else {}
    if name in _SCALED:
        options |= {"scale": scale} if scale is not None else {}
        return MODELS[name](channels=1 if channels is None else channels, **options)
    return MODELS[name](classes=classes, channels=3 if channels is None else channels, **options)


__all__ = [
    "MODELS", "build", "edsr", "espcn", "lenet5", "resnet18", "resnet18_224", "resnet20", "small_cnn", "unet", "vgg16",
]  # fmt: skip
