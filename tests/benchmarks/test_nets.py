from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from peers import cases
from peers.cases import trained_like
from peers.net import Sample, quantize_bias, quantize_weight
from peers.ours import linear_as_convolutions
from peers.sample_file import read_sample, write_sample
from peers.torch_net import NetModule, from_torch, sample
from tilewise import zoo


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet18_224"])
def test_zoo_networks_become_the_same_net(name: str) -> None:
    x = torch.randn(2, 3, 32, 32)
    model = trained_like(zoo.build(name), x)
    with torch.no_grad():
        net = from_torch(model, x)  # compares them
        shapes = {name: (2, *shape) for name, shape in net.shapes.items()}
        assert {name: tuple(t.shape) for name, t in NetModule(net).tensors(x).items()} == shapes
    assert not any(node.op == "conv" and node.bias is None for node in net.nodes)


def test_what_has_no_counterpart_is_named() -> None:
    with pytest.raises(ValueError, match=r"Sigmoid\(\)\) has no counterpart"):
        from_torch(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sigmoid()), torch.zeros(1, 3, 8, 8))


def test_operations_are_those_of_direct_convolutions() -> None:
    net = cases.layer_net(cases.LAYERS["5x5, 32 to 64 ch, 28x28"])
    assert net.operations(3) == 3 * 2 * 25 * 32 * 64 * 28 * 28
    assert net.bytes(1, 1) == 25 * 32 * 64 + (32 + 64) * 28 * 28


def test_resnet18_has_the_operations_that_are_known() -> None:
    x = torch.zeros(1, 3, 224, 224)
    net = from_torch(zoo.resnet18_224().eval(), x)
    assert net.operations(1) == 2 * 1_814_073_344


def test_quantization() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3, 3, 3)).astype(np.float32)
    q, steps = quantize_weight(weight)
    assert (np.abs(q).reshape(4, -1).max(1) == 127).all()
    assert np.abs(q * steps.reshape(-1, 1, 1, 1) - weight).max() <= steps.max() * 0.5001
    b, own = quantize_bias(np.float32([1, -2, 3, 0]), steps, 0.5)
    np.testing.assert_allclose(b * own, [1, -2, 3, 0], atol=float(own.max()) * 0.5001)
    made = Sample(cases.layer_net(cases.LAYERS["64 ch, 32x32"]), weight, weight, {"data": (-1.0, 3.0)})
    step, zero = made.unsigned("data")
    assert zero == 64
    assert made.symmetric("data") == pytest.approx(3 / 127)
    assert np.abs((made.unsigned_input().astype(np.float32) - zero) * step - weight.clip(-1, 3)).max() <= step


def test_a_sample_comes_back_from_its_folder(tmp_path: Path) -> None:
    made = sample(cases.layer_net(cases.LAYERS["512 ch, 4x4"]), torch.randn(1, 512, 4, 4))
    write_sample(made, tmp_path)
    first, second = read_sample(tmp_path), read_sample(tmp_path)
    assert first.ranges == made.ranges
    np.testing.assert_array_equal(first.net.nodes[0].parameters[0], made.net.nodes[0].parameters[0])
    first.x[:] = 0  # each reader has its own
    np.testing.assert_array_equal(second.x, made.x)
    np.testing.assert_array_equal(second.y, made.y)


def test_a_sample_knows_its_answer() -> None:
    net = cases.layer_net(cases.LAYERS["512 ch, 4x4"])
    made = sample(net, torch.randn(2, 512, 4, 4))
    assert made.error(made.y) == 0
    assert made.error(made.y * 1.1) == pytest.approx(0.1, rel=1e-4)
    assert made.ranges["conv"][0] == 0  # a ReLU ends it


def test_linear_layers_as_convolutions_compute_the_same() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
            self.classifier = nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.features(x).flatten(1))

    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        net = from_torch(Classifier(), x)
        changed = linear_as_convolutions(net)
        torch.testing.assert_close(NetModule(changed)(x).flatten(1), NetModule(net)(x))
    assert [node.op for node in changed.nodes] == ["conv", "max_pool", "conv", "conv"]
    assert [node.relu for node in changed.nodes] == [True, False, True, False]
