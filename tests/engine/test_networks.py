"""Whole networks: the program, interpreted in NumPy and run by the engine, against the simulation in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation, make_program

SPECS: dict[str, tw.Winograd | tw.Direct] = {
    "direct": tw.Direct(),
    "F2": tw.Winograd("F2"),
    "F4": tw.Winograd("F4"),
    "F6": tw.Winograd("F6"),
    "SFC6": tw.Winograd("SFC6"),
    "F4, 10 bits": tw.Winograd("F4", bits=10),
    "F4 learned": tw.Winograd("F4", transforms="learned"),
}
SHAPES = {
    "edsr": (1, 9, 14), "espcn": (1, 13, 10), "lenet5": (1, 28, 28), "resnet18": (3, 32, 32), "resnet20": (3, 32, 32),
    "small": (1, 32, 32), "unet": (3, 19, 22),
}  # fmt: skip
WIDTHS = {"edsr": 0.25, "resnet18": 0.25, "unet": 0.25}


def network(name: str) -> nn.Module:
    """A network with statistics and biases that are not those of a fresh one."""
    net = zoo.build(name, channels=SHAPES[name][0], width=WIDTHS.get(name, 1.0))
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
    return net.eval()


CLASSIFIERS = ("lenet5", "resnet18", "resnet20", "small")
LARGE = pytest.mark.long(reason="the blocks of ResNet-20, wider")
CASES: list[Any] = [(name, "float", spec) for name in CLASSIFIERS if name != "resnet18" for spec in SPECS]
CASES += [("resnet20", "quantized", spec) for spec in SPECS]  # it has skips
CASES += [("resnet18", "float", "direct"), ("resnet18", "quantized", "F4 learned")]
CASES += [pytest.param("resnet18", skips, spec, marks=LARGE) for skips in ("float", "quantized") for spec in SPECS]
CASES += [("espcn", "float", "F4"), ("edsr", "float", "F4"), ("unet", "float", "F4")]
CASES += [(name, "quantized", spec) for name in ("edsr", "unet") for spec in ("direct", "F4", "F6", "SFC6")]


@pytest.mark.parametrize(("name", "skips", "spec"), CASES)
def test_int8_networks_to_the_bit(
    name: str, spec: str, skips: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(3, *SHAPES[name])
    model = tw.calibrate(tw.convert(network(name), {"*": SPECS[spec]}, skips=skips), [x])
    with torch.no_grad():
        for layer in model.modules():  # transforms as training leaves them: no integers
            if spec == "F4 learned" and hasattr(layer, "BT"):
                for matrix, spread in ((layer.AT, 0.01), (layer.G, 0.01), (layer.BT, 0.2)):  # B^T is on a grid
                    matrix.add_(torch.randn_like(matrix) * spread)
                assert not (layer.transforms()[2] == layer.transforms()[2].round()).all()
    simulated = Simulation(model, x[:1])
    expected = np.concatenate([simulated(image).numpy() for image in x.split(1)])
    # The model itself does not fold its batch norms: equal but for roundings here and there.
    with torch.no_grad():
        assert np.abs(model(x).numpy() - expected).max() < 0.15 * np.abs(expected).max()
    program = make_program(model, x[:2])
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in ("", "portable"):
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(Engine(program.to_bytes(), batch=2)(x.numpy()), expected)


@pytest.mark.parametrize("spec", [tw.Direct(bits=32), tw.Winograd("F4", bits=32)], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_float_networks(name: str, spec: Any, interpret: Any) -> None:
    net, x = network(name), torch.randn(5, *SHAPES[name])
    with torch.no_grad():
        expected = net(x)
    model = tw.convert(net, {"*": spec})
    engine = tw.compile(model, x[:2], batch=2)
    torch.testing.assert_close(engine(x), expected, rtol=0, atol=1e-3 * float(expected.abs().max()))
    assert {tensor["dtype"] for tensor in engine.program.tensors} == {"float32"}
    halves = tw.compile(model, x[:2], precision="bf16", batch=2)
    weights = [array for name, array in halves.program.arrays.items() if name.endswith((".weight", ".u"))]
    assert {str(array.dtype) for array in weights} == {"uint16"}
    difference = float((halves(x) - expected).abs().max() / expected.abs().max())
    assert 1e-5 < difference < 0.05
    # Sums in another order turn a few roundings to bfloat16; the tests of the kernels are closer.
    theirs = interpret(halves.program)(x.numpy())
    assert np.abs(halves(x).numpy() - theirs).max() < 0.02 * np.abs(theirs).max()
