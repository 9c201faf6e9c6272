"""Post-training quantization: ranges only."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from tilewise.nn import Quantize, QuantizedConv
from tilewise.quant.fake import Range
from tilewise.train.progress import track

M = TypeVar("M", bound=nn.Module)


@torch.no_grad()
def calibrate(
    model: M,
    batches: Iterable[tuple[Tensor, Tensor] | Tensor],
    *,
    limit: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> M:
    """Measure the ranges of all quantized layers on data, forgetting earlier ones. No label and no gradient is used.

    Layers see the outputs of already quantized layers before them. Ranges are the largest absolute values seen.

    Parameters
    ----------
    model : torch.nn.Module
        A converted model; changed in place.
    batches : iterable of (x, y) or of x
        Calibration inputs; a few hundred training images are enough.
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
        If there is no data, or a range is not finite.
    """
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv | Quantize)}
    model.to(device).eval()
    for layer in layers.values():
        layer.reset_ranges()
        layer.calibrating = True
    count = 0
    try:
        for batch in track(itertools.islice(batches, limit), "calibrate", enabled=progress):
            x = batch if isinstance(batch, Tensor) else batch[0]
            model(x.to(device))
            count += len(x)
    finally:
        for layer in layers.values():
            layer.calibrating = False
    if count == 0:
        raise ValueError("no images to calibrate on")
    for name, module in model.named_modules():
        if isinstance(module, Range) and not torch.isfinite(module.absmax).all():
            raise ValueError(f"range {name} is not finite: weights or calibration data contain NaN or infinity")
    return model
