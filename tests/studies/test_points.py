from __future__ import annotations

from fractions import Fraction

import numpy as np

from tilewise.algebra import algorithm, sfc
from tilewise.studies.points import best_points, candidates, int8_sqnr


def test_the_published_ranking_of_points_holds() -> None:
    sqnr = {
        name: int8_sqnr(algorithm(name)) for name in ("F2", "F4", "F4-textbook", "F6", "F6-paper", "SFC6", "direct")
    }
    assert sqnr["direct"] > sqnr["SFC6"] > sqnr["F2"] > sqnr["F4"] > sqnr["F4-textbook"] > sqnr["F6"] > sqnr["F6-paper"]
    assert sqnr["F4"] - sqnr["F4-textbook"] > 3


def test_more_bits_approach_the_exact_convolution() -> None:
    assert int8_sqnr(sfc(6, 7, 3), bits=16) > 80


def test_best_points_of_f2() -> None:
    ranked = best_points(2, 3)
    assert set(ranked[0][1]) == {Fraction(0), Fraction(1), Fraction(-1)}
    assert ranked == sorted(ranked, reverse=True)


def test_candidates_are_distinct_up_to_mirroring() -> None:
    sets = [frozenset(p) for p in candidates(3)]
    assert len(sets) == len(set(sets))
    assert all(frozenset(-x for x in s) not in sets or s == frozenset(-x for x in s) for s in sets)
    assert np.all([len(s) == 3 for s in sets])
