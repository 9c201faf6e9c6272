"""Depthwise and grouped convolutions: program, engine and simulation are one another, on every kernel set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.calibration import CalibrationConfig
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import Conv2d, WinogradConv2d

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


class Net(nn.Module):
    """An inverted residual, groups of several widths, and depthwise layers of every kind of window."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU6())
        self.wide = nn.Sequential(nn.Conv2d(24, 72, 1), nn.ReLU6())
        self.depth = nn.Sequential(
            nn.Conv2d(72, 72, 3, padding=1, groups=72, bias=False), nn.BatchNorm2d(72), nn.ReLU6()
        )
        self.narrow = nn.Conv2d(72, 24, 1)
        self.large = nn.Conv2d(24, 24, 7, 1, 6, dilation=2, groups=24)
        self.down = nn.Sequential(nn.Conv2d(24, 48, (5, 3), (2, 1), (2, 0), groups=24), nn.ReLU())
        self.four, self.two = nn.Conv2d(48, 32, 3, padding=1, groups=4), nn.Conv2d(32, 32, 3, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.narrow(self.depth(self.wide(x)))
        y: Tensor = self.two(self.four(self.down(self.large(x))))
        return y


def network() -> nn.Module:
    torch.manual_seed(3)
    net = Net()
    net.train()(torch.randn(4, 3, 22, 18))
    return net.eval()


@pytest.mark.parametrize("bits", [8, 11])
@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_integers_to_the_bit(bits: int, skips: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), torch.randn(3, 3, 22, 18)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct(bits=bits)}, skips=skips), [x])
    expected = Simulation(model, x)(x).numpy()
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(expected - wanted).max() < (0.1 if bits == 8 else 0.02) * np.abs(wanted).max()
    program = make_program(model, x[:2])
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        for threads in (1, 2):
            found = Engine(program.to_bytes(), batch=2, threads=threads)(x.numpy())
            np.testing.assert_array_equal(found, expected, err_msg=kernel_set)


def test_float_layers_beside_quantized_ones_to_the_bit(interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 22, 18)
    model = tw.calibrate(tw.convert(network(), {"wide.0": tw.Direct()}), [x])
    expected = Simulation(model, x)(x).numpy()
    program = make_program(model, x)
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(Engine(program.to_bytes())(x.numpy()), expected, err_msg=kernel_set)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bf16", 5e-2)])
def test_float_networks(precision: Any, tolerance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), torch.randn(2, 3, 22, 18)
    with torch.no_grad():
        expected = net(x)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        found = tw.compile(net, x, precision=precision)(x)
        assert (found - expected).abs().max() < tolerance * expected.abs().max(), kernel_set


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_shape(data: st.DataObject) -> None:
    draw = data.draw
    groups, width, each = draw(st.integers(1, 40)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    window, stride, dilation, padding = (
        (draw(st.integers(low, high)), draw(st.integers(low, high))) for low, high in ((1, 5), (1, 3), (1, 2), (0, 3))
    )
    conv = nn.Conv2d(groups * width, groups * each, window, stride, padding, dilation, groups)
    x = torch.randn(2, groups * width, draw(st.integers(9, 14)), draw(st.integers(9, 14)))
    model = tw.calibrate(tw.convert(nn.Sequential(conv), {"*": tw.Direct()}), [x])
    np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), Simulation(model, x)(x).numpy())


def test_depthwise_layers_train() -> None:
    model = tw.convert(network(), {"*": tw.Direct()}).train()
    depth = model.get_submodule("depth.0")
    assert isinstance(depth, Conv2d)
    before = depth.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 22, 18)).square().mean().backward()
        optimizer.step()
    assert (depth.weight != before).any(dim=(1, 2, 3)).all()
    assert depth.get_range("input_range").ready
    q, step = depth.policy.weights(depth)
    assert step.shape == (72, 1, 1, 1)
    assert (q.abs().amax((1, 2, 3)) == 127).all()


def test_described_and_profiled() -> None:
    x = torch.randn(1, 3, 22, 18)
    model = tw.calibrate(tw.convert(network(), {"*": tw.Winograd("F4")}), [x])
    reports = {report.name: report for report in tw.describe(model)}
    assert reports["depth.0"].shape == "72 -> 72, 3x3, 72 groups"
    assert reports["depth.0"].reason == "it has 72 groups of fewer than 8 channels"
    rows = {row["name"]: row for row in tw.compile(model, x).profile(x, repeats=1)}
    assert rows["depth.0"]["operations"] == 2 * 11 * 9 * 72 * 9


FAST = {
    "F2": tw.Winograd("F2"), "F4": tw.Winograd("F4"), "SFC6": tw.Winograd("SFC6"),
    "11 bits": tw.Winograd("F4", bits=11), "learned": tw.Winograd("F4", transforms="learned"),
    "float": tw.Winograd("F4", bits=32),
}  # fmt: skip


@pytest.mark.parametrize("name", FAST)
def test_fast_algorithms_serve_groups_and_dilation(name: str, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of one group and of several; dilations that leave phases of different sizes, one beyond the map's."""
    torch.manual_seed(4)
    layers = [
        nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3, padding=1, groups=4), nn.Conv2d(64, 24, 3, padding=2, dilation=2),
        nn.Conv2d(24, 24, 3, padding=(3, 1), dilation=3, groups=3), nn.Conv2d(24, 8, 3, padding=4, dilation=4),
    ]  # fmt: skip
    net, x = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU()))).eval(), torch.randn(2, 3, 15, 12)
    model = tw.calibrate(tw.convert(net, {"0": tw.Direct(bits=32 if name == "float" else 8), "*": FAST[name]}), [x])
    assert [report.algorithm for report in tw.describe(model)[1:]] == [tw.describe(model)[1].algorithm] * 4
    expected = Simulation(model, x)(x).numpy()
    tolerance = 1e-4 * np.abs(expected).max() if name == "float" else 0
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(expected - wanted).max() < (1e-4 if name == "float" else 0.6) * np.abs(wanted).max()
    program = make_program(model, x)
    assert [o["op"] for o in program.operations].count("fast") == 4
    np.testing.assert_allclose(interpret(program)(x.numpy()), expected, rtol=0, atol=tolerance)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        found = Engine(program.to_bytes(), threads=2)(x.numpy())
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=kernel_set)


@pytest.mark.parametrize(("groups", "dilation"), [(2, 1), (1, 2), (4, 3)])
def test_their_gradients_are_the_plain_layers(groups: int, dilation: int) -> None:
    conv = nn.Conv2d(8, 16, 3, padding=(1, 2), groups=groups, dilation=dilation).double()
    layer = WinogradConv2d.from_conv(conv, tw.Winograd("F4", bits=32))
    x = torch.randn(2, 8, 11, 9).double().requires_grad_()
    y, found = conv(x), layer(x)
    torch.testing.assert_close(found, y)
    upstream = torch.randn_like(y)
    expected = torch.autograd.grad(y, [x, conv.weight], upstream)
    torch.testing.assert_close(torch.autograd.grad(found, [x, layer.weight], upstream), expected)


def test_they_train_and_are_refined() -> None:
    conv = nn.Sequential(nn.Conv2d(4, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=2, groups=2, dilation=2))
    x = torch.randn(4, 4, 9, 9)
    model = tw.convert(conv, {"*": tw.Winograd("F4", transforms="learned")}).train()
    before = model[2].weight.detach().clone()  # type: ignore[index,union-attr]
    model(x).square().mean().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert (model[2].weight != before).all()  # type: ignore[index,union-attr]
    refined = tw.calibrate(model, [x], config=CalibrationConfig(reconstruct=2))
    np.testing.assert_array_equal(tw.compile(refined, x)(x).numpy(), Simulation(refined, x)(x).numpy())
