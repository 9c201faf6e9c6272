"""Post-training quantization: ranges, and what else brings layers nearer to the float network."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from tilewise.calibration.config import CalibrationConfig
from tilewise.calibration.refinement import refine
from tilewise.common.progress import track
from tilewise.nn import Quantize, QuantizedConv
from tilewise.quant import FLOAT_BITS
from tilewise.quant.fake import Range

M = TypeVar("M", bound=nn.Module)


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

    Layers see the outputs of already quantized layers before them. Ranges are the largest absolute values seen. With
    a config each layer is then refined against the network in float: that reads the data several times and needs
    seconds per layer.

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
        If there is no data, an input range is not finite or zero, or a layer's quantizer can not be refined.
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
        _measure(model, images, layers, progress=progress)
        return model
    kept = list(images)
    _measure(model, kept, layers, progress=progress)
    refine(model, kept, config, progress=progress)
    return model


@torch.no_grad()
def _measure(
    model: nn.Module, images: Iterable[Tensor], layers: Mapping[str, QuantizedConv | Quantize], *, progress: bool
) -> None:
    """Measure all ranges in one pass.

    Raises
    ------
    ValueError
        If there are no images, a range is not finite, or an input never differed from zero.
    """
    for layer in layers.values():
        layer.reset_ranges()
        layer.calibrating = True
    count = 0
    try:
        for x in track(images, "calibrate", enabled=progress):
            model(x)
            count += len(x)
    finally:
        for layer in layers.values():
            layer.calibrating = False
    if count == 0:
        raise ValueError("no images to calibrate on")
    for name, module in model.named_modules():
        if not isinstance(module, Range):
            continue
        if not torch.isfinite(module.absmax).all():
            raise ValueError(f"range {name} is not finite: weights or calibration data contain NaN or infinity")
        if name.endswith("input_range") and module.ready and not module.absmax.any():
            raise ValueError(f"range {name} saw nothing but zeros: calibrate on real inputs")
