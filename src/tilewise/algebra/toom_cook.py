"""Toom-Cook / Winograd algorithms from interpolation points, and the trivial direct algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod
from typing import NamedTuple, Self

from tilewise.algebra.bilinear import Bilinear, Rational, rational, transpose


def toom_cook(m: int, r: int, points: Sequence[Rational], name: str | None = None) -> Bilinear:
    """Build F(m, r) from ``m + r - 2`` finite interpolation points and the point at infinity.

    It is the transposition of Toom-Cook polynomial multiplication: with the points ``p_0, p_1, ...``, row i of
    ``A^T`` holds ``p**i``, row n of ``G`` holds ``p_n**k / prod_{l != n}(p_n - p_l)``, and row n of ``B^T`` the
    coefficients of ``prod_{l != n}(x - p_l)``. Rows are then scaled so that ``A^T`` and ``B^T`` are the smallest
    integers, with ``G`` taking the fractions: for {0, 1, -1, 2, -2} these are Lavin's matrices up to signs.

    Parameters
    ----------
    m, r : int
        Outputs and filter taps per dimension.
    points : sequence of int, Fraction or str
        The finite points, all different, such as ``[0, 1, -1, "1/2", -2]``. Infinity is always added.
    name : str, optional
        Defaults to ``"F(m, r) at 0, 1, -1, ..."``.

    Returns
    -------
    Bilinear
        With ``n = m + r - 1`` products, the fewest possible. Proved before it is returned.

    Raises
    ------
    ValueError
        If the number of points is wrong or a point repeats.
    TypeError
        If a point is a float.

    References
    ----------
    Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for DNNs",
    arXiv 1803.10986, section 3.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}): m and r must be at least 1")
    p = [rational(x) for x in points]
    wanted = m + r - 2
    if len(p) != wanted:
        raise ValueError(f"F({m}, {r}) takes {wanted} finite points (infinity is added), got {len(p)}")
    for position, point in enumerate(p):
        if point in p[:position]:
            raise ValueError(f"interpolation point {point} is repeated; all points must be different")

    label = name or f"F({m}, {r}) at {', '.join(map(str, p))}"
    return interpolation(label, m, r, [*p, None]).normalized().verify()


def interpolation(name: str, m: int, r: int, points: Sequence[Fraction | None]) -> Bilinear:
    """Return F(m, r) with monic rows of ``B^T`` and columns of ``A^T`` that begin with 1.

    Parameters
    ----------
    name : str
        What reports call it.
    m, r : int
        Outputs and filter taps per dimension.
    points : sequence of Fraction or None
        ``m + r - 1`` different points in the order of the products, infinity (None) once among them.
    """
    finite = [p for p in points if p is not None]
    at, g, bt = [], [], []
    for point in points:
        others = [q for q in finite if q != point]
        bt.append(_polynomial(others))
        if point is None:
            at.append(_unit(m, m - 1))
            g.append(_unit(r, r - 1))
            continue
        bt[-1].append(Fraction(0))
        at.append([point**i for i in range(m)])
        g.append([point**k / prod((point - q for q in others), start=Fraction(1)) for k in range(r)])
    return Bilinear(name, m, r, transpose(at), tuple(map(tuple, g)), tuple(map(tuple, bt)))


class Interpolation(NamedTuple):
    """What an algorithm of :func:`interpolation` is made of."""

    points: tuple[Fraction | None, ...]
    """Points in the order of the products, None for infinity."""
    rows: tuple[Fraction, ...]
    """Factors of the rows of ``B^T``."""
    columns: tuple[Fraction, ...]
    """Factors of the columns of ``A^T``."""

    @classmethod
    def of(cls, algorithm: Bilinear) -> Self:
        """Read an algorithm's points and scalings.

        Raises
        ------
        ValueError
            If it has none, as it is no interpolation at points and infinity.
        """
        columns, m = transpose(algorithm.AT), algorithm.m
        points = [c[1] / c[0] if m > 1 and c[0] else None for c in columns]
        if points.count(None) == 1 and len(set(points)) == len(points) == algorithm.tile:
            plain = interpolation(algorithm.name, m, algorithm.r, points)
            factors = (
                tuple(_factor(x, y) for x, y in zip(a, b, strict=True))
                for a, b in ((algorithm.BT, plain.BT), (columns, transpose(plain.AT)))
            )
            found = cls(tuple(points), *factors)
            if all(found.rows + found.columns) and plain.scaled(found.rows, found.columns) == algorithm:
                return found
        raise ValueError(f"{algorithm.name} has no interpolation points: it is no Toom-Cook algorithm")


def _factor(row: Sequence[Fraction], plain: Sequence[Fraction]) -> Fraction:
    """What the last entry that is not zero was multiplied by."""
    return next(x / y for x, y in zip(reversed(row), reversed(plain), strict=True) if y)


def direct(m: int, r: int, stride: int = 1) -> Bilinear:
    """Direct convolution as the trivial member: ``m * r`` products, all matrices 0/1."""
    pairs = [(i, k) for i in range(m) for k in range(r)]
    at = tuple(tuple(Fraction(i == o) for i, _ in pairs) for o in range(m))
    g = tuple(tuple(Fraction(k == tap) for tap in range(r)) for _, k in pairs)
    bt = tuple(tuple(Fraction(stride * i + k == j) for j in range(stride * (m - 1) + r)) for i, k in pairs)
    return Bilinear(f"direct({m}, {r})", m, r, at, g, bt, stride).verify()


def _unit(size: int, position: int) -> list[Fraction]:
    return [Fraction(i == position) for i in range(size)]


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of ``prod (x - root)``, constant term first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients
