"""Post-training quantization: ranges, and what else brings layers nearer to the float network."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from tilewise.calibration.config import CalibrationConfig
from tilewise.calibration.parts import scale_parts
from tilewise.calibration.refinement import refine
from tilewise.common.progress import track
from tilewise.nn import Quantize, QuantizedConv
from tilewise.quant import FLOAT_BITS
from tilewise.quant.fake import Range

M = TypeVar("M", bound=nn.Module)
GROUP_VALUES = 2**22
"""Numbers in the images that are measured at once, at most: 27 images of 224x224, 1365 of CIFAR."""


def calibrate(
    model: M,
    batches: Iterable[tuple[Tensor, Tensor] | Tensor],
    config: CalibrationConfig | None = None,
    *,
    limit: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> M:
    """Measure the ranges of all quantized layers on data, forgetting earlier ones. No label is used.

    Layers see the outputs of already quantized layers before them. Ranges are the largest absolute values seen. How
    many images a batch has makes no difference: they are measured in groups of its own. A layer that reads nothing
    but zeros gives its bias, whatever its range; it gets one of 1. Of a concatenation whose parts differ in range 32
    times and more, a convolution that reads it scales the smaller parts up, by powers of two. With a config each layer
    is then refined against the network in float: that reads the data several times and needs seconds per layer. A
    quarter of the images is held back, and what they do not gain by is taken back; if that is all, a warning says so.

    Parameters
    ----------
    model : torch.nn.Module
        A converted model; changed in place.
    batches : iterable of (x, y) or of x
        Calibration inputs; a few hundred training images are enough.
    config : CalibrationConfig, optional
        How to refine; None only measures ranges. Refined are networks whose weights are those of the float network:
        calibrate before training, not after it.
    limit : int, optional
        Batches to use at most; all of them by default.
    device : str
        Where to run.
    progress : bool
        Show a progress bar.

    Returns
    -------
    torch.nn.Module
        The same model, in evaluation mode.

    Raises
    ------
    ValueError
        If there is no data or it is all zeros, a range is not finite, or a layer's quantizer can not be refined.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv | Quantize)}
    if config is not None:
        for name, layer in layers.items():
            if isinstance(layer, QuantizedConv) and layer.spec.bits != FLOAT_BITS and not layer.policy.is_contract:
                rules = layer.spec.rules.name
                raise ValueError(
                    f"{name} has the {rules!r} quantizer, of which only ranges can be calibrated: no config"
                )
    model.to(device).eval()
    images = ((x if isinstance(x, Tensor) else x[0]).to(device) for x in itertools.islice(batches, limit))
    if config is None:
        _measure(model, grouped(images), layers, progress=progress)
        return model
    kept = list(grouped(images))
    _measure(model, kept, layers, progress=progress)
    found = refine(model, kept, config, progress=progress)
    complaint = found.complaint()
    if found.in_vain:
        warnings.warn(complaint, stacklevel=2)
    elif progress and complaint:
        print(complaint)
    return model


def grouped(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield the images of some batches, in their order, in groups that depend on the images alone.

    A layer's range depends on which images the layers before it had seen by then; so it must not depend on how a
    loader happens to batch them.

    Parameters
    ----------
    batches : iterable of Tensor of shape (N, ...)
        Where the shape of an image changes, a group ends.
    """
    waiting: list[Tensor] = []
    for batch in batches:
        for x in torch.split(batch, 1) if len(batch) else ():  # of no images it makes one part
            if waiting and (waiting[0].shape != x.shape or (len(waiting) + 1) * x.numel() > GROUP_VALUES):
                yield torch.cat(waiting)
                waiting = []
            waiting.append(x)
    if waiting:
        yield torch.cat(waiting)


@torch.no_grad()
def _measure(
    model: nn.Module, images: Iterable[Tensor], layers: Mapping[str, QuantizedConv | Quantize], *, progress: bool
) -> None:
    """Measure all ranges in one pass.

    Raises
    ------
    ValueError
        If there are no images, they are all zeros, or a range is not finite.
    """
    for layer in layers.values():
        layer.reset_ranges()
        layer.calibrating = True
    count, anything = 0, False
    try:
        for x in track(images, "calibrate", enabled=progress):
            _run(model, x, layers, first=count == 0)
            count += len(x)
            anything = anything or bool(x.any())
    finally:
        for layer in layers.values():
            layer.calibrating = False
    if count == 0:
        raise ValueError("no images to calibrate on")
    if not anything:
        raise ValueError("the images to calibrate on are nothing but zeros; calibrate on real ones")
    _check(model)


def _run(model: nn.Module, x: Tensor, layers: Mapping[str, QuantizedConv | Quantize], *, first: bool) -> None:
    """Run the model; the first images say which parts of concatenations are scaled, and are measured with that."""
    if first and not scale_parts(model, x):
        return
    if first:
        for layer in layers.values():
            layer.reset_ranges()
    model(x)


def _check(model: nn.Module) -> None:
    """Refuse ranges that are not finite; give those of nothing but zeros one of 1."""
    for name, module in model.named_modules():
        if not isinstance(module, Range):
            continue
        if not torch.isfinite(module.absmax).all():
            raise ValueError(f"range {name} is not finite: weights or calibration data contain NaN or infinity")
        if module.ready and not module.absmax.any():
            module.absmax.fill_(1.0)
