"""Activations that are functions of one number: the engine's bits are the simulation's, on every kernel set."""

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
from tilewise.engine.compiler import Simulation, make_program
from tilewise.engine.functions import FUNCTIONS

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
SPECS = {
    "direct": tw.Direct(bits=8), "F4": tw.Winograd("F4", bits=8), "F4, 16 bits": tw.Winograd("F4", bits=12),
    "lossless": tw.Exact(), "residues": tw.Residue(),
}  # fmt: skip
TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs, "elu": F.elu, "erf": torch.erf, "exp": torch.exp, "log": torch.log, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "hardsigmoid": F.hardsigmoid, "hardswish": F.hardswish,
    "mish": F.mish, "reciprocal": torch.reciprocal, "sigmoid": torch.sigmoid, "silu": F.silu, "softplus": F.softplus,
    "sqrt": torch.sqrt, "square": torch.square, "tanh": torch.tanh,
}  # fmt: skip


class Net(nn.Module):
    """Functions after a convolution, a batch norm, a sum, in front of moves, alone, and twice in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 20, 3, padding=1), nn.Conv2d(20, 20, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(40, 12, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(20)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.first(x))
        y = F.gelu(self.norm(self.second(x)))
        y = F.hardswish(x + y)
        z = F.mish(torch.cat([y, torch.sigmoid(F.max_pool2d(torch.tanh(y), 3, 1, 1))], 1))
        z = torch.sigmoid(F.pad(self.third(z), (1, 1)))
        z = F.elu(F.pixel_shuffle(z, 2), 0.7)
        return F.softplus(F.selu(self.fourth(z)))


@pytest.mark.parametrize("name", SPECS)
def test_engine_is_its_simulation(name: str, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = tw.convert(Net().eval(), {"*": SPECS[name]}, skips="quantized")
    tw.calibrate(model, [torch.randn(4, 4, 13, 10)])
    x = torch.randn(2, 4, 13, 10)
    expected = Simulation(model, x)(x).numpy()
    np.testing.assert_array_equal(interpret(make_program(model, x))(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), expected, err_msg=kernel_set)


class Alone(nn.Module):
    """One function of floats."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_near_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    special = torch.tensor([0, 1e-30, -1e-30, 1e-5, -1e-5, 0.5, -0.5, 6, -6, 19.5, 20.5, -20, 88, -88, 1e4, -1e4])
    x = torch.cat([special, torch.linspace(-30, 30, 3001)])
    x = x.abs() + 1e-3 if name in ("log", "sqrt", "reciprocal") else x.clamp(-85, 85) if name == "exp" else x
    x = x[: len(x) // 4 * 4].view(1, 4, 1, -1)
    expected = Simulation(Alone(TORCH[name]), x)(x)
    # Torch's own float32 GELU loses the digits of its tail: near it as far as x is large.
    scale = x.abs().double() if name.startswith("gelu") else 0
    true = TORCH[name](x.double())
    assert ((expected.double() - true).abs() <= 4e-7 * (true.abs() + scale) + 1e-35).all()
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(
            tw.compile(Alone(TORCH[name]), x)(x).numpy(), expected.numpy(), err_msg=kernel_set
        )


@pytest.mark.parametrize("name", ["silu", "hardsigmoid"])
def test_from_bytes_to_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two convolutions read the tensor, so that it is stored once, as bytes; what follows the function reads bytes."""

    class Bytes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left = nn.Conv2d(4, 21, 1), nn.Conv2d(21, 3, 1)
            self.right = nn.Conv2d(21, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            y: Tensor = self.left(x) + self.right(TORCH[name](x))
            return y

    torch.manual_seed(1)
    model = tw.convert(Bytes().eval(), {"*": tw.Direct(bits=8)}, skips="quantized")
    tw.calibrate(model, [torch.randn(4, 4, 5, 7)])
    x = torch.randn(2, 4, 5, 7)
    tensors = make_program(model, x).tensors
    assert [t["dtype"] for t in tensors].count("float32") <= 2
    expected = Simulation(model, x)(x).numpy()
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), expected, err_msg=kernel_set)


def test_functions_end_the_operation_before_them() -> None:
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.GELU()).eval()
    program = make_program(model, torch.zeros(1, 4, 13, 10))
    assert [operation.get("function") for operation in program.operations] == [None, "silu", "gelu", None]


def test_other_softplus_is_not_served() -> None:
    x = torch.zeros(1, 4, 5, 5)
    with pytest.raises(ValueError, match=r"beta 2 and threshold 20\.0; allowed: 1"):
        tw.compile(nn.Softplus(beta=2), x)
