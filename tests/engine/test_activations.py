"""Activations with a slope below 0, in every ending: the engine's bits are the simulation's, on every kernel set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.engine.compiler import Simulation, make_program

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
SPECS = {
    "direct": tw.Direct(bits=8), "F4": tw.Winograd("F4", bits=8), "F4, 16 bits": tw.Winograd("F4", bits=12),
    "lossless": tw.Exact(), "residues": tw.Residue(), "float": tw.Direct(bits=32),
}  # fmt: skip


class Net(nn.Module):
    """Slopes after a convolution, a batch norm, a sum, a concatenation, a maximum, alone, and twice in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 20, 3, padding=1), nn.Conv2d(20, 20, 3, padding=1)
        self.third = nn.Conv2d(40, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(20)
        self.leaky, self.one, self.each = nn.LeakyReLU(0.1), nn.PReLU(), nn.PReLU(20)
        self.both = nn.PReLU(40)
        with torch.no_grad():
            self.each.weight.copy_(torch.linspace(-0.5, 1.5, 20))
            self.both.weight.copy_(torch.linspace(1.5, -0.5, 40))

    def forward(self, x: Tensor) -> Tensor:
        x = self.leaky(self.first(x))
        y = self.each(self.norm(self.second(x)))
        y = self.one(x + y)
        z = self.both(torch.cat([y, self.leaky(nn.functional.max_pool2d(y, 3, 1, 1))], 1))
        return self.leaky(self.leaky(self.third(z)))


def _model(spec: tw.Spec) -> nn.Module:
    torch.manual_seed(0)
    model = tw.convert(Net().eval(), {"*": spec}, skips="quantized" if spec.bits < 32 else "float")
    return tw.calibrate(model, [torch.randn(4, 4, 13, 10)])


@pytest.mark.parametrize("name", SPECS)
def test_engine_is_its_simulation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = _model(SPECS[name]), torch.randn(2, 4, 13, 10)
    expected = Simulation(model, x)(x).numpy()
    assert (expected < 0).any()
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        found = tw.compile(model, x)(x).numpy()
        if name == "float":
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected, err_msg=kernel_set)


def test_slopes_end_the_operation_before_them() -> None:
    program = make_program(_model(SPECS["F4"]), torch.zeros(1, 4, 13, 10))
    kinds = [operation["op"] for operation in program.operations]
    with_slope = {key.partition(".")[0] for key in program.arrays if key.endswith(".slope")}
    assert kinds.count("fast") == 3
    assert sum(kinds[int(i)] == "fast" for i in with_slope) == 3


def test_wrong_number_of_slopes_is_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(1)).eval()
    model[1].weight = nn.Parameter(torch.ones(5))
    with pytest.raises(ValueError, match=r"5|prelu"):
        tw.compile(model, torch.zeros(1, 3, 8, 8))
