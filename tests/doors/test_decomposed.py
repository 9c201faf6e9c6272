"""Programs of torch.export that PT2E has quantized: their integers go to our layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.ao.quantization.fx._decomposed
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.compiler import Simulation
from tilewise.nn import Quantize, QuantizedConv

ops: Any = torch.ops.quantized_decomposed


class Quantized(nn.Module):
    """What PT2E makes of a small network: a residual, weights per channel, a linear layer per tensor."""

    def __init__(self, scale: float = 0.03) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scale = scale
        for name, shape in {"first": (8, 3, 3, 3), "second": (8, 8, 3, 3), "head": (5, 8)}.items():
            self.register_buffer(name, torch.randint(-127, 128, shape, dtype=torch.int8))
        self.register_buffer("steps", torch.rand(8) * 0.002 + 0.001)
        self.register_buffer("zeros", torch.zeros(8, dtype=torch.int64))
        self.bias = nn.Parameter(torch.randn(8) * 0.1)

    def rounded(self, x: Tensor, scale: float, zero: int) -> Tensor:
        numbers = (scale, zero, 0, 255, torch.uint8)
        y: Tensor = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
        return y

    def weight(self, integers: Tensor) -> Tensor:
        y: Tensor = ops.dequantize_per_channel(integers, self.steps, self.zeros, 0, -127, 127, torch.int8)
        return y

    def forward(self, x: Tensor) -> Tensor:
        x = self.rounded(x, self.scale, 113)
        x = self.rounded(F.relu(F.conv2d(x, self.weight(self.first), self.bias, padding=1)), 0.021, 0)
        y = self.rounded(F.conv2d(x, self.weight(self.second), padding=1), 0.047, 131)
        x = self.rounded((x + y).mean((2, 3)), 0.019, 40)
        return F.linear(x, ops.dequantize_per_tensor(self.head, 0.004, 0, -127, 127, torch.int8))


def saved(model: nn.Module, path: Path) -> Path:
    torch.export.save(torch.export.export(model.eval(), (torch.zeros(2, 3, 8, 6),)), path)
    return path


def test_integers_of_pt2e_go_to_our_layers(tmp_path: Path) -> None:
    plain = Quantized()
    model = tw.from_pt2(saved(plain, tmp_path / "q.pt2"))
    layers = [m for m in model.modules() if isinstance(m, QuantizedConv)]
    assert len(layers) == 3
    assert sum(isinstance(m, Quantize) for m in model.modules()) == 4
    for layer, integers in zip(layers, (plain.first, plain.second, plain.head), strict=True):
        assert torch.equal(layer.policy.weights(layer)[0].view(integers.shape), integers.float())
    x = torch.randn(2, 3, 8, 6)
    with torch.no_grad():
        want, got = plain(x), model(x)
        assert (got - want).abs().max() < 0.03 * want.abs().max()
        assert torch.equal(tw.compile(model, x)(x), Simulation(model, x)(x))


def test_a_scale_is_a_positive_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"q\.pt2: quantize_per_tensor\w* has the scale 0\.0; allowed: finite numbers"):
        tw.from_pt2(saved(Quantized(scale=0.0), tmp_path / "q.pt2"))
