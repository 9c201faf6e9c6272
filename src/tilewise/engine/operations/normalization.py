"""Layer, group and instance norms, and softmax over an axis: what normalizes by the image's own numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx

from tilewise.engine.functions import exp
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value, shown
from tilewise.engine.lower import Writer
from tilewise.engine.operations.arithmetic import scaled, total
from tilewise.engine.operations.elementwise import ElementWise
from tilewise.engine.operations.reducing import channel_sum, pixel_sum
from tilewise.engine.simulation import Run, Simulated
from tilewise.nn import affine_of
from tilewise.nn.frozen import array
from tilewise.quant.rounding import root


@dataclass(frozen=True)
class Norm(Op):
    """``(x - mean) / sqrt(variance + eps) * scale + bias``.

    Parameters
    ----------
    groups : int
        Of channels, each with statistics over all pixels; 0: all channels, with statistics for each pixel.
    eps : float
        Is added to the variance.
    scale, bias : Tensor, optional
        One number for each channel.
    """

    has_ending: ClassVar[bool] = True

    groups: int
    eps: float
    scale: Tensor | None = None
    bias: Tensor | None = None

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the operation."""
        scale, bias = (None if x is None else array(x) for x in (self.scale, self.bias))
        writer.append(
            "norm", node.name, **writer.wires(node), **writer.ending(node), groups=self.groups, eps=self.eps,
            scale=scale, bias=bias,
        )  # fmt: skip


@dataclass(frozen=True)
class Softmax(Op):
    """Over the channels of each pixel."""

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the operation."""
        writer.append("softmax", node.name, **writer.wires(node))


def _layer_norm(im: Importer, a: dict[str, Any]) -> Value:
    x, scale, bias = im.value(a["input"]), im.tensor(a["weight"]), im.tensor(a["bias"])
    axes = len(a["normalized_shape"])
    if axes == 1:
        return im.alike(Norm(0, a["eps"], scale, bias), im.as_channels(x, [len(x.shape)]))
    if len(x.shape) != IMAGE_AXES or axes > IMAGE_AXES:
        raise im.refusal(
            f"is over the last {axes} axes of {shown(x)}; allowed: the last one, or of an image two or three"
        )
    x = im.image(a["input"])
    y = im.alike(Norm(1 if axes == IMAGE_AXES else x.node.chw.channels, a["eps"]), x)
    y = y if scale is None else scaled(im, y, scale.detach().float())
    return y if bias is None else total(im, y, bias.detach().float())


def _group_norm(im: Importer, a: dict[str, Any]) -> Value:
    x, groups = im.image(a["input"]), im.number(a.get("num_groups", a.get("group")))
    return im.alike(Norm(groups, a["eps"], im.tensor(a["weight"]), im.tensor(a["bias"])), x)


def _instance_norm(im: Importer, a: dict[str, Any]) -> Value:
    x, scale, bias = im.image(a["input"]), im.tensor(a["weight"]), im.tensor(a["bias"])
    if a["use_input_stats"]:
        return im.alike(Norm(x.node.chw.channels, a["eps"], scale, bias), x)
    mean, var = im.tensor(a["running_mean"]), im.tensor(a["running_var"])
    assert mean is not None
    assert var is not None
    return im.alike(ElementWise(*affine_of(scale, bias, mean, var, a["eps"])), x)


def _softmax(im: Importer, a: dict[str, Any]) -> Value:
    x = im.value(a["self"])
    axis = a["dim"] % (len(x.shape) + 1)
    if axis == 0:
        raise im.refusal("is over the images; allowed: another axis")
    return im.alike(Softmax(), im.as_channels(x, [axis]))


def normalized(x: Tensor, groups: int, eps: float, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    """Return what the engine makes of an image, or of rows (N, channels)."""
    axes = (1, -1) + (1,) * (x.ndim - 2)
    mean = _mean(x, groups)
    difference = x - mean
    y = difference * (1 / root(_mean(difference * difference, groups) + eps))
    y = y if scale is None else y * scale.view(axes)
    return y if bias is None else y + bias.view(axes)


def _mean(x: Tensor, groups: int) -> Tensor:
    """Return the mean over all channels of each pixel (0 groups), or over each group's channels and all pixels."""
    if groups == 0:
        return channel_sum(x) / x.shape[1]
    n, channels, height, width = x.shape
    parts = pixel_sum(x).view(n, groups, -1)
    total = torch.zeros_like(parts[..., 0])
    for part in parts.unbind(2):
        total = total + part
    mean = total / (height * width * parts.shape[2])
    return mean[:, :, None].expand_as(parts).reshape(n, channels, 1, 1)


def _simulate_layer_norm(_: Run, node: fx.Node, a: dict[str, Any]) -> Any:
    x, axes = a["input"], len(a["normalized_shape"])
    if axes > 1:
        y = normalized(x, 1 if axes == IMAGE_AXES else x.shape[1], a["eps"], None, None)
        y = y if a["weight"] is None else y * a["weight"]
        return _as_result(node, y if a["bias"] is None else y + a["bias"])
    y = normalized(x.movedim(-1, 1), 0, a["eps"], a["weight"], a["bias"])
    return _as_result(node, y.movedim(1, -1))


def _simulate_group_norm(_: Run, node: fx.Node, a: dict[str, Any]) -> Any:
    groups = a.get("num_groups", a.get("group"))
    assert groups is not None
    return _as_result(node, normalized(a["input"], groups, a["eps"], a["weight"], a["bias"]))


def _simulate_instance_norm(_: Run, __: fx.Node, a: dict[str, Any]) -> Any:
    x: Tensor = a["input"]
    if a["use_input_stats"]:
        return normalized(x, x.shape[1], a["eps"], a["weight"], a["bias"])
    affine = affine_of(a["weight"], a["bias"], a["running_mean"], a["running_var"], a["eps"])
    return x * affine.alpha.view(1, -1, 1, 1) + affine.beta.view(1, -1, 1, 1)


def _as_result(node: fx.Node, y: Tensor) -> Any:
    """Return a tensor, or as the first of several results where torch has more."""
    return (y,) if isinstance(node.meta["val"], tuple | list) else y


def _simulate_softmax(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["self"].movedim(a["dim"], 1)
    powers = exp(x - x.amax(1, keepdim=True))
    return (powers / channel_sum(powers)).movedim(1, a["dim"])


IMAGE_AXES = 3
"""Channels, rows and columns."""
LAYER, GROUP = ("aten::layer_norm", "aten::native_layer_norm"), ("aten::group_norm", "aten::native_group_norm")
SOFTMAX = ("aten::softmax", "aten::_softmax")
IMPORTS: dict[str, Handler] = {
    **dict.fromkeys(LAYER, _layer_norm), **dict.fromkeys(GROUP, _group_norm), "aten::instance_norm": _instance_norm,
    **dict.fromkeys(SOFTMAX, _softmax),
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    **dict.fromkeys(LAYER, _simulate_layer_norm), **dict.fromkeys(GROUP, _simulate_group_norm),
    "aten::instance_norm": _simulate_instance_norm, **dict.fromkeys(SOFTMAX, _simulate_softmax),
}  # fmt: skip
