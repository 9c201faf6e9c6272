"""Transforms through Legendre's base: the same algorithm, and what rounding on the way makes of it."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from tilewise.algebra import algorithm
from tilewise.discovery.bases import BASES, CONTRACTS, Base, Contract, base_sqnr, compared, factors, legendre
from tilewise.discovery.simulation import Sample

FLOAT = Contract(bits=32, matrix_bits=32, hadamard_bits=32)


def test_legendre_polynomials_are_monic_and_orthogonal() -> None:
    rows = legendre(7)
    assert (np.diag(rows) == 1).all()
    assert rows[2].tolist()[:3] == [-1 / 3, 0, 1]
    x, weights = np.polynomial.legendre.leggauss(12)
    values = rows @ np.vander(x, 7, increasing=True).T
    np.testing.assert_allclose((values * weights) @ values.T, np.diag((values**2) @ weights), atol=1e-14)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("name", "r"), [("F2", 3), ("F4", 3), ("F6", 3), ("F4", 5)])
def test_the_factors_are_the_algorithm(name: str, r: int, base: Base) -> None:
    a = algorithm(name, r)
    for steps, own in zip(factors(a, base), a.to_float(), strict=True):
        assert len(steps) == (1 if base == "canonical" else 2)
        product = functools.reduce(lambda x, step: step @ x, steps)
        np.testing.assert_allclose(product, own, atol=1e-12 * np.abs(own).max())
    assert base_sqnr(a, base, Sample.gaussian(r), FLOAT) > 200


def test_more_bits_keep_more() -> None:
    for row in compared([algorithm("F2"), algorithm("F4-textbook")]):
        assert len(row["sqnr"]) == len(CONTRACTS)
        assert row["sqnr"][0] < row["sqnr"][1] < row["sqnr"][2]


def test_bad_widths_are_refused() -> None:
    for field in ("bits", "matrix_bits", "hadamard_bits"):
        with pytest.raises(ValueError, match=f"{field} is 1; allowed: 2 to 16"):
            Contract(**{field: 1})
