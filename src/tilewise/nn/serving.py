"""Which convolutions a fast algorithm can serve, and which it should."""

from __future__ import annotations

from torch import nn

from tilewise.algebra import Algorithm
from tilewise.algebra.catalogue import STRIDES
from tilewise.nn.points import Interpolating
from tilewise.nn.transforms import Dense, Sparse, Static
from tilewise.quant import Exact, Residue, Winograd

STRUCTURES: dict[str, type[Static]] = {
    "static": Static,
    "learned": Dense,
    "sparse": Sparse,
    "convolution": Interpolating,
}
"""Classes of transforms by their names in specs."""

MIN_CHANNELS = 4
"""Fewest input channels: below, the transforms cost more than the products they save."""
MIN_GROUP_CHANNELS = 8
"""The same of a group, of inputs and of outputs."""
MAX_DILATION = 4
"""Beyond, the pixels of a tile are so far apart that tiles are cut off at the end of the map more than they save."""

# Stride 2 (docs/results/engine.md, "Stride 2" has the measurements): what it takes to be faster than direct.
MIN_STRIDED_CHANNELS = 96
"""Fewest input and output channels: transforms take as long per channel as at stride 1, products save half as much."""
MAX_STRIDED_WEIGHTS = 2_000_000
"""Most numbers in U: those of F4, nine times direct's weights, cost more to read than products are saved."""


def unservable(conv: nn.Conv2d, spec: Winograd | Exact | Residue) -> str:
    """Say why a fast algorithm can not serve a convolution; empty if it can.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        The layer.
    spec : Winograd, Exact or Residue
        What is asked.
    """
    r, stride = conv.kernel_size[0], conv.stride[0]
    is_winograd = isinstance(spec, Winograd)
    strides = STRIDES if is_winograd else (1,)
    apart = len(set(conv.dilation)) == 1 and stride == 1 and is_winograd
    reasons = {
        "its kernel is 1x1": tuple(conv.kernel_size) == (1, 1),
        f"its kernel {conv.kernel_size[0]}x{conv.kernel_size[1]} is not square": len(set(conv.kernel_size)) > 1,
        f"its stride is {conv.stride}": len(set(conv.stride)) > 1 or stride not in strides,
        f"its dilation is {conv.dilation}": tuple(conv.dilation) != (1, 1) and not apart,
        f"it has {conv.groups} groups": conv.groups != 1 and not is_winograd,
        f"its padding mode is {conv.padding_mode}": conv.padding_mode != "zeros",
        "padding 'same' of an even kernel is lopsided": conv.padding == "same" and r % 2 == 0,
    }
    for reason, applies in reasons.items():
        if applies:
            return reason
    try:
        if isinstance(spec, Winograd):
            STRUCTURES[spec.transforms](spec.resolve(r, stride))
        else:
            spec.resolve(r)
    except ValueError as error:
        return str(error)
    return ""


def unsuitable(conv: nn.Conv2d, spec: Winograd | Exact | Residue) -> str:
    """Say why a fast algorithm should not serve a convolution: it can not, or direct is faster; empty if it should.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        The layer.
    spec : Winograd, Exact or Residue
        What is asked.
    """
    if reason := unservable(conv, spec):
        return reason
    if conv.in_channels < MIN_CHANNELS:
        return f"it has fewer than {MIN_CHANNELS} input channels"
    if conv.groups > 1 and min(conv.in_channels, conv.out_channels) < MIN_GROUP_CHANNELS * conv.groups:
        return f"it has {conv.groups} groups of fewer than {MIN_GROUP_CHANNELS} channels"
    if conv.dilation[0] > MAX_DILATION:
        return f"its dilation is {conv.dilation}: beyond {MAX_DILATION} it would be slower"
    if conv.stride[0] == 1 or not isinstance(spec, Winograd):
        return ""
    return _slower(conv, spec.resolve(conv.kernel_size[0], conv.stride[0]))


def _slower(conv: nn.Conv2d, a: Algorithm) -> str:
    """Say why a decomposed algorithm would be slower than direct at stride 2; empty if it would not."""
    few = min(conv.in_channels, conv.out_channels) < MIN_STRIDED_CHANNELS
    weights = a.taps * conv.in_channels * conv.out_channels
    if few or weights > MAX_STRIDED_WEIGHTS:
        limit = f"fewer than {MIN_STRIDED_CHANNELS} channels" if few else f"{weights} > {MAX_STRIDED_WEIGHTS} weights"
        return f"its stride is {conv.stride}: with {limit} {a.name} would be slower"
    return ""
