"""Norms, with statistics of their own or of what they read."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from tilewise.doors.building import Builder, Handler, Unsupported, shape_of
from tilewise.doors.operators.convolution import with_weights
from tilewise.doors.reading import Array, OnnxNode

BATCH: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
INSTANCE: dict[int, Any] = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def _constants(b: Builder, node: OnnxNode, count: int) -> list[Array]:
    found = [b.constant(node, place) for place in range(1, count + 1)]
    if any(value is None for value in found):
        raise Unsupported("has fewer inputs than it needs")
    return [value for value in found if value is not None]


def _batch_norm(b: Builder, node: OnnxNode) -> fx.Node:
    if node.get("training_mode", 0) or not node.get("spatial", 1):
        raise Unsupported("computes statistics of what it reads; allowed: training_mode 0, spatial 1")
    x = b.input(node, 0)
    weight, bias, mean, variance = _constants(b, node, 4)
    norm = BATCH[len(shape_of(x))](len(weight), node.get("epsilon", 1e-5), 1 - node.get("momentum", 0.9))
    norm.running_mean = torch.from_numpy(np.array(mean, np.float32))
    norm.running_var = torch.from_numpy(np.array(variance, np.float32))
    return b.module(with_weights(norm, weight, bias), node, x)


def _instance_norm(b: Builder, node: OnnxNode) -> fx.Node:
    x = b.input(node, 0)
    weight, bias = _constants(b, node, 2)
    norm = INSTANCE[len(shape_of(x))](len(weight), node.get("epsilon", 1e-5), affine=True)
    return b.module(with_weights(norm, weight, bias), node, x)


def _layer_norm(b: Builder, node: OnnxNode) -> fx.Node:
    if any(node.outputs[1:]):
        raise Unsupported("gives mean and deviation; allowed: the result alone")
    x = b.input(node, 0)
    shape = shape_of(x)[node.get("axis", -1) % len(shape_of(x)) :]
    weight, bias = b.constant(node, 1), b.constant(node, 2)
    if weight is None or list(weight.shape) != shape:
        raise Unsupported(f"has weights that are not of shape {tuple(shape)}")
    norm = nn.LayerNorm(shape, node.get("epsilon", 1e-5), bias=bias is not None)
    return b.module(with_weights(norm, weight, bias), node, x)


def _group_norm(b: Builder, node: OnnxNode) -> fx.Node:
    x, groups = b.input(node, 0), node.get("num_groups")
    weight, bias = _constants(b, node, 2)
    channels = shape_of(x)[1]
    if len(weight) == groups != channels:  # set 18: a factor for each group
        weight, bias = (np.repeat(value, channels // groups) for value in (weight, bias))
    return b.module(with_weights(nn.GroupNorm(groups, channels, node.get("epsilon", 1e-5)), weight, bias), node, x)


def _local_response(b: Builder, node: OnnxNode) -> fx.Node:
    layer = nn.LocalResponseNorm(
        node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    )
    return b.module(layer, node, b.input(node, 0))


def _lp_norm(b: Builder, node: OnnxNode) -> fx.Node:
    return b.call(F.normalize, b.input(node, 0), float(node.get("p", 2)), node.get("axis", -1))


HANDLERS: dict[str, Handler] = {
    "BatchNormalization": _batch_norm, "InstanceNormalization": _instance_norm, "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm, "LRN": _local_response, "LpNormalization": _lp_norm,
}  # fmt: skip
