"""Convolutions along one axis at 8 bits: which ones, how they train, and the engine's numbers on every kernel set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import QuantizedConv

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


class Sound(nn.Module):
    """A small network of sound: a stem, a depthwise and a dilated layer, and a class for each entry."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 24, 9, stride=2, padding=4)
        self.body = nn.Sequential(
            nn.Conv1d(24, 24, 5, padding="same", groups=24), nn.BatchNorm1d(24), nn.ReLU(),
            nn.Conv1d(24, 20, 3, padding=2, dilation=2, padding_mode="reflect", bias=False), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Conv1d(20, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(self.stem(x).relu()))
        return y


def quantized(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, QuantizedConv)]


@pytest.mark.parametrize("bits", [8, 10])
def test_to_the_bit(bits: int, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    net, x = Sound().eval(), torch.randn(2, 1, 50)
    model = tw.calibrate(tw.convert(net, {"stem": tw.Direct(bits=bits), "*": tw.Direct(bits=bits)}), [x])
    assert quantized(model) == ["stem.row", "body.0.row", "body.3.row", "head.row"]
    expected = Simulation(model, x)(x).numpy()
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(expected - wanted).max() < 0.1 * np.abs(wanted).max()
    np.testing.assert_array_equal(interpret(make_program(model, x))(x[:, :, None].numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), expected, err_msg=kernel_set)


def test_float_specs_leave_them() -> None:
    assert quantized(tw.convert(Sound(), {"*": tw.Direct(bits=32)})) == []


def test_gates_stay_float() -> None:
    """A convolution of one channel along the channels, as efficient channel attention has it."""
    net = nn.ModuleDict({"body": nn.Conv2d(8, 8, 3), "gate": nn.Conv1d(1, 1, 3, padding=1)})
    assert quantized(tw.convert(net, {"*": tw.Direct()})) == ["body"]
    assert quantized(tw.convert(net, {"gate": tw.Direct()})) == ["gate.row"]


def test_they_train() -> None:
    torch.manual_seed(4)
    model, x = tw.convert(Sound(), {"*": tw.Direct()}), torch.randn(4, 1, 50)
    assert quantized(tw.convert(model, {"head": tw.Direct(bits=10)})) == quantized(model)
    model.train()(x).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
