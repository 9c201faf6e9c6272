"""Candidates: texts, specs, what is refused."""

from __future__ import annotations

import pytest

import tilewise as tw
from tilewise.latency import CANDIDATES, Candidate
from tilewise.latency.candidates import check_candidates


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_texts_and_specs_round_trip(candidate: Candidate) -> None:
    assert Candidate.parse(str(candidate)) == candidate
    assert Candidate.of(candidate.spec(), candidate.precision) == candidate


def test_of_specs() -> None:
    assert str(Candidate.of(tw.Winograd("F4", bits=5, transforms="learned"))) == "F4 learned int8"
    assert str(Candidate.of(tw.Winograd("SFC6", bits=9))) == "SFC6 int16"
    assert str(Candidate.of(tw.Winograd(tw.algorithm("F2"), bits=32))) == "F2 float32"
    assert str(Candidate.of(tw.Direct(bits=16))) == "direct int16"
    assert str(Candidate.of(tw.Exact("SFC6"), "bf16")) == "exact SFC6 int8"
    assert str(Candidate.of(tw.Direct(bits=32), "bf16")) == "direct bf16"
    assert str(Candidate.of(tw.Direct(bits=8), "bf16")) == "direct int8"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("F9 int8", "unknown algorithm 'F9'"),
        ("F4 int4", "dtype is 'int4'; allowed: float32, bf16, int16, int8"),
        ("F4", "candidate is 'F4'; allowed"),
        ("F4 frozen int8", "candidate is 'F4 frozen int8'; allowed"),
        ("direct learned int8", "no transforms to learn"),
    ],
)
def test_bad_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Candidate.parse(text)


def test_lists_of_candidates() -> None:
    assert check_candidates(["F4 int8", Candidate("F4", "int8")]) == (Candidate("F4", "int8"),)
    with pytest.raises(ValueError, match="there are no candidates; allowed: at least one"):
        check_candidates([])
    with pytest.raises(ValueError, match="precision is 'fp8'"):
        Candidate.of(tw.Direct(bits=32), "fp8")
