"""Learned transforms that keep a structure: zeros and ones of the start, or the convolution itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import tilewise as tw
from tilewise.algebra import algorithm
from tilewise.algebra.toom_cook import Interpolation
from tilewise.nn import WinogradConv2d, unservable
from tilewise.nn.points import POOL, Interpolating, admissible
from tilewise.quant import Winograd
from tilewise.quant.fake import on_transform_grid
from tilewise.quant.quantizer import TRANSFORM_ENTRY, TRANSFORM_ROW_SUM

STARTS = [("F2", 3), ("F4", 3), ("F4-textbook", 3), ("F6", 3), ("F2", 5), ("F4", 5)]


def layer_of(name: str, r: int = 3, **spec: Any) -> WinogradConv2d:
    torch.manual_seed(0)
    return WinogradConv2d.from_conv(nn.Conv2d(4, 6, r, padding=r // 2), Winograd(name, **spec))


def train(layer: WinogradConv2d, rates: dict[str, float], steps: int = 3) -> None:
    """A few steps, each parameter moved by its rate in the direction of its gradient's signs."""
    for step in range(steps):
        x = torch.randn(2, 4, 9, 10, generator=torch.Generator().manual_seed(step))
        layer.train().zero_grad()
        (layer(x) ** 2).mean().backward()
        with torch.no_grad():
            for name, rate in rates.items():
                parameter = layer.get_parameter(name)
                assert parameter.grad is not None
                parameter -= rate * parameter.grad.sign()


@pytest.mark.parametrize("name", ["F2", "F4", "F6", "SFC6"])
def test_sparse_keeps_zeros_and_ones(name: str) -> None:
    layer = layer_of(name, transforms="sparse")
    start = [matrix.detach().clone() for matrix in layer.transforms()]
    train(layer, dict.fromkeys(("AT", "G", "BT"), 0.3))
    moved = 0
    for used, before, own in zip(layer.transforms(), start, layer.algorithm.to_float("float32"), strict=True):
        kept = np.isin(np.abs(own), (0, 1))
        assert (before.numpy() == own).all()
        assert (used.detach().numpy() == own)[kept].all()
        moved += int((used.detach().numpy() != own).sum())
    assert moved


def own_part(layer: WinogradConv2d, name: str) -> Any:
    """Where a matrix is learned."""
    return np.array([[abs(x) not in (0, 1) for x in row] for row in getattr(layer.algorithm, name)])


def test_sparse_rows_leave_the_bound_by_their_learned_entries_only() -> None:
    layer = layer_of("F4", transforms="sparse")
    with torch.no_grad():
        layer.BT += 100
    used = layer.transforms()[2].detach()
    assert (used == on_transform_grid(used, 4)).all()
    assert (used.abs().sum(1) * 16 <= TRANSFORM_ROW_SUM).all()
    kept = ~own_part(layer, "BT")
    assert (used.numpy() == layer.algorithm.to_float("float32")[2])[kept].all()


def test_matrices_of_zeros_and_ones_stay() -> None:
    """So F2 keeps all of its fast path but for the weights, which are transformed once."""
    layer = layer_of("F2", transforms="sparse")
    train(layer, dict.fromkeys(("AT", "G", "BT"), 0.5))
    frozen, own = layer.eval().frozen(), layer.algorithm.to_float("float32")
    assert (frozen.at == own[0]).all()
    assert (frozen.bt == own[2]).all()
    assert not (layer.transforms()[1].detach().numpy() == own[1]).all()


@pytest.mark.parametrize(("name", "r"), STARTS)
def test_exact_transforms_begin_as_the_algorithm(name: str, r: int) -> None:
    layer = layer_of(name, r, transforms="convolution")
    assert [getattr(layer.rational_algorithm(), f) for f in ("AT", "G", "BT")] == [
        getattr(layer.algorithm, f) for f in ("AT", "G", "BT")
    ]
    for used, own in zip(layer.transforms(), layer.algorithm.to_float("float32"), strict=True):
        assert (used.detach().numpy() == own).all()


FINITE = st.floats(-50, 50, allow_nan=False)


@given(st.sampled_from(STARTS), st.data())
def test_whatever_is_learned_is_a_convolution_on_the_grid(start: tuple[str, int], data: st.DataObject) -> None:
    exact = Interpolating(algorithm(*start))
    parameters = {
        name: torch.tensor(data.draw(st.lists(FINITE, min_size=len(x), max_size=len(x))))
        for name, x in exact.start().items()
    }
    reached = exact.reached(parameters).verify()
    points = Interpolation.of(reached).points
    assert len(set(points)) == len(points)
    assert {p for p in points if p} <= set(POOL)
    at, g, bt = exact.used(parameters, torch.zeros(()))
    for used, own in zip((at, g, bt), reached.to_float("float32"), strict=True):
        assert (used.numpy() == own).all()
    assert (on_transform_grid(bt, exact.grid) == bt).all()
    assert [[float(x) for x in row] for row in reached.BT] == bt.tolist()


def test_points_that_meet_are_kept_apart() -> None:
    exact = Interpolating(algorithm("F4"))
    start = {name: torch.tensor(x) for name, x in exact.start().items()}
    together = Interpolation.of(exact.reached(start | {"points": torch.zeros(4, dtype=torch.float64)})).points
    assert sorted(p for p in together if p is not None) == [-0.5, -0.25, 0, 0.25, 0.5]
    apart = Interpolation.of(exact.reached(start | {"points": torch.tensor([1.1, -0.9, 0.6, -2.3])})).points
    assert apart == Interpolation.of(algorithm("F4")).points


@pytest.mark.parametrize(("count", "least"), [(2, 100), (4, 1000), (6, 200)])
def test_admissible_sets_have_8_bit_rows(count: int, least: int) -> None:
    sets = admissible(count)
    assert len(sets) > least
    assert (np.diff(sets, axis=1) > 0).all()
    rng = np.random.default_rng(0)
    for chosen in sets[rng.integers(len(sets), size=20)]:
        found = tw.toom_cook(count, 3, [0, *map(str, chosen)])
        assert max(abs(x) for row in found.BT for x in row) <= TRANSFORM_ENTRY
        assert max(sum(abs(x) for x in row) for row in found.BT) <= TRANSFORM_ROW_SUM


def identity(at: Tensor, g: Tensor, bt: Tensor) -> Tensor:
    return torch.einsum("in,nk,nj->ikj", at, g, bt)


@pytest.mark.parametrize(("name", "r"), STARTS)
def test_gradients_move_along_convolutions(name: str, r: int) -> None:
    """No parameter changes the convolution identity, though each changes all matrices that it should."""
    exact = Interpolating(algorithm(name, r))
    parameters = {n: torch.tensor(x, requires_grad=True) for n, x in exact.start().items()}
    matrices = exact.used(parameters, torch.zeros((), dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    value = identity(*matrices)
    weights = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    sizes = identity(*(x.detach().abs() for x in matrices)).max()
    grads = torch.autograd.grad((value * weights).sum(), list(parameters.values()), retain_graph=True)
    for grad in grads:
        assert grad.abs().max() < 1e-10 * sizes
    at, g, bt = matrices
    for matrix, moving in ((at, (0, 2)), (g, (0, 1, 2)), (bt, (0, 1))):
        found = torch.autograd.grad((matrix**2).sum(), list(parameters.values()), retain_graph=True, allow_unused=True)
        for place in moving:
            assert found[place] is not None
            assert found[place].abs().min() > 0


def test_gradient_of_a_point_is_that_of_its_powers() -> None:
    exact = Interpolating(algorithm("F4"))
    parameters = {n: torch.tensor(x, requires_grad=True) for n, x in exact.start().items()}
    at, _, _ = exact.used(parameters, torch.zeros((), dtype=torch.float64))
    (grad,) = torch.autograd.grad(at[3].sum(), parameters["points"])
    scales = torch.tensor([float(x) for x in Interpolation.of(algorithm("F4")).columns[1:5]])
    torch.testing.assert_close(grad, 3 * parameters["points"].detach() ** 2 * scales)


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize("name", ["F4", "F6"])
def test_training_moves_points_and_keeps_the_convolution(name: str, bits: int) -> None:
    layer = layer_of(name, transforms="convolution", bits=bits)
    train(layer, {"points": 0.4, "row_exponents": 0.4, "column_exponents": 0.4})
    found = layer.rational_algorithm().verify()
    assert Interpolation.of(found) != Interpolation.of(layer.algorithm)
    x = torch.randn(2, 4, 9, 10)
    if bits == 32:
        with torch.no_grad():
            wanted = nn.functional.conv2d(x, layer.weight, layer.bias, padding=1)
            torch.testing.assert_close(layer.eval()(x), wanted, rtol=0, atol=1e-3 * float(wanted.abs().max()))
        frozen = layer.frozen()
        g = found.to_float()[1]
        u = np.einsum("nx,kcxy,py->npkc", g, layer.weight.detach().double().numpy(), g).reshape(frozen.weight.shape)
        np.testing.assert_allclose(frozen.weight, u, rtol=1e-5, atol=1e-6 * np.abs(u).max())


def test_each_structure_loads_its_own_numbers() -> None:
    for transforms, names in (
        ("sparse", {"AT", "G", "BT"}),
        ("convolution", {"points", "row_exponents", "column_exponents"}),
    ):
        layer = layer_of("F4", transforms=transforms)
        train(layer, dict.fromkeys(names, 0.4))
        twin = layer_of("F4", transforms=transforms)
        assert not all((a == b).all() for a, b in zip(twin.transforms(), layer.transforms(), strict=True))
        twin.load_state_dict(layer.state_dict())
        assert all((a == b).all() for a, b in zip(twin.transforms(), layer.transforms(), strict=True))
        assert {n for n, _ in layer.named_parameters()} == names | {"weight", "bias"}
        layer.reset_transforms()
        assert (layer.transforms()[0].detach().numpy() == layer.algorithm.to_float("float32")[0]).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"algorithm": "SFC6", "transforms": "convolution"}, r"SFC6\(7, 3\) has no interpolation points"),
        ({"algorithm": "direct", "transforms": "convolution"}, "has no interpolation points"),
        ({"algorithm": tw.sfc(4, 4, 3), "transforms": "convolution"}, "has no interpolation points"),
        (
            {"algorithm": "F4", "transforms": "convolution", "quantizer": "paper", "scales": "tensor"},
            "rounds the matrices",
        ),
        (
            {"algorithm": "F4", "transforms": "sparse", "quantizer": "paper", "scales": "tensor"},
            "allowed with it: static",
        ),
        ({"algorithm": "F4", "transforms": "flex"}, "allowed: static, learned, sparse, convolution"),
    ],
)
def test_what_has_no_points_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Winograd(**spec)


@pytest.mark.parametrize(
    ("start", "r", "message"),
    [
        (
            "F4-nova",
            3,
            r"F4-nova has the points 5/6, -5/6, 7/6, -7/6; 'convolution' transforms allow \+-\(1/4, 1/2",
        ),
        (tw.toom_cook(4, 3, [0, 1, -1, 2, -2]).scaled([3] * 6, [1] * 6), 3, "scaled by 3, 3, .* powers of two"),
        (tw.toom_cook(6, 5, [0, 1, -1, 2, -2, 4, -4, 3, -3]), 5, "too large for 'convolution' transforms"),
    ],
)
def test_layers_out_of_reach_say_why(start: Any, r: int, message: str) -> None:
    spec = Winograd(start, transforms="convolution")
    with pytest.raises(ValueError, match=message):
        WinogradConv2d(4, 4, r, spec=spec)
    assert unservable(nn.Conv2d(4, 4, r), spec)


def test_an_rational_algorithm_is_asked_of_exact_layers_only() -> None:
    assert layer_of("F4").rational_algorithm() is algorithm("F4")
    for transforms in ("learned", "sparse"):
        with pytest.raises(ValueError, match=f"transforms is '{transforms}', which are no convolution"):
            layer_of("F4", transforms=transforms).rational_algorithm()
    layer = layer_of("F4", transforms="convolution")
    with torch.no_grad():
        layer.points[0] = float("nan")
    with pytest.raises(ValueError, match=r"points \[nan, .* are not finite"):
        layer.transforms()
