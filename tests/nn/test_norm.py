"""Batch norms that convolutions take in during evaluation: the model evaluates to what the engine runs."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.nn import FoldedNorm


class Net(nn.Module):
    """A norm behind a convolution, one behind a tensor that is read elsewhere too, and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 8, 3, padding=1)
        self.a, self.a_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.b, self.b_norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        y = self.a_norm(self.a(x)).relu() + x
        z = self.b(y.relu())
        return self.b_norm(z) + z


@pytest.fixture
def model() -> nn.Module:
    net = Net()
    for norm in (net.a_norm, net.b_norm):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    net(torch.randn(8, 4, 9, 9))  # statistics
    return tw.calibrate(tw.convert(net.eval(), {"*": tw.Winograd("F4")}, skips="quantized"), [torch.randn(4, 4, 9, 9)])


def folded(model: nn.Module) -> list[str]:
    return [name for name, m in model.named_modules() if isinstance(m, FoldedNorm)]


def test_only_a_norm_that_alone_reads_its_convolution_is_taken_in(model: nn.Module) -> None:
    assert folded(model) == ["a_norm"]


def test_evaluation_is_what_the_engine_runs(model: nn.Module) -> None:
    """The other norm, last in float, may round its last bit elsewhere; a step of a grid would be 0.01."""
    x = torch.randn(3, 4, 9, 9)
    assert (tw.compile(model, x)(x) - model(x)).abs().max() < 1e-6 * model(x).abs().max()


def test_it_is_a_batch_norm_still(model: nn.Module) -> None:
    x = torch.randn(3, 4, 9, 9)
    apart = copy.deepcopy(model)
    norm, conv = apart.get_submodule("a_norm"), apart.get_submodule("a")
    assert isinstance(norm, FoldedNorm)
    conv.norm = ()
    norm.detach_from_conv()
    assert type(norm) is nn.BatchNorm2d
    # Equal but for roundings that folding moves: a step of a grid here and there.
    assert (apart(x) - model(x)).abs().max() < 0.05 * model(x).abs().max()
    assert (apart.train()(x) == model.train()(x)).all()


def test_training_moves_its_statistics_and_reaches_its_parameters(model: nn.Module) -> None:
    norm = model.train().get_submodule("a_norm")
    before = norm.running_mean.clone()
    model(torch.randn(4, 4, 9, 9)).square().sum().backward()
    assert not torch.equal(norm.running_mean, before)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in norm.parameters())


def test_frozen_statistics_while_training(model: nn.Module) -> None:
    """The norm in evaluation, the convolution in training: the norm does its work itself, and learns."""
    norm = model.train().get_submodule("a_norm").eval()
    assert norm.folded() is None
    model(torch.randn(4, 4, 9, 9)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in norm.parameters())


def test_files_and_copies_keep_it(model: nn.Module, tmp_path: Path) -> None:
    x = torch.randn(2, 4, 9, 9)
    expected = model(x)
    assert (copy.deepcopy(model)(x) == expected).all()
    tw.save_weights(model, tmp_path / "m.safetensors")
    loaded = tw.load_weights(Net(), tmp_path / "m.safetensors").eval()
    assert folded(loaded) == ["a_norm"]
    assert (loaded(x) == expected).all()


def test_converting_back_leaves_plain_norms(model: nn.Module) -> None:
    plain = tw.convert(model, {"*": tw.Direct()})
    assert not folded(plain)
    assert type(plain.get_submodule("a_norm")) is nn.BatchNorm2d
