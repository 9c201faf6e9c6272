"""Planar algorithms: program, engine and simulation are the layer itself, bit for bit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import _native
from tilewise.algebra import Planar, algorithm
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import WinogradConv2d
from tilewise.quant.spec import spec_from_dict

UNNAMED = Planar.nested(algorithm("F2"))
"""One without a program: its sums go from left to right."""
KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
SPECS = [
    tw.Winograd("SFC6-planar"),
    tw.Winograd("SFC6-planar(7)", bits=6),
    tw.Winograd("SFC6-planar", bits=12),
    tw.Winograd("SFC4-planar", scales="tensor"),
    tw.Winograd(UNNAMED),
]


def network(spec: tw.Winograd | tw.Exact, channels: int = 19, **kwargs: Any) -> nn.Module:
    """The layer between two others."""
    net = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 18, 3, padding=1, **kwargs),
        nn.Conv2d(18, 4, 1),
    )
    return tw.convert(net, {"2": spec, "*": tw.Direct()})


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("shape", [(13, 8), (1, 1), (14, 7)], ids=str)
def test_to_the_bit(spec: tw.Winograd, shape: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(3, 3, *shape)
    model = tw.calibrate(network(spec), [x]).eval()
    assert isinstance(model[2], WinogradConv2d)
    with torch.no_grad():
        expected = model(x).numpy()
    assert (Simulation(model, x[:1])(x[:1]).numpy() == expected[:1]).all()
    program = make_program(model, x[:2])
    assert (interpret(program)(x.numpy()) == expected).all()
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        assert (Engine(program.to_bytes(), batch=2)(x.numpy()) == expected).all()


@pytest.mark.parametrize("name", ["SFC6-planar", "SFC6-planar(7)", "SFC4-planar"])
def test_lossless_gives_the_numbers_of_direct(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 13, 17)
    net = nn.Sequential(nn.Conv2d(3, 21, 3, padding=1), nn.ReLU(), nn.Conv2d(21, 18, 3, padding=1))
    direct, lossless = (
        tw.calibrate(tw.convert(net, {"2": spec, "*": tw.Direct()}), [x]).eval()
        for spec in (tw.Direct(), tw.Exact(name))
    )
    expected = tw.compile(direct, x)(x)
    with torch.no_grad():
        assert (lossless(x) == direct(x)).all()
    program = make_program(lossless, x)
    assert [o["op"] for o in program.operations] == ["input", "direct", "wrapping", "output"]
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        assert (Engine(program.to_bytes(), batch=2)(x.numpy()) == expected.numpy()).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_groups_dilation_and_floats(groups: int) -> None:
    x = torch.randn(2, 3, 15, 16)
    for bits, tolerance in ((8, 0.0), (32, 1e-5)):
        net = network(tw.Winograd("SFC6-planar", bits=bits), 20, groups=groups, dilation=2)
        model = tw.calibrate(net, [x]).eval()
        with torch.no_grad():
            expected = model(x)
        assert (tw.compile(model, x)(x) - expected).abs().max() <= tolerance * expected.abs().max()


def test_training_trains_what_runs() -> None:
    x = torch.randn(2, 8, 9, 9)
    layer = WinogradConv2d.from_conv(nn.Conv2d(8, 6, 3, padding=1), tw.Winograd("SFC6-planar"))
    before = layer.weight.detach().clone()
    wanted = torch.randn(2, 6, 9, 9)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1)
    losses = []
    for _ in range(5):
        loss = (layer.train()(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert (layer.weight != before).any()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"transforms": "learned"}, "transforms is 'learned'; allowed with SFC6-planar(6, 3), which is planar: static"),
        ({"quantizer": "paper", "scales": "tensor"}, "quantizer is 'paper'; allowed with SFC6-planar(6, 3)"),
        ({"algorithm": "SFC3-planar(1)"}, "SFC3-planar(1, 3) has 1 output; allowed of planar algorithms: from 2x2 on"),
    ],
)
def test_refusals(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tw.Winograd(**{"algorithm": "SFC6-planar", **fields})
    spec = tw.Winograd("SFC6-planar")
    assert spec_from_dict(spec.to_dict()) == spec
    own = tw.Winograd(UNNAMED)
    assert spec_from_dict(own.to_dict()) == own


def test_stride_2_stays_direct() -> None:
    net = tw.convert(nn.Sequential(nn.Conv2d(8, 8, 3, stride=2)), {"*": tw.Winograd("SFC6-planar")})
    assert not isinstance(net[0], WinogradConv2d)
