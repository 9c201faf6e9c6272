"""Toom-Cook / Winograd algorithms from interpolation points, and the trivial direct algorithm."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from tilewise.algebra.bilinear import Bilinear, Rational, exact


def toom_cook(m: int, r: int, points: Sequence[Rational], name: str | None = None) -> Bilinear:
    """Build F(m, r) from ``m + r - 2`` finite interpolation points and the point at infinity.

    It is the transposition of Toom-Cook polynomial multiplication: with the points ``p_0, p_1, ...``, row i of
    ``A^T`` holds ``p**i``, row n of ``G`` holds ``p_n**k / prod_{l != n}(p_n - p_l)``, and row n of ``B^T`` the
    coefficients of ``prod_{l != n}(x - p_l)``. Rows are then scaled so that ``A^T`` and ``B^T`` are the smallest
    integers, with ``G`` taking the fractions: for {0, 1, -1, 2, -2} these are Lavin's matrices up to signs.

    Parameters
    ----------
    m, r : int
        Outputs and taps per dimension.
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
    p = [exact(x) for x in points]
    wanted = m + r - 2
    if len(p) != wanted:
        raise ValueError(f"F({m}, {r}) takes {wanted} finite points (infinity is added), got {len(p)}")
    for position, point in enumerate(p):
        if point in p[:position]:
            raise ValueError(f"interpolation point {point} is repeated; all points must be different")

    others = [[q for q in p if q != point] for point in p]
    at_columns = [[point**i for i in range(m)] for point in p] + [_unit(m, m - 1)]
    g = [
        [point**k / prod((point - q for q in rest), start=Fraction(1)) for k in range(r)]
        for point, rest in zip(p, others, strict=True)
    ] + [_unit(r, r - 1)]
    bt = [[*_polynomial(rest), Fraction(0)] for rest in others] + [_polynomial(p)]
    at = tuple(zip(*at_columns, strict=True))
    label = name or f"F({m}, {r}) at {', '.join(map(str, p))}"
    return Bilinear(label, m, r, at, tuple(map(tuple, g)), tuple(map(tuple, bt))).normalized().verify()


def direct(m: int, r: int) -> Bilinear:
    """Direct convolution as the trivial member: ``m * r`` products, all matrices 0/1."""
    pairs = [(i, k) for i in range(m) for k in range(r)]
    at = tuple(tuple(Fraction(i == o) for i, _ in pairs) for o in range(m))
    g = tuple(tuple(Fraction(k == tap) for tap in range(r)) for _, k in pairs)
    bt = tuple(tuple(Fraction(i + k == j) for j in range(m + r - 1)) for i, k in pairs)
    return Bilinear(f"direct({m}, {r})", m, r, at, g, bt).verify()


def _unit(size: int, position: int) -> list[Fraction]:
    return [Fraction(i == position) for i in range(size)]


def _polynomial(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients of ``prod (x - root)``, constant term first."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients
