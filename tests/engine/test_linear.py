"""Linear layers at 8 bits: which ones, and the engine's numbers are the simulation's on every kernel set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.calibration import CalibrationConfig
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import Linear

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


class Net(nn.Module):
    """A classifier that reads a whole map, and one more layer after it."""

    def __init__(self, hidden: int = 37) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 20, 3, padding=1)
        self.wide, self.norm, self.last = nn.Linear(20 * 4 * 3, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.stem(x).relu(), 2)
        y: Tensor = self.last(self.norm(self.wide(torch.flatten(x, 1))).relu())
        return y


def network() -> nn.Module:
    torch.manual_seed(6)
    net = Net()
    net.train()(torch.randn(16, 3, 8, 6))
    return net.eval()


@pytest.mark.parametrize("bits", [8, 10])
def test_to_the_bit(bits: int, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = network(), torch.randn(3, 3, 8, 6)
    model = tw.calibrate(
        tw.convert(net, {"stem": tw.Winograd("F2"), "wide": tw.Direct(bits=bits), "last": tw.Direct()}), [x]
    )
    expected = Simulation(model, x)(x).numpy()
    with torch.no_grad():
        wanted = net(x).numpy()
    assert np.abs(expected - wanted).max() < 0.1 * np.abs(wanted).max()
    program = make_program(model, x)
    assert {a.dtype.name for name, a in program.arrays.items() if name.endswith("weight")} <= {"int8", "int16"}
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), expected, err_msg=kernel_set)


def test_which_ones() -> None:
    def quantized(specs: dict[str, tw.Spec], net: nn.Module | None = None) -> list[str]:
        model = tw.convert(net or network(), specs)
        return [name for name, module in model.named_modules() if isinstance(module, Linear)]

    assert quantized({"*": tw.Direct()}) == []  # small ones stay float where a pattern is for convolutions
    assert quantized({"*": tw.Winograd("F4"), "last": tw.Direct()}) == ["last"]
    assert quantized({"[wl]*": tw.Direct()}) == ["wide", "last"]
    assert quantized({"last": tw.Direct(bits=32)}) == []
    large = Net(hidden=4400)
    assert quantized({"*": tw.Direct()}, large) == quantized({"*": tw.Winograd("F4")}, large) == ["wide"]
    assert quantized({"*": tw.Direct(bits=32)}, large) == quantized({"*": tw.Direct(bits=12)}, large) == []
    assert quantized({"*": tw.Direct(quantizer="paper")}, large) == []
    (report,) = (r for r in tw.describe(tw.convert(large, {"*": tw.Winograd("F4")})) if r.name == "wide")
    assert (report.shape, report.algorithm, report.reason) == ("240 -> 4400, linear", "direct", "it is linear")


def test_converted_again_refined_and_trained() -> None:
    x = torch.randn(8, 3, 8, 6)
    model = tw.convert(network(), {"stem": tw.Direct(), "*a*": tw.Direct(bits=4), "w*": tw.Direct(bits=4)})
    model = tw.convert(tw.calibrate(model, [x]), {"*": tw.Direct()})
    assert [report.bits for report in tw.describe(model)] == [8, 8, 8]
    model = tw.calibrate(model, [x], config=CalibrationConfig())
    np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), Simulation(model, x)(x).numpy())
    before = model.get_submodule("wide").weight.detach().clone()
    model.train()(x).square().mean().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    assert (model.get_submodule("wide").weight != before).any()


def test_any_leading_axes() -> None:
    layer = Linear.from_linear(nn.Linear(6, 4), tw.Direct(bits=32))
    plain = nn.functional.linear
    x = torch.randn(2, 3, 5, 6)
    torch.testing.assert_close(layer(x), plain(x, layer.weight[:, :, 0, 0], layer.bias))
