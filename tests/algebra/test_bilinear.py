from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.algebra import Bilinear, algorithm, algorithm_names, direct, sfc, toom_cook
from tilewise.algebra.toom_cook import Interpolation, interpolation

NAMED = [algorithm(name, r, stride) for stride in (1, 2) for r in (3, 5, 7) for name in algorithm_names(r, stride)]
CATALOGUE = [a for a in NAMED if isinstance(a, Bilinear)]
ids = [f"{a.name}-{a.r}-{a.stride}" for a in CATALOGUE]


def convolve(a: Bilinear, d: list[Fraction], g: list[Fraction]) -> list[Fraction]:
    """``A^T [(G g) * (B^T d)]`` written out."""
    products = [
        sum(x * y for x, y in zip(gr, g, strict=True)) * sum(x * y for x, y in zip(br, d, strict=True))
        for gr, br in zip(a.G, a.BT, strict=True)
    ]
    return [sum(x * y for x, y in zip(row, products, strict=True)) for row in a.AT]


@pytest.mark.parametrize("a", CATALOGUE, ids=ids)
def test_every_catalogued_algorithm_is_a_convolution(a: Bilinear) -> None:
    assert a.verify() is a
    d = [Fraction(3 * i * i - 7 * i + 2, i + 1) for i in range(a.tile)]
    g = [Fraction(2 * k - 3, k + 2) for k in range(a.r)]
    assert convolve(a, d, g) == [sum(g[k] * d[a.stride * i + k] for k in range(a.r)) for i in range(a.m)]


@pytest.mark.parametrize("a", CATALOGUE, ids=ids)
def test_integer_form_is_the_same_algorithm(a: Bilinear) -> None:
    form = a.integer()
    g = [[s * x for x in row] for s, row in zip(form.scale, form.G, strict=True)]
    Bilinear("rebuilt", a.m, a.r, form.AT, g, form.BT, a.stride).verify()
    for row in (*form.G, *form.BT, *zip(*form.AT, strict=True)):
        assert np.gcd.reduce(row) <= 1
    assert all((s * form.denominator).denominator == 1 for s in form.scale)


@pytest.mark.parametrize("a", [algorithm("F2"), algorithm("F4"), algorithm("SFC6"), algorithm("F2", 5)], ids=str)
def test_growth_is_reached_and_never_passed(a: Bilinear) -> None:
    _, _, bt = a.to_float()
    factors = np.einsum("ai,bj->abij", bt, bt).reshape(-1, a.tile**2)
    assert abs(factors).sum(1).max() == a.growth.input
    positive = np.where(factors > 0, factors, 0).sum(1).max()
    negative = np.where(factors < 0, -factors, 0).sum(1).max()
    assert max(positive, negative) == a.growth.non_negative_input


@pytest.mark.parametrize(("field", "row", "column"), list(itertools.product(("AT", "G", "BT"), (0, 1), (0, 1))))
def test_verify_finds_any_changed_entry(field: str, row: int, column: int) -> None:
    a = algorithm("F4")
    matrix = [list(r) for r in getattr(a, field)]
    matrix[row][column] += 1
    with pytest.raises(ValueError, match=r"F4 is not a convolution: output \d, filter tap \d, input \d has the factor"):
        replace(a, **{field: matrix}).verify()


def test_verify_refuses_the_misordered_scaling_of_a_published_f6() -> None:
    """The code released with the 2020 paper scales the last products of F6 by -1/12, 1, -12 instead of 1."""
    a = algorithm("F6-paper")
    wrong = [*(1,) * 5, Fraction(-1, 12), 1, -12]
    g = [[s * x for x in row] for s, row in zip(wrong, a.G, strict=True)]
    with pytest.raises(ValueError, match="not a convolution"):
        replace(a, G=g).verify()


def test_json_round_trip() -> None:
    a = toom_cook(4, 3, [0, 1, -1, "1/2", -2])
    assert Bilinear.from_dict(a.to_dict()) == a
    broken = a.to_dict() | {"G": [["1", "1", "1"]] * 6}
    with pytest.raises(ValueError, match="not a convolution"):
        Bilinear.from_dict(broken)
    with pytest.raises(ValueError, match="lacks BT"):
        Bilinear.from_dict({k: v for k, v in a.to_dict().items() if k != "BT"})


def test_normalized_makes_integers_and_keeps_the_algorithm() -> None:
    a = algorithm("F4")
    halved = replace(a, BT=[[x / 3 for x in row] for row in a.BT], G=[[x * 3 for x in row] for row in a.G])
    assert not halved.has_integer_transforms
    assert halved.verify().normalized() == a


def test_direct_is_the_trivial_member() -> None:
    a = direct(4, 3)
    assert (a.products, a.multiplication_ratio()) == (12, 1)
    assert {x for matrix in (a.AT, a.G, a.BT) for row in matrix for x in row} == {0, 1}


@pytest.mark.parametrize(
    ("name", "r", "ratio"),
    [("F2", 3, 2.25), ("F4", 3, 4), ("F6", 3, 5.0625), ("F2", 5, 25 / 9), ("F4", 5, 6.25), ("SFC6", 3, 3.0625)],
)
def test_reduction_factors(name: str, r: int, ratio: float) -> None:
    assert float(algorithm(name, r).multiplication_ratio()) == ratio
    assert algorithm(name, r).multiplication_ratio(dim=1) ** 2 == algorithm(name, r).multiplication_ratio()


def test_bad_shapes_and_entries_are_refused() -> None:
    a = algorithm("F2")
    with pytest.raises(ValueError, match="AT must be 2 x 4"):
        replace(a, AT=a.AT[:1])
    with pytest.raises(TypeError, match=r"0.5 is not exact"):
        replace(a, G=[[0.5] * 3] * 4)
    with pytest.raises(ValueError, match="'x' is not a rational"):
        replace(a, G=[["x"] * 3] * 4)
    for endless in ("1e999999999", "1" * 101, "1/" + "3" * 100):
        with pytest.raises(ValueError, match="is not a rational number such as '1/2' of at most 100 digits"):
            replace(a, G=[[endless] * 3] * 4)
    with pytest.raises(ValueError, match="m and r must be at least 1"):
        replace(a, m=0)
    with pytest.raises(ValueError, match="dim is 0"):
        a.multiplication_ratio(dim=0)


@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_toom_cook_is_a_convolution_for_any_points(m: int, r: int, data: st.DataObject) -> None:
    fractions = st.fractions(-4, 4, max_denominator=5)
    points = data.draw(st.lists(fractions, min_size=m + r - 2, max_size=m + r - 2, unique=True))
    a = toom_cook(m, r, points)
    assert a.verify().products == m + r - 1
    assert a.has_integer_transforms


@given(st.integers(2, 5), st.integers(1, 4), st.data())
def test_points_and_scalings_are_read_back(m: int, r: int, data: st.DataObject) -> None:
    fractions = st.fractions(-4, 4, max_denominator=5)
    points: list[Fraction | None] = [None]
    points += data.draw(st.lists(fractions, min_size=m + r - 2, max_size=m + r - 2, unique=True))
    points = data.draw(st.permutations(points))
    factors = st.lists(fractions.filter(bool), min_size=len(points), max_size=len(points))
    rows, columns = data.draw(factors), data.draw(factors)
    a = interpolation("any", m, r, points).verify().scaled(rows, columns)
    assert Interpolation.of(a) == (tuple(points), tuple(rows), tuple(columns))


@pytest.mark.parametrize("a", [direct(2, 3), sfc(3, 3, 3), algorithm("SFC6"), toom_cook(1, 3, [0, 1])], ids=str)
def test_what_is_no_interpolation_has_no_points(a: Bilinear) -> None:
    with pytest.raises(ValueError, match="has no interpolation points: it is no Toom-Cook algorithm"):
        Interpolation.of(a)


def test_toom_cook_gives_lavins_matrices() -> None:
    a = algorithm("F4-textbook")
    assert a.BT[0] == (4, 0, -5, 0, 1, 0)
    assert a.G[3] == (Fraction(1, 24), Fraction(1, 12), Fraction(1, 6))
    assert a.AT[3] == (0, 1, -1, 8, -8, 1)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([0, 1, -1], "takes 4 finite points"),
        ([0, 1, -1, 1, 2], "takes 4 finite points"),
        ([0, 1, "2/2", 2], "interpolation point 1 is repeated"),
    ],
)
def test_bad_points_are_refused(points: list[int | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toom_cook(3, 3, points)
    with pytest.raises(TypeError, match="not exact"):
        toom_cook(3, 3, [0, 1, -1, 0.5])  # type: ignore[list-item]


def test_published_points_have_names_wherever_their_number_serves() -> None:
    """Points and infinity, as columns of Vandermonde's ``A^T``: entry 1 over entry 0."""

    def points(a: Bilinear) -> set[Fraction]:
        return {abs(a.AT[1][n] / a.AT[0][n]) for n in range(a.products - 1)}

    assert points(algorithm("F4-nova")) == points(algorithm("F2-nova", 5)) == {0, Fraction(5, 6), Fraction(7, 6)}
    assert points(algorithm("F6-nova")) == points(algorithm("F4-nova", 5)) == {0, Fraction(3, 5), 1, Fraction(7, 6)}
    assert points(algorithm("F4-barabasz")) == {0, 1, Fraction(1, 2), 3}
    assert points(algorithm("F4-alam")) == {0, Fraction(2, 3), Fraction(3, 2)}
    assert points(algorithm("F6-paper")) == {0, 1, 2, Fraction(3, 2)}
    assert "F6-alam" not in algorithm_names(3)


def test_unknown_names_are_refused_with_what_is_allowed() -> None:
    for name in ("F5", "F4-best", "SFC5", "SFC12", "winograd", "", "F4-paper", "SFC6(99999)", "SFC99999"):
        with pytest.raises(ValueError, match=r"unknown algorithm .* allowed: direct, F2, F4, F6"):
            algorithm(name)
    with pytest.raises(ValueError, match="r is 4"):
        algorithm("F4", 4)
    assert algorithm("SFC6(6)").m == 6
