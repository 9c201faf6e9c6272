"""Learned input transforms on their grid: exact V, what is kept, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tilewise.algebra import algorithm
from tilewise.nn import WinogradConv2d
from tilewise.nn.stages import ordered_sandwich, sandwich
from tilewise.quant import Winograd
from tilewise.quant.fake import on_transform_grid
from tilewise.quant.quantizer import TRANSFORM_ENTRY, TRANSFORM_ROW_SUM, transform_bits

BITS = {"F2": 6, "F4": 4, "F6": 2, "SFC6": 5, "F6-paper": 0}


def own(name: str, r: int = 3) -> Tensor:
    return torch.as_tensor(algorithm(name, r).normalized().to_float("float32")[2])


def trained(name: str, seed: int, spread: float) -> Tensor:
    """An algorithm's matrix after some training; a large spread leaves every bound."""
    generator = torch.Generator().manual_seed(seed)
    return own(name) + spread * torch.randn(own(name).shape, generator=generator)


MATRICES = given(st.sampled_from(list(BITS)), st.integers(0, 2**31), st.sampled_from([0.01, 0.5, 3.0, 100.0]))


@pytest.mark.parametrize("name", BITS)
def test_fraction_bits(name: str) -> None:
    assert transform_bits(algorithm(name).normalized().BT) == BITS[name]


@pytest.mark.parametrize(("name", "r"), [("F4-textbook", 7), ("F6", 5), ("F6-textbook", 7)])
def test_large_growth_has_no_grid(name: str, r: int) -> None:
    assert transform_bits(algorithm(name, r).normalized().BT) is None


@MATRICES
def test_integers_within_the_bound(name: str, seed: int, spread: float) -> None:
    steps = on_transform_grid(trained(name, seed, spread), BITS[name]) * 2 ** BITS[name]
    assert (steps == steps.round()).all()
    assert steps.abs().max() <= TRANSFORM_ENTRY
    assert steps.abs().sum(1).max() <= TRANSFORM_ROW_SUM


def test_halves_go_up_and_can_not_leave_the_bound() -> None:
    row = torch.tensor([[42.5, 42.5, 42.5, 42.5, 41.5, 40.5], [-0.5, 0.5, 1.5, -1.5, 0, 2]])
    assert on_transform_grid(row, 0).tolist() == [[43, 43, 43, 43, 42, 41], [0, 1, 2, -1, 0, 2]]
    assert float(on_transform_grid(row[:1], 0).sum()) == TRANSFORM_ROW_SUM


@MATRICES
def test_what_is_on_the_grid_stays(name: str, seed: int, spread: float) -> None:
    """The algorithm's own matrix does, and whatever was rounded, as long as its row is within the bound."""
    assert (on_transform_grid(own(name), BITS[name]) == own(name)).all()
    used = on_transform_grid(trained(name, seed, spread), BITS[name])
    inside = used.abs().sum(1) * 2 ** BITS[name] <= TRANSFORM_ROW_SUM - used.shape[1] / 2
    assert (on_transform_grid(used, BITS[name]) == used)[inside].all()


@MATRICES
def test_v_is_exact_in_every_order(name: str, seed: int, spread: float) -> None:
    """In float32 as in integers, at the largest value that each pair of rows can reach, and on random images."""
    f = BITS[name]
    bt = on_transform_grid(trained(name, seed, spread), f)
    signs = bt.sign()
    extremes = torch.einsum("ai,bj->ijab", signs, signs).flatten(2) * 255
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(-127, 256, (bt.shape[1], bt.shape[1], 40), generator=generator).float()
    tiles = torch.cat([extremes, images], 2)
    integers = (bt * 2**f).numpy().astype(np.int64)
    expected = np.einsum("ai,ijq,bj->abq", integers, tiles.numpy().astype(np.int64), integers)
    assert np.abs(expected).max() < 2**24
    for compute in (sandwich, ordered_sandwich):
        assert (compute(bt, tiles).double().numpy() * 4**f == expected).all()


def test_gradient_passes_through_rounding_and_stops_at_the_clamp() -> None:
    matrix = torch.tensor([[1.03, -2.2, 0.4, 0, 0, 0], [9.0, 0.1, 0, 0, 0, 0]], requires_grad=True)
    weights = torch.tensor([[1.0, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])
    used = on_transform_grid(matrix, 4)
    (used * weights).sum().backward()
    assert float(used.detach()[1, 0]) == 127 / 16
    expected = weights.clone()
    expected[1, 0] = 0
    assert matrix.grad is not None
    assert (matrix.grad == expected).all()


def test_gradient_of_a_row_that_is_scaled_down_does_not_make_it_larger() -> None:
    matrix = torch.full((1, 6), 5.0, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(6.0, dtype=torch.float64)
    (on_transform_grid(matrix, 4) * weights).sum().backward()
    assert matrix.grad is not None
    scale = (255 - 3) / (6 * 5 * 16)
    torch.testing.assert_close(matrix.grad[0], (weights - weights.mean()) * scale)


def layer_of(name: str, r: int = 3, **spec: object) -> WinogradConv2d:
    layer = WinogradConv2d.from_conv(nn.Conv2d(4, 4, r), Winograd(name, transforms="learned", **spec))  # type: ignore[arg-type]
    with torch.no_grad():
        layer.BT += 0.3 * torch.randn_like(layer.BT)
    return layer


def test_a_layer_uses_the_matrix_on_the_grid() -> None:
    layer = layer_of("F4")
    used = layer.transforms()[2]
    assert (used == on_transform_grid(layer.BT, 4)).all()
    assert not (used == layer.BT).all()
    layer.train()(torch.randn(2, 4, 9, 9)).sum().backward()
    assert layer.BT.grad is not None
    frozen = layer.eval().frozen()
    assert not frozen.integer
    assert (frozen.bt == used.detach().numpy()).all()


@pytest.mark.parametrize("layer", [("F6", 5, {}), ("F4", 3, {"bits": 32})], ids=str)
def test_layers_without_a_grid(layer: tuple[str, int, dict[str, int]]) -> None:
    name, r, spec = layer
    built = layer_of(name, r, **spec)
    assert (built.transforms()[2] == built.BT).all()
