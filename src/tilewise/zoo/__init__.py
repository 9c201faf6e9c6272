"""The networks of the papers, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tilewise.zoo.denoising import dncnn
from tilewise.zoo.imagenet import resnet18_224, resnet50, vgg16
from tilewise.zoo.lenet import lenet5
from tilewise.zoo.mobile import mobilenet_v2
from tilewise.zoo.resnet import resnet18, resnet20
from tilewise.zoo.small import small_cnn
from tilewise.zoo.small_images import inception, resnext20, squeezenet
from tilewise.zoo.superresolution import compact, edsr, espcn
from tilewise.zoo.unet import unet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "compact": compact,
    "dncnn": dncnn,
    "edsr": edsr,
    "espcn": espcn,
    "inception": inception,
    "lenet5": lenet5,
    "mobilenet_v2": mobilenet_v2,
    "resnet18": resnet18,
    "resnet18_224": resnet18_224,
    "resnet20": resnet20,
    "resnet50": resnet50,
    "resnext20": resnext20,
    "small": small_cnn,
    "squeezenet": squeezenet,
    "unet": unet,
    "vgg16": vgg16,
}
_WIDE = ("edsr", "resnet18", "unet")
_SCALED = ("compact", "edsr", "espcn")
_LUMA = ("dncnn", "edsr", "espcn")
"""What takes images of one channel by default."""


def build(
    name: str, *, classes: int = 10, channels: int | None = None, width: float = 1.0, scale: int | None = None
) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    name : str
        Which one: a key of :data:`MODELS`.
    classes : int
        Outputs; networks that make images have none.
    channels : int, optional
        Of the input images; 1 for networks that work on luma, else 3.
    width : float
        Factor on all channel counts (``edsr``, ``resnet18`` and ``unet`` only).
    scale : {2, 3, 4}, optional
        Factor of networks that enlarge images (``edsr``, by default 2, ``espcn``, 3, and ``compact``, 4).

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
    options["channels"] = (1 if name in _LUMA else 3) if channels is None else channels
    if name in _SCALED and scale is not None:
        options["scale"] = scale
    if name not in (*_SCALED, *_LUMA):
        options["classes"] = classes
    return MODELS[name](**options)


__all__ = [
    "MODELS", "build", "compact", "dncnn", "edsr", "espcn", "inception", "lenet5", "mobilenet_v2", "resnet18",
    "resnet18_224", "resnet20", "resnet50", "resnext20", "small_cnn", "squeezenet", "unet", "vgg16",
]  # fmt: skip
