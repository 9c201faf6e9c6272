from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tilewise as tw
from tilewise.algebra import algorithm
from tilewise.discovery.simulation import LayerSample, LayerSimulation, Precision
from tilewise.discovery.swarm import maximize
from tilewise.discovery.transforms import Found, TransformSearch, balanced, build, decode, find, held_out, operations
from tilewise.quant.quantizer import largest_v

SMALL: dict[str, Any] = {"m": 4, "r": 3, "particles": 10, "steps": 6, "restarts": 1}
PER_TENSOR = Precision(scales="tensor", hadamard_bits=8)


@pytest.fixture(scope="module")
def scaled() -> Found:
    return find(TransformSearch(**SMALL, scaled=True, precision=PER_TENSOR))


def test_swarm_finds_the_top_of_a_hill() -> None:
    top = np.array([0.3, -0.7, 1.9])
    low, high = np.full(3, -2.0), np.full(3, 2.0)
    steps: list[int] = []
    score, found = maximize(
        lambda x: -float(((x - top) ** 2).sum()), low, high,
        particles=20, steps=80, seed=(1,), on_step=lambda: steps.append(1),
    )  # fmt: skip
    assert found == pytest.approx(top, abs=1e-3)
    assert score == -float(((found - top) ** 2).sum())
    assert len(steps) == 81


def test_swarm_is_never_below_its_start_and_stays_in_the_box() -> None:
    low, high = np.zeros(2), np.ones(2)
    seen: list[Any] = []

    def needle(x: Any) -> float:
        seen.append(x.copy())
        return float((x == 0.25).all())

    score, found = maximize(needle, low, high, particles=3, steps=5, seed=(0,), start=np.array([0.25, 0.25]))
    assert (score, found.tolist()) == (1.0, [0.25, 0.25])
    assert all(((low <= x) & (x <= high)).all() for x in seen)


@given(
    st.integers(2, 6),
    st.integers(2, 5),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["dyadic", "rational"]),
    st.data(),
)
def test_every_position_is_a_convolution(
    m: int, r: int, symmetric: bool, scaled: bool, points: Any, data: st.DataObject
) -> None:
    search = TransformSearch(m=m, r=r, symmetric=symmetric, scaled=scaled, points=points)
    size = m + r - 1
    numbers = data.draw(st.lists(st.floats(-1.5, 1.5), min_size=3 * size - 2, max_size=3 * size - 2))
    place = decode(np.array(numbers[: None if scaled else size - 2]), search)
    found = build(place, search).verify()
    assert found.has_integer_transforms
    assert set(place.points) <= {Fraction(0), *search.pool}
    if symmetric and size % 2 == 0:
        assert {-p for p in place.points} == set(place.points)
    if scaled:
        assert min(place.rows) == min(place.columns) == 0


def test_f4_beats_the_textbook_points() -> None:
    search = TransformSearch(m=4, r=3, particles=30, steps=15, restarts=2, price=0)
    found = find(search)
    assert found.sqnr > held_out(search).sqnr(algorithm("F4-textbook")) + 2
    assert found.sqnr == held_out(search).sqnr(found.algorithm)


def test_scalings_rescue_one_scale_per_tensor(scaled: Found) -> None:
    assert scaled.sqnr > held_out(scaled.search).sqnr(algorithm("F4")) + 15
    assert largest_v(scaled.algorithm, 8) <= 32767
    assert scaled.algorithm.verify().has_integer_transforms


@pytest.mark.parametrize("name", ["F4-textbook", "F6", "SFC6"])
def test_balance_rescues_one_scale_per_tensor(name: str) -> None:
    plain = algorithm(name)
    layer = LayerSimulation(LayerSample.gaussian(3), plain.m, Precision(scales="tensor", hadamard_bits=8))
    assert layer.sqnr(balanced(plain).verify()) > layer.sqnr(plain) + 3


def test_seed_reproduces(scaled: Found) -> None:
    assert find(scaled.search).to_dict() == scaled.to_dict()


def test_price_buys_fewer_operations() -> None:
    cheap = find(TransformSearch(**SMALL, price=1000))
    assert cheap.operations <= operations(algorithm("F4-textbook"))


def test_a_wider_v_buys_better_points() -> None:
    """Those of the form +-c, +-1/c, whose V leaves int16 (Alam et al. 2022)."""
    points: dict[str, Any] = {"points": "rational", "bound": 3, "symmetric": True, "price": 0}
    narrow, wide = (find(TransformSearch(**SMALL, **points, v_bits=bits)) for bits in (16, 24))
    assert largest_v(narrow.algorithm, 8) <= 32767 < largest_v(wide.algorithm, 8)
    assert wide.sqnr > narrow.sqnr + 1
    assert set(wide.place.points) == {0, *(Fraction(s * n, 6) for n in (4, 9) for s in (1, -1))}


def test_operations_are_additions_and_shifts() -> None:
    assert operations(algorithm("F2")) == 8  # 4 additions for B^T, 4 for A^T
    assert operations(algorithm("F4-textbook")) < operations(algorithm("F4"))


def test_a_file_stands_for_a_name(scaled: Found, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    scaled.save(path)
    assert tw.algorithm(str(path)) == scaled.algorithm
    spec = tw.Winograd(str(path), scales="tensor")
    assert spec.resolve(3) == scaled.algorithm
    path.unlink()
    assert spec.resolve(3) == scaled.algorithm  # the spec holds it
    assert spec.to_dict()["algorithm"]["name"] == scaled.algorithm.name


def test_what_fails_the_proof_is_never_saved(scaled: Found, tmp_path: Path) -> None:
    wrong = replace(scaled.algorithm, G=[[2 * x for x in row] for row in scaled.algorithm.G])
    with pytest.raises(ValueError, match="not a convolution"):
        replace(scaled, algorithm=wrong).save(tmp_path / "found.json")
    assert not list(tmp_path.iterdir())


def test_given_data_are_searched_on() -> None:
    rng = np.random.default_rng(5)
    sample = LayerSample(rng.standard_normal((1, 4, 14, 14)), rng.standard_normal((4, 4, 3, 3)))
    found = find(TransformSearch(**SMALL), sample)
    assert found.sqnr == held_out(found.search, sample).sqnr(found.algorithm)
    with pytest.raises(ValueError, match=r"weights have the shape \(4, 4, 3, 3\); r is 5"):
        find(TransformSearch(m=2, r=5), sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 12}, r"F\(12, 3\) is out of reach; m and r must be at least 2, and together at most 13"),
        ({"r": 1}, r"F\(4, 1\) is out of reach"),
        ({"points": "real"}, "points is 'real'; allowed: dyadic, rational"),
        ({"bound": 1}, r"bound is 1, which leaves 2 dyadic points; F\(4, 3\) takes 4"),
        ({"price": float("nan")}, "price is nan"),
        ({"price": -1.0}, r"price is -1\.0"),
        ({"particles": 0}, "particles is 0; it must be at least 1"),
        ({"v_bits": 0}, "v_bits is 0; it must be at least 1"),
        ({"restarts": 0}, "restarts is 0; it must be at least 1"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformSearch(**{**SMALL, **change})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not JSON"),
        ("[1]", "holds a list, not the description of an algorithm"),
        ('{"name": "x"}', "lacks m, r"),
        (json.dumps(algorithm("F2").to_dict() | {"G": [["1", "1", "1"]] * 4}), "not a convolution"),
    ],
)
def test_bad_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        tw.Winograd(str(path))
    with pytest.raises(ValueError, match=message):
        tw.algorithm(str(path))


def test_a_file_serves_its_own_taps_only(scaled: Found, tmp_path: Path) -> None:
    scaled.save(tmp_path / "f.json")
    with pytest.raises(ValueError, match="is for r = 3, not for 5x5"):
        tw.algorithm(str(tmp_path / "f.json"), 5)
    with pytest.raises(FileNotFoundError):
        tw.algorithm(str(tmp_path / "absent.json"))
