"""Transposed convolutions: what they become equals torch's, and the engine its simulation, by every algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import tilewise as tw
from tilewise import _native
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import Transposed

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


@settings(deadline=None)
@given(st.data())
def test_is_torchs(data: st.DataObject) -> None:
    draw = data.draw
    groups = draw(st.integers(1, 2))
    kernel, stride, dilation, padding = (
        (draw(st.integers(low, high)), draw(st.integers(low, high))) for low, high in ((1, 5), (1, 4), (1, 2), (0, 4))
    )
    beyond = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    conv = nn.ConvTranspose2d(4, 6, kernel, stride, padding, beyond, groups, draw(st.booleans()), dilation).double()
    x = torch.randn(2, 4, draw(st.integers(1, 6)), draw(st.integers(1, 6))).double()
    try:
        expected = conv(x)
    except RuntimeError:  # no pixels are left
        assume(False)
    torch.testing.assert_close(Transposed.from_conv(conv)(x), expected)


def network() -> nn.Module:
    """Doubled, doubled by a kernel that leaves taps out, cropped, in groups, and stride 1."""
    torch.manual_seed(5)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(16, 12, 4, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(12, 10, 3, 2, 1, 1), nn.BatchNorm2d(10), nn.LeakyReLU(0.1),
        nn.ConvTranspose2d(10, 8, 3, 2, 1, groups=2), nn.ReLU(),
        nn.ConvTranspose2d(8, 8, 3, 1, 1), nn.Conv2d(8, 3, 1),
    )  # fmt: skip
    net.train()(torch.randn(4, 3, 6, 5))
    return net.eval()


SPECS = {"direct": tw.Direct(), "F4": tw.Winograd("F4"), "lossless": tw.Exact(), "11 bits": tw.Direct(bits=11)}


@pytest.mark.parametrize("skips", ["float", "quantized"])
@pytest.mark.parametrize("name", SPECS)
def test_integers_to_the_bit(name: str, skips: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), torch.randn(2, 3, 6, 5)
    model = tw.calibrate(tw.convert(net, {"*": SPECS[name]}, skips=skips), [x])
    expected = Simulation(model, x)(x).numpy()
    with torch.no_grad():
        assert np.abs(expected - net(x).numpy()).max() < 0.15 * np.abs(expected).max()
        if skips == "quantized":  # batch norms are taken in by the model itself
            np.testing.assert_array_equal(model(x).numpy(), expected)
    program = make_program(model, x)
    kinds = [o["op"] for o in program.operations]  # zeros are put around, and batch norms done, by the convolutions
    assert kinds.count("eltwise") == 0
    assert kinds.count("gather") == 1  # what one layer has too many
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        engine = tw.compile(model, x)
        np.testing.assert_array_equal(engine(x).numpy(), expected, err_msg=kernel_set)
    larger = torch.randn(2, 3, 9, 4)
    np.testing.assert_array_equal(engine(larger).numpy(), Simulation(model, larger)(larger).numpy())


def test_fast_algorithms_serve_it() -> None:
    model = tw.convert(network(), {"2": tw.Winograd("F4"), "4": tw.Direct()})
    reports = {report.name: report for report in tw.describe(model)}
    assert (reports["2.pieces"].algorithm, reports["2.pieces"].shape) == ("F4", "16 -> 48, 3x3")
    assert reports["4.pieces"].shape == "12 -> 40, 2x2"
    again = tw.convert(model, {"2": tw.Winograd("F2"), "4.pieces": tw.Direct(bits=6)})
    assert [r.algorithm for r in tw.describe(again) if r.name == "2.pieces"] == ["F2"]


def test_float_layers_stay_what_they_are() -> None:
    net, x = network(), torch.randn(2, 3, 6, 5)
    model = tw.convert(net, {"*": tw.Direct(bits=32)})
    with torch.no_grad():
        assert torch.equal(model(x), net(x))
        for served in (model, net, tw.convert(net, {"*": tw.Winograd("F2", bits=32)})):
            found = tw.compile(served, x)(x)
            assert (found - net(x)).abs().max() < 1e-4 * net(x).abs().max()


def test_float_beside_integers_to_the_bit() -> None:
    net, x = network(), torch.randn(2, 3, 6, 5)
    model = tw.calibrate(tw.convert(net, {"0": tw.Direct()}), [x])
    np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), Simulation(model, x)(x).numpy())


def test_it_trains() -> None:
    model = tw.convert(network(), {"*": tw.Direct()}).train()
    layer = model.get_submodule("2.pieces")
    before = layer.weight.detach().clone()
    model(torch.randn(2, 3, 6, 5)).square().mean().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert (layer.weight != before).any()


@pytest.mark.parametrize("stride", [(2, 1), (1, 3)])
def test_strides_that_differ(stride: tuple[int, int]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, stride, 1), nn.BatchNorm2d(6), nn.ReLU())
    x = torch.randn(2, 3, 6, 5)
    net.train()(x)
    floats = tw.convert(net.eval(), {"*": tw.Winograd("F2", bits=32)})
    with torch.no_grad():
        torch.testing.assert_close(tw.compile(floats, x)(x), net(x))
    for skips in ("float", "quantized"):
        model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}, skips=skips), [x])  # type: ignore[arg-type]
        engine = tw.compile(model, x)
        for images in (x, torch.randn(1, 3, 4, 7)):
            np.testing.assert_array_equal(engine(images).numpy(), Simulation(model, images)(images).numpy())


def test_a_convolution_pads_its_own_input() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(4, 8, 3), nn.ReLU(), nn.ZeroPad2d(1), nn.ZeroPad2d(1),
        nn.Conv2d(8, 8, 3, padding=1), nn.ZeroPad2d(1), nn.MaxPool2d(2),
    )  # fmt: skip
    x = torch.randn(1, 3, 7, 6)
    for spec in (tw.Direct(), tw.Winograd("F2")):
        model = tw.calibrate(tw.convert(net, {"*": spec}), [x])
        kinds = [o["op"] for o in make_program(model, x).operations]
        assert kinds.count("gather") == 2  # the second of two in a row, and that before the pooling, stand alone
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), Simulation(model, x)(x).numpy())
