"""What is measured: layers, and networks from the zoo with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from peers.net import Net, Node, Sample
from peers.torch_net import from_torch, sample
from tilewise import zoo


@dataclass(frozen=True)
class Layer:
    """A convolution of stride 1 whose output is as large as its input."""

    inputs: int
    outputs: int
    size: int
    kernel: int = 3


LAYERS = {
    "64 ch, 32x32": Layer(64, 64, 32),
    "128 ch, 16x16": Layer(128, 128, 16),
    "256 ch, 8x8": Layer(256, 256, 8),
    "512 ch, 4x4": Layer(512, 512, 4),
    "64 ch, 56x56": Layer(64, 64, 56),
    "128 ch, 28x28": Layer(128, 128, 28),
    "256 ch, 14x14": Layer(256, 256, 14),
    "512 ch, 7x7": Layer(512, 512, 7),
    "64 ch, 224x224": Layer(64, 64, 224),
    "256 ch, 56x56": Layer(256, 256, 56),
    "512 ch, 28x28": Layer(512, 512, 28),
    "5x5, 32 to 64 ch, 28x28": Layer(32, 64, 28, 5),
    "5x5, 64 ch, 56x56": Layer(64, 64, 56, 5),
    "5x5, 128 ch, 28x28": Layer(128, 128, 28, 5),
}
MORE_LAYERS = {
    "128 ch, 112x112": Layer(128, 128, 112),
    "512 ch, 14x14": Layer(512, 512, 14),
    "64 to 96 ch, 35x35": Layer(64, 96, 35),
    "96 ch, 35x35": Layer(96, 96, 35),
    "5x5, 32 to 96 ch, 28x28": Layer(32, 96, 28, 5),
    "5x5, 48 to 128 ch, 14x14": Layer(48, 128, 14, 5),
    "5x5, 48 to 64 ch, 35x35": Layer(48, 64, 35, 5),
    "5x5, 64 ch, 112x112": Layer(64, 64, 112, 5),
    "5x5, 128 ch, 56x56": Layer(128, 128, 56, 5),
    "5x5, 256 ch, 56x56": Layer(256, 256, 56, 5),
}
"""Measured if they are named: no mean is over them."""

# By name: how to build it, and the height and width of its images.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "ResNet-20, 32x32": (zoo.resnet20, 32),
    "ResNet-18, 32x32": (zoo.resnet18, 32),
    "ResNet-18, 224x224": (zoo.resnet18_224, 224),
    "VGG-16, 224x224": (zoo.vgg16, 224),
}


def layer_net(layer: Layer) -> Net:
    """Return a layer with random weights, bias and ReLU."""
    rng = np.random.default_rng(0)
    r = layer.kernel
    scale = np.sqrt(2 / (layer.inputs * r * r))
    node = Node(
        op="conv", name="conv", inputs=("data",), kernel=r, padding=r // 2, relu=True,
        weight=(rng.standard_normal((layer.outputs, layer.inputs, r, r)) * scale).astype(np.float32),
        bias=(rng.standard_normal(layer.outputs) * 0.1).astype(np.float32),
    )  # fmt: skip
    return Net((node,), (layer.inputs, layer.size, layer.size))


@torch.no_grad()
def trained_like(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """Scale random weights so that signals stay alive, and let batch norms have the statistics of ``x``."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics become those of the one batch
    model.train()(x)
    return model.eval()


def network(name: str) -> Net:
    """Return a network with random weights."""
    build, size = NETWORKS[name]
    torch.manual_seed(0)
    x = torch.randn(2, 3, size, size)
    return from_torch(trained_like(build(), x), x)


def make(name: str, batch: int) -> Sample:
    """Return a case by name, with input, reference and ranges; layers see what comes out of a ReLU."""
    layers = LAYERS | MORE_LAYERS
    net = layer_net(layers[name]) if name in layers else network(name)
    torch.manual_seed(1)
    x = torch.randn(batch, *net.input_shape)
    return sample(net, x.relu() if net.is_layer else x)
