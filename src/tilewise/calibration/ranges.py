"""Post-training quantization: ranges, and what else brings layers nearer to the float network."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from tilewise.calibration.batches import Batch, apart, call, count, grouped, has_numbers, inputs_in
from tilewise.calibration.config import CalibrationConfig
from tilewise.calibration.parts import scale_parts
from tilewise.calibration.refinement import refine
from tilewise.common.progress import track
from tilewise.nn import Quantize, QuantizedConv
from tilewise.quant import FLOAT_BITS
from tilewise.quant.fake import Range

M = TypeVar("M", bound=nn.Module)


def calibrate(
    model: M,
    batches: Iterable[tuple[Tensor, Tensor] | Tensor | Mapping[str, Tensor]],
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
    batches : iterable of (x, y), of x, or of dicts
        Calibration inputs; a few hundred training images are enough. Of a model with several inputs dicts of them, by
        the names of its arguments.
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
        If there is no data or it is all zeros, a range is not finite, or a layer's quantizer, or a network with several
        inputs, can not be refined.
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
    inputs = (inputs_in(batch, device) for batch in itertools.islice(batches, limit))
    if config is None:
        _measure(model, grouped(inputs), layers, progress=progress)
        return model
    kept = list(grouped(inputs))
    images = [batch for batch in kept if isinstance(batch, Tensor)]
    if len(images) < len(kept):
        raise ValueError("batches are dicts of several inputs, of which only ranges can be calibrated: no config")
    _measure(model, kept, layers, progress=progress)
    found = refine(model, images, config, progress=progress)
    complaint = found.complaint()
    if found.in_vain:
        warnings.warn(complaint, stacklevel=2)
    elif progress and complaint:
        print(complaint)
    return model


@torch.no_grad()
def _measure(
    model: nn.Module, batches: Iterable[Batch], layers: Mapping[str, QuantizedConv | Quantize], *, progress: bool
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
    images, anything = 0, False
    try:
        for batch in track(batches, "calibrate", enabled=progress):
            try:
                _run(model, batch, layers, first=images == 0)
            except RuntimeError:
                if count(batch) == 1:
                    raise
                _one_by_one(model, batch, layers, first=images == 0)
            images += count(batch)
            anything = anything or has_numbers(batch)
    finally:
        for layer in layers.values():
            layer.calibrating = False
    if images == 0:
        raise ValueError("no images to calibrate on")
    if not anything:
        raise ValueError("the images to calibrate on are nothing but zeros; calibrate on real ones")
    _check(model)


def _run(model: nn.Module, batch: Batch, layers: Mapping[str, QuantizedConv | Quantize], *, first: bool) -> None:
    """Run the model; the first images say which parts of concatenations are scaled, and are measured with that."""
    if first and not scale_parts(model, batch):
        return
    if first:
        for layer in layers.values():
            layer.reset_ranges()
    call(model, batch)


def _one_by_one(model: nn.Module, batch: Batch, layers: Mapping[str, QuantizedConv | Quantize], *, first: bool) -> None:
    """Run a model that takes one image at a time, as files of fixed shapes have it."""
    for i, image in enumerate(apart(batch)):
        _run(model, image, layers, first=first and i == 0)


def _check(model: nn.Module) -> None:
    """Refuse ranges that are not finite; give those of nothing but zeros one of 1."""
    for name, module in model.named_modules():
        if not isinstance(module, Range):
            continue
        if not torch.isfinite(module.absmax).all():
            raise ValueError(f"range {name} is not finite: weights or calibration data contain NaN or infinity")
        if module.ready and not module.absmax.any():
            module.absmax.fill_(1.0)
