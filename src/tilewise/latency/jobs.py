"""Plans of single convolutions, with random weights: what a grid of latencies is measured with."""

from __future__ import annotations

import torch
from torch import nn

from tilewise.conversion import convert
from tilewise.engine.compiler import make_plan
from tilewise.engine.plan import Plan
from tilewise.latency.candidates import Candidate
from tilewise.latency.shapes import LayerShape
from tilewise.nn import unservable
from tilewise.quant import Winograd
from tilewise.train import calibrate


def is_served(shape: LayerShape, candidate: Candidate) -> bool:
    """Whether a layer of this shape becomes the candidate, and not direct in its place."""
    spec = candidate.spec()
    return not isinstance(spec, Winograd) or not unservable(_conv(shape, "meta"), spec)


def layer_plan(shape: LayerShape, candidate: Candidate) -> Plan:
    """Give the plan of one convolution and the ReLU before it, with random weights and ranges of random images.

    Parameters
    ----------
    shape : LayerShape
        Its sizes; the plan's input has ``batch`` images of ``in_channels`` channels.
    candidate : Candidate
        How it shall be computed. Where that serves no such layer (:func:`is_served`) it is direct.

    Returns
    -------
    Plan
        Three operations: import, the convolution, export.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = convert(nn.Sequential(_conv(shape)), {"*": candidate.spec()}).eval()
        x = torch.randn(shape.batch, shape.in_channels, shape.height, shape.width)
        if candidate.precision == "float32":
            calibrate(model, [x])
        return make_plan(model, x, candidate.precision)


def _conv(shape: LayerShape, device: str = "cpu") -> nn.Conv2d:
    return nn.Conv2d(
        shape.in_channels, shape.out_channels, shape.kernel, shape.stride, shape.padding, shape.dilation, device=device
    )
