"""Evaluation gives the bits of the number contract: order of rounding, large sums, folded factors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tilewise.algebra import algorithm
from tilewise.algebra.program import program
from tilewise.nn import Conv2d, QuantizedConv, WinogradConv2d
from tilewise.nn.stages import ordered_sandwich, sandwich
from tilewise.quant import Direct, Winograd

SPECS: list[Any] = [
    Direct(), Direct(bits=4), Winograd("F4"), Winograd("F4", scales="tensor"), Winograd("SFC6", bits=6),
    Winograd("F4", transforms="learned"),
]  # fmt: skip


def calibrated(conv: nn.Conv2d, spec: Any, x: Tensor) -> QuantizedConv:
    cls = Conv2d if isinstance(spec, Direct) else WinogradConv2d
    layer = cls.from_conv(conv, spec).eval()
    layer.calibrating = True
    layer(x)
    layer.calibrating = False
    return layer


@pytest.mark.parametrize("name", ["F2", "F4", "F6", "SFC6"])
@pytest.mark.parametrize("learned", [False, True])
def test_the_order_is_that_of_the_contract(name: str, learned: bool) -> None:
    """Against single numbers in float32, one operation after the other."""
    matrix = torch.as_tensor(algorithm(name).to_float("float32")[0])
    matrix = matrix + 0.01 * torch.randn_like(matrix) if learned else matrix
    m, n = matrix.shape
    tiles = torch.randn(n, n, 3)
    got = ordered_sandwich(matrix, tiles).numpy()
    if learned:
        rows = [[(a, k) for k, a in enumerate(row)] for row in matrix.numpy()]
        steps, outputs = rows, range(m)
    else:
        found = program([[int(a) for a in row] for row in algorithm(name).AT])
        steps, outputs = found.steps, found.outputs

    def apply(values: list[np.float32]) -> list[np.float32]:
        for step in steps:
            total = np.float32(0)
            for factor, number in step:
                total = total + np.float32(factor) * values[number]
            values.append(total)
        return [values[n + k] for k in outputs]

    x = tiles.numpy()
    for q in range(3):
        half = [apply(list(x[:, b, q])) for b in range(n)]
        for i in range(m):
            assert list(got[i, :, q]) == apply([half[b][i] for b in range(n)])
    torch.testing.assert_close(torch.from_numpy(got), sandwich(matrix, tiles), rtol=1e-4, atol=1e-4)


def test_a_row_of_zeros_gives_zero() -> None:
    matrix = torch.tensor([[0.0, 0.0], [0.0, -1.0]])
    tiles = torch.randn(2, 2, 4)
    assert (ordered_sandwich(matrix, tiles) == sandwich(matrix, tiles)).all()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_gradients_do_not_change_the_value(spec: Any) -> None:
    x = torch.randn(2, 5, 9, 9)
    layer = calibrated(nn.Conv2d(5, 6, 3, padding=1), spec, x)
    with torch.no_grad():
        expected = layer(x)
    assert (layer(x.requires_grad_()) == expected).all()
    with torch.inference_mode():
        assert (layer(x) == expected).all()


@pytest.mark.parametrize("channels", [57, 600])
def test_direct_sums_that_float32_can_not_hold(channels: int) -> None:
    """All weights and activations at their largest: sums of up to 1.7e8."""
    conv = nn.Conv2d(channels, 2, 3, bias=False)
    conv.weight.data.uniform_(0.99, 1).mul_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
    x = torch.rand(1, channels, 4, 4) * 0.01 + 0.99
    layer = calibrated(conv, Direct(), x)
    frozen = layer.frozen()
    assert frozen.grid is not None
    assert frozen.scale is not None
    q = np.floor(x.numpy() * np.float32(frozen.grid.factor) + np.float32(0.5)).astype(np.int64)
    patches = np.lib.stride_tricks.sliding_window_view(q[0], (3, 3), axis=(1, 2))
    sums = np.einsum("cijxy,kxyc->kij", patches, frozen.weight.astype(np.int64))
    assert np.abs(sums).max() > 2**24 or channels == 57
    expected = sums.astype(np.float32) * frozen.scale[:, None, None]
    np.testing.assert_array_equal(layer(x).detach()[0], expected)


def first_tile(layer: QuantizedConv, x: Tensor) -> Tensor:
    """The first m x m outputs (m, m, K), in integers of 64 bits and then as the contract rounds."""
    frozen = layer.frozen()
    assert frozen.grid is not None
    assert frozen.mult is not None
    assert frozen.scale is not None
    assert frozen.at is not None
    assert frozen.bt is not None
    n, t = frozen.bt.shape
    q = np.floor(x.numpy() * np.float32(frozen.grid.factor) + np.float32(0.5))
    tile = q.clip(frozen.grid.low, frozen.grid.high).astype(np.int64)[0, :, :t, :t]
    bt = frozen.bt.astype(np.int64)
    v = np.einsum("ai,cij,bj->abc", bt, tile, bt).reshape(n * n, -1)
    v = ((v * frozen.mult + (1 << frozen.fraction_bits - 1)) >> frozen.fraction_bits).clip(-127, 127)
    product = np.einsum("tc,tkc->tk", v, frozen.weight.astype(np.int64))
    z = torch.from_numpy((product.astype(np.float32) * frozen.scale).reshape(n, n, -1))
    return ordered_sandwich(torch.from_numpy(frozen.at), z)


@pytest.mark.parametrize(
    ("name", "r", "channels"),
    [("F2", 3, 1500), ("SFC6", 3, 1200), ("F6", 5, 4), ("F6-textbook", 7, 4), ("F4-textbook", 7, 4)],
)
def test_products_and_v_that_float32_can_not_hold(name: str, r: int, channels: int) -> None:
    """Many channels of large products; algorithms whose V has up to 30 bits."""
    conv = nn.Conv2d(channels, 3, r, bias=False)
    conv.weight.data.uniform_(0.9, 1)
    x = torch.rand(1, channels, 16, 16) * 0.1 + 0.9 if channels > 1000 else torch.randn(1, channels, 16, 16)
    layer = calibrated(conv, Winograd(name), x)
    assert channels > 1000 or layer.frozen().fraction_bits > 15
    expected = first_tile(layer, x)
    m = len(expected)
    assert (layer(x).detach()[0, :, :m, :m].permute(1, 2, 0) == expected).all()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("spec", [*SPECS, Direct(bits=32), Winograd("F4", bits=32), Direct(quantizer="paper")], ids=str)
def test_fold(spec: Any, bias: bool) -> None:
    x = torch.randn(2, 5, 9, 9)
    layer = calibrated(nn.Conv2d(5, 6, 3, padding=1, bias=bias), spec, x)
    norm = nn.BatchNorm2d(6).eval()
    norm.running_mean.normal_()  # type: ignore[union-attr]
    norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    norm.weight.data.uniform_(-1, 1)
    with torch.no_grad():
        expected = norm(layer(x))
        alpha = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # type: ignore[operator]
        layer.fold(alpha, norm.bias - norm.running_mean * alpha)  # type: ignore[operator]
        if spec.quantizer == "tap":
            torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(torch.from_numpy(layer.frozen().bias), layer.folded_bias())
    with pytest.raises(ValueError, match="has taken in a factor and an offset already"):
        layer.fold(alpha, alpha)
    with pytest.raises(RuntimeError, match="serves evaluation only"):
        layer.train()(x)


def test_fold_checks_shapes() -> None:
    layer = Conv2d.from_conv(nn.Conv2d(4, 6, 3), Direct())
    with pytest.raises(ValueError, match=r"beta has shape \(4,\); allowed: \(6,\)"):
        layer.fold(torch.ones(6), torch.ones(4))


def test_frozen_needs_ranges() -> None:
    for spec in (Direct(), Winograd("F4")):
        cls = Conv2d if isinstance(spec, Direct) else WinogradConv2d
        layer: QuantizedConv = cls.from_conv(nn.Conv2d(4, 4, 3), spec).eval()
        with pytest.raises(RuntimeError, match="no input range yet"):
            layer.frozen()


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_frozen_numbers_are_in_range(bits: int) -> None:
    x = torch.randn(2, 5, 9, 9)
    high = 2 ** (bits - 1) - 1
    for spec in (Direct(bits=bits), Winograd("F4", bits=bits)):
        frozen = calibrated(nn.Conv2d(5, 6, 3), spec, x).frozen()
        assert frozen.weight.dtype == np.int8
        assert np.abs(frozen.weight).max() == high
        assert frozen.grid is not None
        assert (frozen.grid.low, frozen.grid.high) == (-high, high)
    assert frozen.v_limit == high
    assert frozen.integer
    assert frozen.mult is not None
    assert frozen.mult.shape == (36, 1)
