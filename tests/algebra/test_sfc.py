"""Symbolic Fourier convolution, nested and in the plane: proofs, counts, growth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.algebra import Planar, algorithm, planar_sfc, sfc

SIZES = given(st.sampled_from([3, 4, 6, 12]), st.integers(1, 8), st.integers(1, 8))


@SIZES
def test_sfc_is_a_convolution(order: int, m: int, r: int) -> None:
    if order > m + r - 1:
        with pytest.raises(ValueError, match="exceeds the tile"):
            sfc(order, m, r)
    else:
        a = sfc(order, m, r)
        assert a.verify().has_integer_transforms
        assert a.growth.input <= order**2
        assert {abs(x) for row in a.BT for x in row} <= {0, 1}


@given(st.sampled_from([3, 4, 6]), st.integers(1, 4), st.integers(1, 3))
def test_planar_sfc_is_a_convolution_of_fewer_products(order: int, m: int, r: int) -> None:
    if order <= m + r - 1:
        a = planar_sfc(order, m, r).verify()
        assert sfc(order, m, r).products ** 2 - a.products == {3: 3, 4: 3, 6: 12}[order]
        assert a.growth.input == order**2
        assert {x.denominator for matrix in (a.AT, a.BT) for row in matrix for x in row} == {1}


@pytest.mark.parametrize(
    ("order", "m", "r", "nested", "planar"),
    [(4, 4, 3, 49, 46), (6, 6, 3, 100, 88), (6, 7, 3, 144, 132), (6, 6, 5, 196, 184), (12, 10, 3, 400, 286)],
)
def test_products(order: int, m: int, r: int, nested: int, planar: int) -> None:
    """Those of He et al.'s SFC-6(6, 3) give their factor of 3.68; without corrections N = 12 takes 400 and 286."""
    assert (sfc(order, m, r).products ** 2, planar_sfc(order, m, r).products) == (nested, planar)
    assert planar_sfc(order, m, r).multiplication_ratio() == Fraction((m * r) ** 2, planar)


def test_the_published_size() -> None:
    a = sfc(6, 7, 3)
    assert (a.products, a.growth.input, a.integer().denominator) == (12, 36, 6)


@pytest.mark.parametrize(("r", "m", "products"), [(5, 12, 26), (7, 10, 26)])
def test_length_12_is_named_where_it_pays(r: int, m: int, products: int) -> None:
    a = algorithm("SFC12", r)
    assert (a.m, a.products, a.growth.input) == (m, products, 144)
    assert a.multiplication_ratio() > algorithm("SFC6", r).multiplication_ratio()


@pytest.mark.parametrize("order", [1, 2, 5, 8, 24])
def test_other_lengths_are_refused(order: int) -> None:
    with pytest.raises(ValueError, match=f"order is {order}; symbolic Fourier convolution serves 3, 4, 6, 12"):
        sfc(order, 12, 7)
    with pytest.raises(ValueError, match=f"order is {order}"):
        planar_sfc(order, 12, 7)


def test_a_nested_algorithm_in_the_plane() -> None:
    a = algorithm("F4")
    nested = Planar.nested(a).verify()
    assert (nested.products, nested.growth) == (36, a.growth)
    assert nested.multiplication_ratio() == a.multiplication_ratio()
    for matrix, one in zip(nested.to_float(), a.to_float(), strict=True):
        np.testing.assert_allclose(matrix, np.kron(one, one), rtol=1e-15)


def test_planar_computes_a_convolution() -> None:
    at, g, bt = planar_sfc(3, 2, 3).to_float()
    rng = np.random.default_rng(0)
    d, w = rng.standard_normal((4, 4)), rng.standard_normal((3, 3))
    wanted = [[(d[i : i + 3, j : j + 3] * w).sum() for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(at @ ((g @ w.reshape(-1)) * (bt @ d.reshape(-1))), np.reshape(wanted, -1), atol=1e-13)


@pytest.mark.parametrize("name", ["SFC6-planar", "SFC6-planar(7)", "SFC4-planar", "SFC3-planar(2)"])
def test_names(name: str) -> None:
    a = algorithm(name)
    assert isinstance(a, Planar)
    assert Planar.from_dict(a.to_dict()) == a
    assert a.name in {"SFC6-planar(6, 3)", "SFC6-planar(7, 3)", "SFC4-planar(4, 3)", "SFC3-planar(2, 3)"}
    with pytest.raises(ValueError, match=r"unknown algorithm 'SFC\d-planar.*' for 3x3 kernels of stride 2"):
        algorithm(name, 3, 2)


def test_factors_are_those_of_the_matrices() -> None:
    a = planar_sfc(12, 3, 10)
    assert a.factors is not None
    assert a.factors.whole == (a.AT, a.BT)
    other = replace(a.factors, at=a.factors.at[::-1])
    with pytest.raises(ValueError, match="its factors are not those of its matrices"):
        replace(a, factors=other)


@pytest.mark.parametrize("field", ["AT", "G", "BT"])
def test_the_proof_in_the_plane_finds_any_changed_entry(field: str) -> None:
    a = planar_sfc(3, 2, 3)
    matrix = [list(row) for row in getattr(a, field)]
    matrix[1][1] += Fraction(1, 7)
    with pytest.raises(ValueError, match=r"is not a convolution: output \(\d, \d\), filter tap \(\d, \d\), input "):
        replace(a, **{field: matrix}, factors=None).verify()


def test_bad_planar_algorithms_are_refused() -> None:
    a = planar_sfc(3, 2, 3)
    with pytest.raises(ValueError, match="AT must be 4 x 22"):
        replace(a, AT=a.AT[:1])
    with pytest.raises(ValueError, match="m and r must be at least 1"):
        replace(a, r=0)
    with pytest.raises(ValueError, match="too large to be proved in 53 bits"):
        replace(a, AT=[[x * 2**60 + 1 for x in row] for row in a.AT], factors=None).verify()
