"""Residues: the triple over Z_p is proved, numbers come back from their residues, sets too small are refused."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewise.algebra.reach import channel_blocks, reach
from tilewise.algebra.residue import (
    ModuliSet,
    even_moduli,
    moduli_for,
    product_ratio,
    residue_toom_cook,
    symmetric,
    total_ratio,
    transform_products,
    usable_moduli,
)


@pytest.mark.parametrize(("m", "r"), [(2, 3), (4, 3), (6, 3), (8, 3), (14, 3), (6, 5), (12, 5), (4, 7)])
def test_triples_are_convolutions_modulo_every_usable_modulus(m: int, r: int) -> None:
    for modulus in usable_moduli(m, r)[:6] + usable_moduli(m, r, bits=12)[:2]:
        found = residue_toom_cook(m, r, modulus)
        assert found.products == m + r - 1
        assert max(abs(x) for matrix in (found.AT, found.G, found.BT) for row in matrix for x in row) <= modulus // 2


def test_a_wrong_triple_is_refused() -> None:
    good = residue_toom_cook(4, 3, 251)
    with pytest.raises(ValueError, match=r"F\(4, 3\) is not a convolution modulo 251: output 0, filter tap 0, input 0"):
        dataclasses.replace(good, G=((5, 0, 0), *good.G[1:])).verify()


def test_colliding_points_are_refused() -> None:
    residue_toom_cook(6, 3, 253)  # 11 * 23
    with pytest.raises(ValueError, match="points 4 and -7 are the same modulo 11, a factor of the modulus 253"):
        residue_toom_cook(14, 3, 253)
    with pytest.raises(ValueError, match="modulus is 256; it must be odd"):
        residue_toom_cook(4, 3, 256)
    with pytest.raises(ValueError, match=r"F\(4, 3\) takes 5 finite points"):
        residue_toom_cook(4, 3, 251, [0, 1])
    assert 253 not in usable_moduli(14, 3)
    assert usable_moduli(6, 3)[:3] == (253, 251, 247)


def test_bad_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="moduli 253 and 209 have the common factor 11"):
        ModuliSet((253, 209))
    with pytest.raises(ValueError, match="modulus is 254; it must be odd"):
        ModuliSet((251, 254))
    with pytest.raises(ValueError, match="no modulus"):
        ModuliSet(())
    with pytest.raises(ValueError, match=r"253 \* 251 = 63503 .* take 80001 values; .* suffices: 253 \* 251 \* 247"):
        ModuliSet((253, 251)).check(80000, 6, 3)
    ModuliSet((253, 251)).check(63502, 6, 3)
    with pytest.raises(ValueError, match="need more than 6 moduli of 8 bits"):
        moduli_for(2**50, 6, 3)


@pytest.mark.parametrize(("m", "r"), [(6, 3), (14, 3), (12, 5)])
def test_the_fewest_moduli_suffice(m: int, r: int) -> None:
    for bits in range(8, 32, 3):
        found = moduli_for(2**bits, m, r)
        assert found.capacity >= 2**bits
        assert all(math.gcd(p, q) == 1 for p in found.moduli for q in found.moduli if p != q)
        if len(found.moduli) > 1:
            assert math.prod(usable_moduli(m, r)[: len(found.moduli) - 1]) <= 2**bits


@settings(max_examples=200, deadline=None)
@given(
    moduli=st.sampled_from([(253, 251, 247), (251, 241, 239), (3, 5, 7), (253, 251, 247, 241), (17,), (4093, 4091)]),
    part=st.floats(-1, 1),
)
def test_both_ways_back_give_the_number(moduli: tuple[int, ...], part: float) -> None:
    chosen = ModuliSet(moduli)
    half = chosen.capacity // 2
    for x in (round(part * half), half, -half):
        residues = [symmetric(x, p) for p in moduli]
        assert chosen.crt(residues) == x
        assert chosen.mixed_radix(residues) == x
        assert chosen.mixed_radix([np.array([v]) for v in residues]) == np.array([x])
    beyond = half + 1
    assert chosen.crt([symmetric(beyond, p) for p in moduli]) == -half


def test_published_counts() -> None:
    """Liu and Mattina, ECCV 2020: "up to 7.03x", "2.30x to 4.69x" are the counts of these, transforms left out."""
    published = {(12, 5, 2): 7.03, (14, 3, 2): 3.45, (12, 5, 3): 4.69, (14, 3, 3): 2.30}
    assert {key: round(float(product_ratio(*key)), 2) for key in published} == published
    assert product_ratio(8, 3, 3) == Fraction(48, 25)
    # With transforms by dense matrices for 64 channels, and by halves for 256.
    assert round(float(total_ratio(14, 3, 3, 64, 64, paired=False)), 2) == 1.20
    assert round(float(total_ratio(14, 3, 3, 256, 256)), 2) == 2.04


def test_pairs_of_points_halve_the_transforms() -> None:
    dense, paired = (transform_products(16, 16, paired=p) for p in (False, True))
    assert dense == 16 * 16 * 32
    assert paired == (8 * 16 + 16) * 32


@settings(max_examples=40, deadline=None)
@given(case=st.sampled_from([(4, 3), (6, 3), (6, 5), (14, 3)]), seed=st.integers(0, 2**32 - 1), unsigned=st.booleans())
def test_layers_come_back(case: tuple[int, int], seed: int, unsigned: bool) -> None:
    m, r = case
    low, high = (0, 255) if unsigned else (-127, 127)
    rng = np.random.default_rng(seed)
    x, w = rng.choice([low, high], (7, m + r - 1, m + r - 1)), rng.integers(-127, 128, (2, 7, r, r))
    bound = reach(w, low, high)
    chosen = moduli_for(bound.width, m, r)
    middle = (bound.lowest + bound.highest + 1) // 2
    residues = []
    for p in chosen.moduli:
        a = residue_toom_cook(m, r, p)
        at, g, bt = (np.array(matrix) for matrix in (a.AT, a.G, a.BT))
        u = symmetric(np.einsum("ax,kcxy,by->kcab", g, w, g), p)
        v = symmetric(np.einsum("ax,cxy,by->cab", bt, x, bt), p)
        y = np.einsum("ia,kab,jb->kij", at, symmetric(np.einsum("kcab,cab->kab", u, v), p), at)
        residues.append(symmetric(y - middle[:, None, None], p))
    windows = np.lib.stride_tricks.sliding_window_view(x, (r, r), (1, 2))
    wanted = np.einsum("cijxy,kcxy->kij", windows, w)
    np.testing.assert_array_equal(chosen.mixed_radix(residues) + middle[:, None, None], wanted)


def test_reach_is_attained_and_tight() -> None:
    w = np.array([[[[3, -2], [0, 7]]], [[[-1, -1], [-1, -1]]]])
    signed, unsigned = reach(w, -127, 127), reach(w, 0, 255)
    assert (signed.lowest.tolist(), signed.highest.tolist()) == ([-12 * 127, -4 * 127], [12 * 127, 4 * 127])
    assert (unsigned.lowest.tolist(), unsigned.highest.tolist()) == ([-2 * 255, -4 * 255], [10 * 255, 0])
    assert unsigned.width == 12 * 255
    with pytest.raises(ValueError, match="padding is 0"):
        reach(w, 1, 5)


def test_channels_are_blocked_where_sums_are_too_wide() -> None:
    w = np.full((1, 10, 1, 1), 100)
    blocks = channel_blocks(w, -1, 1, 800)
    assert [(b.start, b.stop) for b in blocks] == [(0, 4), (4, 8), (8, 10)]
    assert channel_blocks(w, -1, 1, 2000) == [slice(0, 10)]
    with pytest.raises(ValueError, match="single channel differ by 200; allowed: 99"):
        channel_blocks(w, -1, 1, 99)


@given(
    width=st.integers(1, 2**40),
    m=st.sampled_from([4, 6, 10, 14]),
    r=st.sampled_from([3, 5]),
    bits=st.sampled_from([8, 13]),
)
def test_even_moduli_are_as_few_and_suffice(width: int, m: int, r: int, bits: int) -> None:
    few, even = moduli_for(width, m, r, bits).moduli, even_moduli(width, m, r, bits).moduli
    assert len(even) == len(few)
    assert math.prod(even) > width
    assert set(even) <= set(usable_moduli(m, r, bits))
    assert even == few or min(even) ** len(even) > width, "each of them is needed at its size"
