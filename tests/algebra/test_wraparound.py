"""Wrapping 32-bit sums: the recipe is proved, and gives the exact convolution up to its bound and at it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewise.algebra import Bilinear, algorithm, direct
from tilewise.algebra.reach import reach
from tilewise.algebra.wraparound import wraparound

SERVED = [
    ("F2", 3),
    ("F4", 3),
    ("F4-textbook", 3),
    ("SFC6", 3),
    ("SFC6(6)", 3),
    ("SFC6", 5),
    ("SFC4", 5),
    ("SFC6", 7),
    ("SFC6-planar", 3),
]
LIMITS = [(-127, 127), (0, 255), (-128, 127)]


def correlate(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sum over channels of the valid correlation, (C, t, t) x (K, C, r, r) -> (K, m, m)."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), w.shape[2:], (1, 2))
    return np.einsum("cijxy,kcxy->kij", windows, w.astype(np.int64))


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize(("name", "r"), SERVED)
def test_factors_reach_their_bounds_and_fit(name: str, r: int, limits: tuple[int, int]) -> None:
    recipe = wraparound(algorithm(name, r), *limits)
    low, high = limits
    assert recipe.v_extremes[0] >= -(2**15)
    assert recipe.v_extremes[1] < 2**15
    assert recipe.u_extreme < 2**15
    _, g, bt = recipe.parts
    nested = isinstance(recipe.algorithm, Bilinear)
    reached = []
    for signs in np.kron(bt, bt) if nested else bt:
        reached += [(np.where(signs > 0, e, f) * signs).sum() for e, f in ((low, high), (high, low))]
    assert (min(reached), max(reached)) == recipe.v_extremes
    norms = np.abs(g).sum(1)
    assert 127 * norms.max() ** (2 if nested else 1) == recipe.u_extreme


@settings(max_examples=60, deadline=None)
@given(
    served=st.sampled_from(SERVED),
    limits=st.sampled_from(LIMITS),
    channels=st.integers(1, 40),
    extreme=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_the_direct_convolution(
    served: tuple[str, int], limits: tuple[int, int], channels: int, extreme: bool, seed: int
) -> None:
    recipe = wraparound(algorithm(*served), *limits)
    rng = np.random.default_rng(seed)
    a = recipe.algorithm
    inputs = limits if extreme else np.arange(limits[0], limits[1] + 1)
    weights = (-127, 127) if extreme else np.arange(-127, 128)
    x, w = rng.choice(inputs, (channels, a.tile, a.tile)), rng.choice(weights, (3, channels, a.r, a.r))
    np.testing.assert_array_equal(recipe.simulate(x, w), correlate(x, w))


def reaching(target: int, algorithm_tile: int, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Input and weights of as many channels as it takes for one output to be exactly a number."""
    whole, rest = divmod(abs(target), 127 * 127)
    pairs = [(127, 127)] * whole + [(127, rest // 127), (1, rest % 127)]
    per_channel = r * r
    channels = -(-len(pairs) // per_channel)
    w, x = np.zeros(channels * per_channel, int), np.zeros(channels * per_channel, int)
    for i, (a, b) in enumerate(pairs):
        w[i], x[i] = a, b
    tile = np.zeros((channels, algorithm_tile, algorithm_tile), int)
    tile[:, :r, :r] = x.reshape(channels, r, r) * (1 if target >= 0 else -1)
    return tile, w.reshape(1, channels, r, r)


@pytest.mark.parametrize("name", ["F4-textbook", "SFC4"])
def test_is_exact_at_the_bound_and_wrong_beyond(name: str) -> None:
    recipe = wraparound(algorithm(name))
    half = (recipe.capacity + 1) // 2
    for target in (half - 1, -half):
        tile, w = reaching(target, recipe.algorithm.tile, 3)
        np.testing.assert_array_equal(recipe.simulate(tile, w), correlate(tile, w))
    tile, w = reaching(half, recipe.algorithm.tile, 3)
    assert correlate(tile, w)[0, 0, 0] == half
    assert recipe.simulate(tile, w)[0, 0, 0] == -half, "a sum one too large comes back as the smallest"
    assert recipe.bias(-half, half - 1) == 0
    with pytest.raises(ValueError, match=rf"need {2 * half + 1} values; .* gives {2 * half} \("):
        recipe.bias(-half, half)


def test_a_bias_serves_lopsided_sums() -> None:
    recipe = wraparound(algorithm("F4-textbook"))
    half = (recipe.capacity + 1) // 2
    tile, w = reaching(half + 1000, 6, 3)
    bias = recipe.bias(0, 2 * half - 1)
    np.testing.assert_array_equal(recipe.simulate(tile, w, bias), correlate(tile, w))
    assert bias == half


def test_worst_inputs_of_real_layers_come_back() -> None:
    """The inputs that reach a layer's own bound, and those that reach the other end."""
    recipe = wraparound(algorithm("F4-textbook"), 0, 255)
    w = np.random.default_rng(0).integers(-127, 128, (1, 180, 3, 3))
    found = reach(w, 0, 255)
    bias = recipe.bias(int(found.lowest[0]), int(found.highest[0]))
    for positive, end in ((True, found.highest), (False, found.lowest)):
        x = np.zeros((180, 6, 6), int)
        x[:, :3, :3] = np.where((w[0] > 0) == positive, 255, 0)
        assert correlate(x, w)[0, 0, 0] == end[0]
        np.testing.assert_array_equal(recipe.simulate(x, w, bias), correlate(x, w))


@pytest.mark.parametrize(("name", "r"), [case for case in SERVED if case[0] != "F4-textbook"])
def test_weights_take_all_factors(name: str, r: int) -> None:
    """So the transforms are the named algorithm's, for which kernels have programs."""
    recipe = wraparound(algorithm(name, r), 0, 255)
    assert (recipe.AT, recipe.BT) == (recipe.algorithm.AT, recipe.algorithm.BT)


def test_the_shift_is_what_the_points_cost() -> None:
    assert wraparound(algorithm("F4-textbook")).capacity == 2**26 - 1
    assert wraparound(algorithm("F4")).capacity == 2**30 - 1
    assert wraparound(algorithm("SFC6", 5)).capacity == 2**30 - 1
    assert wraparound(direct(4, 3)).capacity == 2**32 - 1


def test_factors_of_more_than_16_bits_are_refused() -> None:
    wraparound(algorithm("F6"), 0, 20)
    with pytest.raises(ValueError, match="V of F6 reaches from -317500 to 317500 on inputs from -127 to 127; allowed"):
        wraparound(algorithm("F6"))
    with pytest.raises(ValueError, match="U of F2 grows by 961: weights up to 127 leave 16 bits; allowed: growth"):
        wraparound(algorithm("F2", 5))
    with pytest.raises(ValueError, match="0 must lie within"):
        wraparound(algorithm("F2"), 1, 5)


def test_a_wrong_recipe_is_refused() -> None:
    recipe = wraparound(algorithm("F4"))
    wrong = dataclasses.replace(recipe, AT=((*recipe.AT[0][:-1], 1), *recipe.AT[1:]))
    with pytest.raises(
        ValueError, match="F4 modulo 2\\^32 is not 30 times a convolution: output 0, filter tap 2, input"
    ):
        wrong.verify()


def test_weights_beyond_8_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="weights reach"):
        wraparound(algorithm("F4")).transform_weights(np.full((1, 1, 3, 3), 200))
