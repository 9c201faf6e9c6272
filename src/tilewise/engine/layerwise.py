"""Quantized convolutions on the engine one by one, to the bit what they are in torch, in a model that runs in torch.

For whatever looks at layers: calibration, refinement, the doctor. A whole network is :func:`tilewise.accelerate`'s.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tilewise.common.limits import usable_threads
from tilewise.engine.engine import Engine
from tilewise.engine.graph import Chw, Graph, Node, Output
from tilewise.engine.layers import check_layer
from tilewise.engine.lower import lower
from tilewise.engine.operations.convolution import Conv
from tilewise.engine.operations.images import Images
from tilewise.engine.passes import optimize
from tilewise.nn import Linear, QuantizedConv
from tilewise.nn.native import extension
from tilewise.quant import FLOAT_BITS


def served(layer: QuantizedConv) -> bool:
    """Whether the engine computes a quantized convolution by itself."""
    if isinstance(layer, Linear) or layer.spec.bits == FLOAT_BITS or layer.padding_mode != "zeros":
        return False
    if extension() is None or layer.weight.device.type != "cpu":
        return False
    try:
        check_layer("", layer)
    except ValueError:
        return False
    return True


@torch.no_grad()
def native_layer(layer: QuantizedConv) -> Callable[[Tensor], Tensor]:
    """Return what computes a layer as it is now in evaluation: an engine where there is one for it, else itself.

    Parameters
    ----------
    layer : QuantizedConv
        Calibrated, in evaluation mode.
    """
    forward = type(layer).forward
    itself = functools.partial(forward, layer)
    if not served(layer):
        return itself
    try:
        engine = _engine(layer)
    except ValueError:  # its sums could leave int32, say
        return itself

    @torch.no_grad()
    def run(x: Tensor) -> Tensor:
        layer.check_input(x)
        if not x.numel() or not torch.isfinite(x).all():
            return itself(x)
        y: Tensor = engine(layer.scaled(x))
        return y

    return run


@contextmanager
def natively(model: nn.Module) -> Iterator[None]:
    """Let a model's quantized convolutions run on the engine; their numbers have to stay what they are meanwhile."""
    layers = [m for m in model.modules() if isinstance(m, QuantizedConv) and served(m) and not m.training]
    for layer in layers:
        layer.forward = _at_first_call(layer)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _at_first_call(layer: QuantizedConv) -> Callable[[Tensor], Tensor]:
    """Return a layer's native form, made when it is needed."""
    made: list[Callable[[Tensor], Tensor]] = []

    def run(x: Tensor) -> Tensor:
        if not made:
            made.append(native_layer(layer))
        return made[0](x)

    return run


def _engine(layer: QuantizedConv) -> Engine:
    """Return an engine of one convolution, from float images to float images."""
    side = layer.kernel_size[0]
    x = Node("x", Images(), [], Chw(layer.in_channels, side, side))
    y = Node("layer", Conv(layer), [x], Chw(layer.out_channels, side, side))
    graph = optimize(Graph([x, y], [Output("y", y)]))
    return Engine(lower(graph).to_bytes(), threads=min(torch.get_num_threads(), usable_threads()))
