"""Layers of stride 2 and large kernels, decomposed: plan, engine and simulation are the model itself, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tilewise.engine.cost import costs
from torch import nn

import tilewise as tw
from tilewise.engine import Engine
from tilewise.engine.compiler import make_plan
from tilewise.engine.simulation import Simulation
from tilewise.nn import WinogradConv2d

SPECS = [
    tw.Winograd("F2"),
    tw.Winograd("F4"),
    tw.Winograd("F6"),
    tw.Winograd("SFC6"),
    tw.Winograd("F4", bits=12),
    tw.Winograd("F2", scales="tensor", bits=5),
    tw.Winograd("F4", transforms="learned"),
]
# Kernel, stride, padding, height, width: odd ones, one pixel, pixels that no window reads.
SHAPES = [
    (3, 2, 1, 13, 8),
    (3, 2, (0, 2), 4, 1),
    (3, 2, 0, 10, 11),
    (5, 2, 2, 9, 16),
    (7, 2, 3, 11, 6),
    (7, 1, 3, 7, 10),
]


def network(spec: tw.Winograd, r: int, stride: int, padding: Any) -> nn.Sequential:
    """The layer between two others. ``convert`` would leave it direct: it has few channels."""
    strided = nn.Conv2d(19, 18, r, stride, padding)
    return nn.Sequential(
        nn.Conv2d(3, 19, 3, padding=1),
        nn.ReLU(),
        WinogradConv2d.from_conv(strided, spec),
        nn.ReLU(),
        nn.Conv2d(18, 4, 1),
    )


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_to_the_bit(spec: tw.Winograd, shape: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    r, stride, padding, height, width = shape
    x = torch.randn(3, 3, height, width)
    model = tw.calibrate(tw.convert(network(spec, r, stride, padding), {"[04]": tw.Direct()}), [x]).eval()
    with torch.no_grad():
        expected = model(x).numpy()
    simulated = Simulation(model, x[:1])
    assert (np.concatenate([simulated(image).numpy() for image in x.split(1)]) == expected).all()
    plan = make_plan(model, x[:2])
    assert [node["op"] for node in plan.nodes] == ["import_nchw", "direct", "fast", "direct", "export_nchw"]
    assert (interpret(plan)(x.numpy()) == expected).all()
    for isa in ("", "portable"):
        monkeypatch.setenv("TILEWISE_ISA", isa)
        assert (Engine(plan)(x.numpy()) == expected).all()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_floats(precision: str) -> None:
    net = network(tw.Winograd("F4", bits=32), 3, 2, 1).eval()
    x = torch.randn(2, 3, 15, 9)
    with torch.no_grad():
        expected = net(x)
    got = tw.compile(net, x, precision=precision)(x)  # type: ignore[arg-type]
    assert (got - expected).abs().max() < (1e-4 if precision == "float32" else 5e-2) * expected.abs().max()


def test_work_counts_as_that_of_the_direct_layer() -> None:
    x = torch.randn(1, 3, 13, 8)
    fast, direct = (
        make_plan(tw.calibrate(tw.convert(net, {"[04]": tw.Direct()}), [x]).eval(), x)
        for net in (
            network(tw.Winograd("F4"), 3, 2, 1),
            nn.Sequential(
                nn.Conv2d(3, 19, 3, padding=1), nn.ReLU(), nn.Conv2d(19, 18, 3, 2, 1), nn.ReLU(), nn.Conv2d(18, 4, 1)
            ),
        )
    )
    assert [c.operations for c in costs(fast, 1)] == [c.operations for c in costs(direct, 1)]
