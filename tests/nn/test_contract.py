"""The number contract (docs/contracts/numbers.md): the torch layer against the native reference, by integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tilewise import _native
from tilewise.algebra import Bilinear, algorithm, algorithm_names
from tilewise.nn import WinogradConv2d
from tilewise.nn.stages import input_transform, multiply, requantize_
from tilewise.quant import Winograd
from tilewise.quant.quantizer import largest_v

# The reference holds V in 32 bits, and knows rows and columns only.
NESTED = [name for name in algorithm_names() if isinstance(algorithm(name), Bilinear)]
NAMED = [name for name in NESTED if largest_v(algorithm(name), 8) < 2**31]
CASES = [(name, 3, 1) for name in NAMED]
CASES += [("F2", 5, 1), ("F4", 5, 1), ("SFC6", 5, 1), ("F2", 7, 1), ("SFC6", 7, 1), ("SFC12", 7, 1)]
CASES += [("F2", 3, 2), ("F4", 3, 2), ("SFC6", 3, 2), ("F4", 5, 2), ("F4", 7, 2)]
SHAPES = [(2, 5, 13, 10), (1, 8, 1, 1), (3, 4, 7, 3), (1, 1, 8, 8)]


def calibrated(name: str, r: int, x: Tensor, stride: int = 1, **spec: Any) -> WinogradConv2d:
    conv = nn.Conv2d(x.shape[1], 6, r, padding=r // 2, stride=stride)
    layer = WinogradConv2d.from_conv(conv, Winograd(name, **spec)).eval()
    layer.calibrating = True
    layer(x)
    layer.calibrating = False
    return layer


def stages(layer: WinogradConv2d, x: Tensor) -> dict[str, Any]:
    """What the layer computes, stage by stage, and what the native reference needs for the same."""
    at, g, bt = layer.transforms()
    q, step = layer.quantized("input_range", x)
    tiling = layer.tiling(x)
    mult = layer.v_multiplier(step)
    u, scale = layer.policy.transformed_weights(layer, g, step / mult)
    v = input_transform(q, bt, tiling)
    low, high = layer.spec.rules.limits(layer.spec.bits)
    vq = requantize_(v.clone(), mult, low, high)
    return {
        "q": q, "u": u, "scale": scale, "mult": mult, "at": at, "bt": bt, "tiling": tiling,
        "V": v, "Vq": vq, "M": multiply(u, vq), "Y": layer(x), "high": high,
    }  # fmt: skip


def whole(x: Tensor, dtype: type) -> Any:
    """Integers of a float tensor, and proof that they are integers."""
    array = x.detach().numpy()
    assert (array == np.round(array)).all()
    return np.ascontiguousarray(array.astype(dtype))


def native(layer: WinogradConv2d, s: dict[str, Any]) -> tuple[Any, ...]:
    taps = layer.algorithm.products**2
    mult = whole(s["mult"][:, :, 0] * 2**layer.fraction_bits, np.int32)
    scale = s["scale"][:, :, 0].detach().numpy().astype(np.float32)
    bias = None if layer.bias is None else layer.bias.detach().numpy()
    return _native.winograd_conv2d(
        x=whole(s["q"], np.int16),
        u=whole(s["u"], np.int16),
        bt=whole(s["bt"], np.int32),
        mult=np.ascontiguousarray(np.broadcast_to(mult, (taps, mult.shape[1]))),
        at=s["at"].numpy().astype(np.float32),
        scale=np.ascontiguousarray(np.broadcast_to(scale, (taps, scale.shape[1]))),
        bias=bias,
        padding=s["tiling"].padding,
        v_limit=s["high"],
        fraction_bits=layer.fraction_bits,
        stride=s["tiling"].stride,
    )


def assert_same(layer: WinogradConv2d, x: Tensor) -> None:
    s = stages(layer, x)
    n, (rows, cols) = len(x), s["tiling"].grid
    v, vq, m, y = native(layer, s)
    for name, theirs in (("V", v), ("Vq", vq), ("M", m)):
        # The native reference counts tiles image by image, the layer position by position.
        mine = s[name].view(*s[name].shape[:2], rows, cols, n).permute(0, 1, 4, 2, 3).reshape(theirs.shape)
        assert (mine.detach().numpy() == theirs).all(), name
    assert (s["Y"].detach().numpy() == y).all()


@pytest.mark.parametrize(("name", "r", "stride"), CASES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scales", ["tap", "tensor"])
@pytest.mark.parametrize("signed", [True, False])
def test_every_stage_equals_the_native_reference(
    name: str,
    r: int,
    stride: int,
    shape: tuple[int, int, int, int],
    scales: str,
    signed: bool,
) -> None:
    x = torch.randn(shape)
    x = x if signed else x.relu()
    assert_same(calibrated(name, r, x, stride, scales=scales), x)


@pytest.mark.parametrize("name", ["F2", "F4", "F6", "SFC6"])
@pytest.mark.parametrize("fill", ["high", "low", "alternating", "beyond"])
def test_extremes(name: str, fill: str) -> None:
    x = torch.randn(1, 4, 14, 14)
    layer = calibrated(name, 3, x)
    top = float(x.abs().max())
    signs = torch.where(torch.arange(14).view(14, 1) + torch.arange(14) & 1 == 1, 1.0, -1.0)
    extreme = {"high": torch.full_like(x, top), "low": torch.full_like(x, -top), "beyond": torch.full_like(x, 5 * top)}
    assert_same(layer, extreme.get(fill, signs.expand_as(x) * top))


@pytest.mark.parametrize("name", ["F4", "SFC6"])
def test_balance_per_tap_and_channel(name: str) -> None:
    """V divided and U multiplied by the same numbers: other integers, same contract, same result."""
    x = torch.randn(2, 6, 9, 9).relu() * torch.logspace(-1, 1, 6).view(1, 6, 1, 1)
    layer = calibrated(name, 3, x)
    plain = layer(x)
    layer.balance.copy_(layer.get_range("v_range").absmax.sqrt())
    assert_same(layer, x)
    assert layer.v_multiplier(torch.tensor(1.0)).shape[1] == 6
    exact = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
    assert (layer(x) - exact).square().mean() < (plain - exact).square().mean()


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
def test_every_width_up_to_8(bits: int) -> None:
    x = torch.randn(2, 4, 10, 10)
    assert_same(calibrated("F4", 3, x, bits=bits), x)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_more_bits_lose_less(bits: int) -> None:
    x = torch.randn(2, 8, 16, 16)
    errors = []
    for width in (bits - 2, bits):
        torch.manual_seed(1)
        layer = calibrated("F4", 3, x, bits=width)
        exact = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
        errors.append(float((layer(x) - exact).square().mean().detach()))
    assert errors[1] < errors[0] / 4
