"""Shapes of layers as a model runs them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tilewise import zoo
from tilewise.latency import LayerShape, layer_shapes


def test_shapes_of_a_network() -> None:
    shapes = layer_shapes(zoo.resnet20(), torch.zeros(2, 3, 32, 32))
    assert len(shapes) == 19
    assert shapes["conv1"] == LayerShape(
        batch=2, in_channels=3, out_channels=16, kernel=(3, 3), padding=(1, 1), height=32, width=32
    )
    assert shapes["conv1"].out == (32, 32)
    assert shapes["conv1"].operations == 2 * 2 * 32 * 32 * 3 * 16 * 9


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_output_sizes_are_torchs(size: int, kernel: int, stride: int) -> None:
    conv = nn.Conv2d(2, 3, kernel, stride=stride, padding=kernel // 2, dilation=1)
    x = torch.zeros(1, 2, size, size + 1)
    assert LayerShape.of(conv, x).out == tuple(conv(x).shape[2:])


def test_same_padding_is_a_number() -> None:
    shape = LayerShape.of(nn.Conv2d(2, 3, 5, padding="same"), torch.zeros(1, 2, 8, 8))
    assert shape.padding == (2, 2)
    assert shape.out == (8, 8)


def test_groups_divide_the_work() -> None:
    layers = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.Conv2d(8, 8, 1))
    first, second = layer_shapes(layers, torch.zeros(1, 4, 8, 8)).values()
    assert (first.groups, second.groups) == (2, 1)
    assert first.operations == 2 * 6 * 6 * 8 * 2 * 9


def test_a_layer_of_two_sizes_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv(self.conv(x))
            return y

    with pytest.raises(ValueError, match="'conv' reads maps of several sizes"):
        layer_shapes(Twice(), torch.zeros(1, 4, 8, 8))
