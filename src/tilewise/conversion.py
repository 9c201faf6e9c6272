"""Make a trained model's convolutions Winograd-aware, by layer-name patterns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from tilewise.nn import Conv2d, Fallback, QuantizedConv, WinogradConv2d, unservable
from tilewise.quant import Direct, Spec, Winograd


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One convolution of a converted model.

    Parameters
    ----------
    name : str
        Dotted name in the model.
    shape : str
        Channels, kernel and stride, such as ``"16 -> 32, 3x3, stride 2"``.
    algorithm : str
        What it computes with: an algorithm's name, or ``"direct"``.
    bits : int
        Its width; 32 is float.
    spec : Spec or None
        Its spec; None for a convolution that no pattern matched.
    reason : str
        Why it is direct although a fast algorithm was asked, or empty.
    """

    name: str
    shape: str
    algorithm: str
    bits: int
    spec: Spec | None
    reason: str


def convert(model: nn.Module, specs: Mapping[str, Spec]) -> nn.Module:
    """Copy a model with its convolutions replaced as the specs say.

    Layers are matched by dotted name with shell patterns (``*``, ``?``, ``[...]``); the first pattern that matches a
    layer decides. Layers that none matches stay as they are. What a fast algorithm can not serve (stride above 1,
    dilation, 1x1, groups, fewer than 4 input channels) becomes direct at the same bit width; :func:`describe` says
    which and why. Weights carry over bit for bit. Converted models can be converted again, for example to adapt an
    int8 direct network to int8 F4.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; it is not changed.
    specs : mapping of str to Direct or Winograd
        For example ``{"layer*": Winograd("F4"), "*": Direct(bits=8)}``.

    Returns
    -------
    torch.nn.Module
        The converted copy, on the same device, in the same training mode.

    Raises
    ------
    ValueError
        If a pattern matches no convolution, or a weight is not finite.
    TypeError
        If a spec is neither Direct nor Winograd.
    """
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    _check(convs, specs)
    converted = copy.deepcopy(model)
    replacement: dict[nn.Module, nn.Module] = {}
    for name in convs:
        conv = converted.get_submodule(name)
        assert isinstance(conv, nn.Conv2d)
        spec = next((s for pattern, s in specs.items() if fnmatchcase(name, pattern)), None)
        if spec is not None:
            replacement[conv] = _layer(conv, spec)
    for module in list(converted.modules()):  # by parent, so that a layer used twice stays one layer
        for child_name, child in module._modules.items():  # noqa: SLF001 - named_children() skips a second name
            if child in replacement:
                setattr(module, child_name, replacement[child])
    return replacement.get(converted, converted)


def _check(convs: Mapping[str, nn.Conv2d], specs: Mapping[str, Spec]) -> None:
    for pattern, spec in specs.items():
        if not isinstance(spec, Direct | Winograd):
            raise TypeError(f"spec for {pattern!r} is {type(spec).__name__}; allowed: Direct, Winograd")
        if not any(fnmatchcase(name, pattern) for name in convs):
            known = ", ".join(convs) or "none at all"
            raise ValueError(f"pattern {pattern!r} matches no convolution; the model has: {known}")
    for name, conv in convs.items():
        if not torch.isfinite(conv.weight).all():
            raise ValueError(f"weights of {name} contain NaN or infinity; convert a model with finite weights")


def _layer(conv: nn.Conv2d, spec: Spec) -> QuantizedConv:
    if isinstance(spec, Direct):
        return Conv2d.from_conv(conv, spec)
    if reason := unservable(conv, spec):
        return Conv2d.from_conv(conv, Direct(bits=spec.bits, quantizer=spec.quantizer), Fallback(spec, reason))
    return WinogradConv2d.from_conv(conv, spec)


def describe(model: nn.Module) -> list[LayerReport]:
    """List a model's convolutions: what each computes with, and why some are direct.

    Parameters
    ----------
    model : torch.nn.Module
        Converted or not.
    """
    return [_report(name, m) for name, m in model.named_modules() if isinstance(m, nn.Conv2d)]


def _report(name: str, conv: nn.Conv2d) -> LayerReport:
    kernel = "x".join(map(str, conv.kernel_size))
    shape = f"{conv.in_channels} -> {conv.out_channels}, {kernel}"
    if conv.stride != (1, 1):
        shape += f", stride {conv.stride[0]}"
    spec = conv.spec if isinstance(conv, QuantizedConv) else None
    return LayerReport(
        name=name,
        shape=shape,
        algorithm=conv.algorithm.name if isinstance(conv, WinogradConv2d) else "direct",
        bits=spec.bits if spec else 32,
        spec=spec,
        reason=conv.fallback.reason if isinstance(conv, QuantizedConv) and conv.fallback else "",
    )


def specs_of(model: nn.Module) -> dict[str, Spec]:
    """Give the specs by layer name, as they were asked for, that rebuild a converted model from the plain one."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv)}
    return {name: m.fallback.asked if m.fallback else m.spec for name, m in layers.items()}
