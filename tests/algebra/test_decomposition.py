"""Strided and large convolutions out of pieces: proved, counted, refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.algebra import Bilinear, algorithm, algorithm_names, decompose, direct, sfc, toom_cook
from tilewise.algebra.decomposition import pieces
from tilewise.quant import Winograd

POINTS = (0, 1, -1, 2, -2, "1/2", "-1/2", 3, -3, "1/3")


def served(m: int, r: int) -> Bilinear:
    return toom_cook(m, r, POINTS[: m + r - 2])


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9))
def test_pieces_have_every_tap_once_and_none_too_many(r: int, stride: int, most: int) -> None:
    found = pieces(r, stride, most)
    taps = [piece.first + stride * k for piece in found for k in range(piece.taps)]
    assert sorted(taps) == list(range(r))
    assert max(piece.taps for piece in found) <= most


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 4), st.integers(1, 5))
def test_a_sum_of_pieces_is_a_convolution(m: int, r: int, stride: int, most: int) -> None:
    a = decompose(m, r, stride, served, most=most)
    assert a.verify().tile == stride * (m - 1) + r
    assert a.products == sum(m + piece.taps - 1 for piece in pieces(r, stride, most))
    assert a.has_integer_transforms
    assert Bilinear.from_dict(a.to_dict()) == a
    assert a.scaled([2] * a.products, ["1/3"] * a.products).verify().normalized() == a


@given(st.integers(1, 4), st.integers(1, 5), st.integers(2, 3))
def test_pieces_may_be_of_any_family(m: int, r: int, stride: int) -> None:
    assert decompose(m, r, stride, direct).products == m * r
    fourier = decompose(m + 3, r, stride, lambda m, r: sfc(4, m, r) if r > 1 else direct(m, 1))
    assert fourier.verify().growth.input <= 16


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3))
def test_direct_has_a_stride_too(m: int, r: int, stride: int) -> None:
    a = direct(m, r, stride)
    assert (a.products, a.tile) == (m * r, stride * (m - 1) + r)


@pytest.mark.parametrize(
    ("name", "r", "stride", "pieces", "products"),
    [
        ("F2", 3, 2, "2+1", 5),
        ("F4", 3, 2, "2+1", 9),
        ("F6", 3, 2, "2+1", 13),
        ("F4", 5, 2, "3+2", 11),
        ("F4", 7, 2, "4+3", 13),
        ("F4", 7, 1, "4+3", 13),
        ("SFC6", 3, 2, "2+1", 17),
        ("SFC6", 7, 2, "4+3", 19),
    ],
)
def test_named_ones_have_the_expected_pieces(name: str, r: int, stride: int, pieces: str, products: int) -> None:
    a = algorithm(name, r, stride)
    assert a.name.endswith(f" of {pieces} taps")
    assert (a.products, a.stride) == (products, stride)
    assert Winograd(name).resolve(r, stride) == a


def test_strided_ones_fit_the_engine() -> None:
    for r in (3, 5, 7):
        assert algorithm_names(r, 2) == ["direct", "F2", "F4", "F6", "SFC3", "SFC4", "SFC6"]
        sizes = {name: algorithm(name, r, 2) for name in ("F2", "F4", "F6", "SFC4", "SFC6")}
        assert all(max(a.products, a.tile) <= 20 for a in sizes.values())


def test_a_stride_of_one_is_not_written() -> None:
    assert "stride" not in algorithm("F4").to_dict()
    assert algorithm("F4", 3, 2).to_dict()["stride"] == 2


def test_verify_finds_a_wrong_stride() -> None:
    a = algorithm("F2", 3, 2)
    with pytest.raises(ValueError, match="BT must be 5 x 4"):
        replace(a, stride=1)
    moved = [row[1:] + row[:1] for row in a.BT]
    with pytest.raises(ValueError, match="is not a convolution"):
        replace(a, BT=moved).verify()


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="stride is 0; it must be at least 1"):
        decompose(2, 3, 0, served)
    with pytest.raises(ValueError, match="most is 0"):
        decompose(2, 3, 2, served, most=0)
    with pytest.raises(ValueError, match=r"must be F\(2, 2\) of stride 1"):
        decompose(2, 3, 2, lambda m, r: direct(m, r + 1))
    with pytest.raises(ValueError, match="stride is 0"):
        replace(algorithm("F2"), stride=0)
    with pytest.raises(ValueError, match=r"stride is 3; named algorithms serve \(1, 2\)"):
        algorithm("F4", 3, 3)
    with pytest.raises(
        ValueError, match="unknown algorithm 'F4-textbook' for 3x3 kernels of stride 2; allowed: direct"
    ):
        algorithm("F4-textbook", 3, 2)
    with pytest.raises(ValueError, match="is for stride 2, not for stride 1"):
        Winograd(algorithm("F4", 3, 2)).resolve(3)
