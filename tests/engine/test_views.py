"""Concatenations and slices of channels copy nothing: every operation reads and writes channels of wider tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.engine import Engine
from tilewise.engine.compiler import Simulation, make_program

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]


class Parts(nn.Module):
    """Two concatenations of what every kind of operation makes; others read their parts, and slices of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.fast = nn.Conv2d(16, 32, 3, padding=1)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=2)
        self.norm = nn.GroupNorm(4, 16)
        self.last = nn.ModuleList(nn.Conv2d(channels, 16, 1) for channels in (176, 32, 48, 64))

    def forward(self, x: Tensor) -> Any:
        a = F.relu(self.stem(x))
        b = F.relu(self.fast(a))
        c = F.relu(self.depthwise(b))
        d = F.relu(self.grouped(c))
        pooled, norm, small = F.max_pool2d(a, 3, 1, 1), self.norm(a), F.avg_pool2d(b, 2)
        wide = torch.cat([a, b, c, d, pooled, norm, F.interpolate(small, scale_factor=2)], 1)
        inner = torch.cat([F.max_pool2d(b, 3, 1, 1), wide[:, 16:48] * 0.5], 1)
        read = [wide, wide[:, 112:144], wide[:, 64:112], inner]
        return *(conv(y) for conv, y in zip(self.last, read, strict=True)), inner.softmax(1), wide.mean((2, 3))


@pytest.mark.parametrize(
    "specs",
    [
        {"*": tw.Direct()},
        {"*": tw.Direct(), "fast": tw.Winograd("F4")},
        {"*": tw.Direct(bits=12), "fast": tw.Winograd("F2", bits=12)},
        {"*": tw.Direct(bits=32)},
        {"*": tw.Direct(), "fast": tw.Direct(bits=32)},
    ],
    ids=["bytes", "fast", "words", "float", "mixed"],
)
def test_every_operation_reads_and_writes_parts(
    specs: dict[str, Any], interpret: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = tw.convert(Parts().eval(), specs)
    exact = all(spec.bits < 32 for spec in specs.values())
    if specs["*"].bits < 32:
        tw.calibrate(model, [torch.randn(2, 3, 6, 8)])
    program = make_program(model, torch.zeros(1, 3, 6, 8))
    x = torch.randn(3, 3, 10, 4)
    expected = [y.numpy() for y in Simulation(model, x)(x).values()]
    if exact:
        for y, slow in zip(expected, interpret(program)(x.numpy()).values(), strict=True):
            np.testing.assert_array_equal(y, slow)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        for threads in (1, 2):
            found = Engine(program.to_bytes(), batch=2, threads=threads)(x.numpy())
            for y, simulated in zip(found.values(), expected, strict=True):
                np.testing.assert_allclose(y, simulated, rtol=0, atol=0 if exact else 1e-4, err_msg=kernel_set)


class UNet(nn.Module):
    """A skip connection that a maximum reads too, and what is upsampled beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)])
        self.up = nn.Conv2d(32, 16, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.down[0](x))
        deep = F.relu(self.down[1](F.max_pool2d(skip, 2)))
        y: Tensor = self.up(torch.cat([F.interpolate(deep, scale_factor=2), skip], 1))
        return y


def stored(largest: Callable[[Tensor], Tensor]) -> list[str]:
    """The types of all tensors of a network whose two levels differ in range by what ``largest`` makes of one."""
    torch.manual_seed(0)
    net = UNet().eval()
    weight = net.down[1].weight
    assert isinstance(weight, Tensor)
    weight.data = largest(weight.data)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [torch.randn(2, 3, 8, 8)])
    program, x = make_program(model, torch.zeros(1, 3, 8, 8)), torch.randn(2, 3, 8, 8)
    np.testing.assert_array_equal(Engine(program.to_bytes())(x.numpy()), Simulation(model, x)(x).numpy())
    return [tensor["dtype"] for tensor in program.tensors[:-1]]


def test_what_is_read_on_one_grid_is_stored_on_it() -> None:
    """The skip's range is the concatenation's and the maximum's if it is the largest; else it is needed twice."""
    assert stored(lambda w: w * 0.1).count("float32") == 0
    assert stored(lambda w: w * 10).count("float32") == 1
