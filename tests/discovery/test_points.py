from __future__ import annotations

from fractions import Fraction

import numpy as np

from tilewise.discovery.points import best_points, candidates


def test_best_points_of_f2() -> None:
    ranked = best_points(2, 3)
    assert set(ranked[0][1]) == {Fraction(0), Fraction(1), Fraction(-1)}
    assert ranked == sorted(ranked, reverse=True)


def test_candidates_are_distinct_up_to_mirroring() -> None:
    sets = [frozenset(p) for p in candidates(3)]
    assert len(sets) == len(set(sets))
    assert all(frozenset(-x for x in s) not in sets or s == frozenset(-x for x in s) for s in sets)
    assert np.all([len(s) == 3 for s in sets])
