"""Exact integer convolution by residues: the bilinear triple over Z_p for several small moduli.

``y mod p`` is computed for pairwise coprime moduli p with residues that fit 8 bits, and y is put together from them.
Over Z_p a fraction is an inverse, so tiles may be as large as points are distinct modulo every prime factor of p, and
nothing grows. What comes back is y itself if the product of the moduli exceeds the interval that the sums can fill.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

Integers = tuple[tuple[int, ...], ...]
Number: TypeAlias = Any
"""An int, or an array or tensor of int64."""

MOST_MODULI = 6


@dataclass(frozen=True)
class ResidueAlgorithm:
    """F(m, r) over Z_p: ``y = A^T [ (G g) * (B^T d) ] mod p``; all entries are symmetric residues.

    Made by :func:`residue_toom_cook`, which proves it.
    """

    modulus: int
    m: int
    r: int
    AT: Integers
    G: Integers
    BT: Integers

    @property
    def products(self) -> int:
        """Multiplications per tile and dimension."""
        return len(self.G)

    @property
    def channels(self) -> int:
        """Most input channels whose products of symmetric residues add up within int32."""
        return int((2**31 - 1) // (self.modulus // 2) ** 2)

    def verify(self) -> ResidueAlgorithm:
        """Prove that this is a convolution modulo p; return self.

        Raises
        ------
        ValueError
            With the first output, filter tap and input at which it is not.
        """
        for i, column in enumerate(self.AT):
            for k in range(self.r):
                for j in range(self.m + self.r - 1):
                    terms = zip(column, self.G, self.BT, strict=True)
                    value = sum(a * g[k] * b[j] for a, g, b in terms) % self.modulus
                    if value != (j == i + k):
                        raise ValueError(
                            f"F({self.m}, {self.r}) is not a convolution modulo {self.modulus}: output {i}, filter "
                            f"tap {k}, input {j} has the factor {value} instead of {int(j == i + k)}"
                        )
        return self


def symmetric(value: Number, modulus: int) -> Number:
    """Return the residue nearest 0: for an odd modulus p from ``-(p - 1) / 2`` to ``(p - 1) / 2``."""
    half = modulus // 2
    return (value + half) % modulus - half


def usual_points(count: int) -> list[int]:
    """The finite points 0, 1, -1, 2, -2, ...: pairs that share their transforms' work."""
    return [(n + 1) // 2 * (1 if n % 2 else -1) for n in range(count)]


def residue_toom_cook(m: int, r: int, modulus: int, points: Sequence[int] | None = None) -> ResidueAlgorithm:
    """Build F(m, r) over Z_p from ``m + r - 2`` finite points and infinity, with inverses for fractions.

    Parameters
    ----------
    m, r : int
        Outputs and filter taps per dimension.
    modulus : int
        Odd, at least 3. It may be composite if all differences of points have an inverse.
    points : sequence of int, optional
        The finite points; 0, 1, -1, 2, -2, ... by default.

    Raises
    ------
    ValueError
        If the number of points is wrong, or two of them can not be told apart by a prime factor of the modulus.

    References
    ----------
    Liu and Mattina, "Efficient Residue Number System Based Winograd Convolution", ECCV 2020.
    """
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}): m and r must be at least 1")
    if modulus < 3 or modulus % 2 == 0:
        raise ValueError(f"modulus is {modulus}; it must be odd and at least 3")
    p = usual_points(m + r - 2) if points is None else list(points)
    if len(p) != m + r - 2:
        raise ValueError(f"F({m}, {r}) takes {m + r - 2} finite points (infinity is added), got {len(p)}")
    for x, y in itertools.combinations(p, 2):
        if (common := math.gcd(x - y, modulus)) != 1:
            raise ValueError(
                f"points {x} and {y} are the same modulo {common}, a factor of the modulus {modulus}; "
                "choose another modulus or points"
            )
    others = [[q for q in p if q != x] for x in p]
    scales = [pow(math.prod(x - q for q in rest), -1, modulus) for x, rest in zip(p, others, strict=True)]
    at = [[x**i for i in range(m)] for x in p] + [[int(i == m - 1) for i in range(m)]]
    g = [[s * x**k for k in range(r)] for x, s in zip(p, scales, strict=True)] + [[int(k == r - 1) for k in range(r)]]
    bt = [[*_polynomial(rest), 0] for rest in others] + [_polynomial(p)]
    columns, rows, inputs = (
        tuple(tuple(symmetric(x, modulus) for x in row) for row in matrix) for matrix in (at, g, bt)
    )
    return ResidueAlgorithm(modulus, m, r, tuple(zip(*columns, strict=True)), rows, inputs).verify()


def _polynomial(roots: Iterable[int]) -> list[int]:
    """Coefficients of ``prod (x - root)``, constant term first."""
    coefficients = [1]
    for root in roots:
        coefficients = [high - root * low for high, low in zip([0, *coefficients], [*coefficients, 0], strict=True)]
    return coefficients


@dataclass(frozen=True)
class ModuliSet:
    """Pairwise coprime odd moduli, and how a number comes back from its symmetric residues.

    Raises
    ------
    ValueError
        If there is none, one is even or below 3, or two have a common factor.
    """

    moduli: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.moduli:
            raise ValueError("there is no modulus; at least one is needed")
        for p in self.moduli:
            if p < 3 or p % 2 == 0:
                raise ValueError(f"modulus is {p}; it must be odd and at least 3")
        for p, q in itertools.combinations(self.moduli, 2):
            if math.gcd(p, q) != 1:
                raise ValueError(f"moduli {p} and {q} have the common factor {math.gcd(p, q)}; they must be coprime")

    @property
    def capacity(self) -> int:
        """Largest ``highest - lowest`` of numbers that come back: the product of the moduli less 1."""
        return math.prod(self.moduli) - 1

    def check(self, width: int, m: int, r: int) -> None:
        """Refuse a layer whose sums, which differ by up to ``width``, these moduli can not tell apart.

        Raises
        ------
        ValueError
            With the bound and the smallest set for F(m, r) that suffices.
        """
        if width > self.capacity:
            enough = " * ".join(map(str, moduli_for(width, m, r).moduli))
            raise ValueError(
                f"moduli {' * '.join(map(str, self.moduli))} = {self.capacity + 1} are too few for sums that take "
                f"{width + 1} values; the smallest set that suffices: {enough}"
            )

    def crt(self, residues: Sequence[Number]) -> Number:
        """Chinese remainder theorem: the number nearest 0 with these residues. For Python ints: products are long."""
        total = math.prod(self.moduli)
        parts = [total // p * pow(total // p, -1, p) for p in self.moduli]
        return symmetric(sum(x * part for x, part in zip(residues, parts, strict=True)), total)

    def mixed_radix(self, residues: Sequence[Number]) -> Number:
        """Return the same in mixed radix: every step but the last sum is on numbers of the moduli's size.

        With digits nearest 0 ``x = v_0 + p_0 (v_1 + p_1 (v_2 + ...))`` is the number nearest 0 that has these residues.

        References
        ----------
        Knuth, "The Art of Computer Programming", volume 2, section 4.3.2.
        """
        digits: list[Number] = []
        for i, p in enumerate(self.moduli):
            digit = residues[i]
            for v, q in zip(digits, self.moduli, strict=False):
                digit = symmetric((digit - v) * pow(q, -1, p), p)
            digits.append(symmetric(digit, p))
        x = digits[-1]
        for v, q in zip(reversed(digits[:-1]), reversed(self.moduli[:-1]), strict=True):
            x = v + q * x
        return x


@functools.cache
def usable_moduli(m: int, r: int, bits: int = 8) -> tuple[int, ...]:
    """Odd moduli up to ``2**bits - 1`` whose prime factors tell the usual points of F(m, r) apart, largest first."""
    points = usual_points(m + r - 2)
    span = max(points, default=0) - min(points, default=0)
    differences = math.prod(range(1, span + 1))
    return tuple(p for p in range(2**bits - 1, 2, -2) if math.gcd(p, differences) == 1)


def moduli_for(width: int, m: int, r: int, bits: int = 8) -> ModuliSet:
    """Return the fewest moduli whose product exceeds ``width``, of these the largest.

    Parameters
    ----------
    width : int
        ``highest - lowest`` of the numbers.
    m, r : int
        Tile and filter taps, whose points must differ modulo every prime factor.
    bits : int
        Residues are symmetric numbers of so many bits.

    Raises
    ------
    ValueError
        If six moduli do not suffice.
    """
    candidates = usable_moduli(m, r, bits)[:40]
    for count in range(1, MOST_MODULI + 1):
        best = _largest_set(candidates, count)
        if best and math.prod(best) > width:
            return ModuliSet(best)
    raise ValueError(
        f"sums that differ by {width} need more than {MOST_MODULI} moduli of {bits} bits; block the channels"
    )


def even_moduli(width: int, m: int, r: int, bits: int) -> ModuliSet:
    """Return as few moduli as :func:`moduli_for`, but the smallest that suffice, all about the same size.

    The smaller the residues, the more of their products add up within int32. Arguments and errors are its.
    """
    count = len(moduli_for(width, m, r, bits).moduli)
    ascending = [p for p in reversed(usable_moduli(m, r, bits)) if p**count > width]
    chosen: list[int] = []
    for p in ascending:
        if len(chosen) < count and all(math.gcd(p, q) == 1 for q in chosen):
            chosen.append(p)
    return ModuliSet(tuple(reversed(chosen))) if len(chosen) == count else moduli_for(width, m, r, bits)


@functools.cache
def _largest_set(candidates: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Pairwise coprime numbers of the largest product: depth first, cut where the rest can not catch up."""
    best: tuple[int, ...] = ()

    def extend(chosen: tuple[int, ...], start: int) -> None:
        nonlocal best
        if len(chosen) == count:
            if math.prod(chosen) > math.prod(best):
                best = chosen
            return
        for place in range(start, len(candidates)):
            p = candidates[place]
            if best and math.prod(chosen) * p ** (count - len(chosen)) <= math.prod(best):
                return
            if all(math.gcd(p, q) == 1 for q in chosen):
                extend((*chosen, p), place + 1)

    extend((), 0)
    return best


def product_ratio(m: int, r: int, moduli: int) -> Fraction:
    """How many times fewer products than direct convolution in 2-D, transforms not counted: ``(m r / n)**2 / k``."""
    return Fraction(m * r, m + r - 1) ** 2 / moduli


def total_ratio(m: int, r: int, moduli: int, channels: int, filters: int, *, paired: bool = True) -> Fraction:
    """Return the same with the products of input and output transforms counted; reductions and reconstruction are not.

    Parameters
    ----------
    m, r, moduli : int
        Tile, filter taps, number of residues.
    channels, filters : int
        C and K: an input transform serves K output channels, an output transform C input channels.
    paired : bool
        Whether rows of points ``+-x`` share the even and the odd half of their sums.
    """
    tile = m + r - 1
    inputs = transform_products(tile, tile, paired=paired)
    outputs = transform_products(tile, m, paired=paired)
    each = tile**2 * channels * filters + inputs * channels + outputs * filters
    return Fraction((m * r) ** 2 * channels * filters, moduli * each)


def transform_products(products: int, size: int, *, paired: bool = True) -> int:
    """Products of one 2-D transform between ``products`` points and ``size`` numbers per dimension.

    Dense matrices take ``n s (s + n)``. For the rows of points x and -x one half-sum over even and one over odd places
    serve both: half the products.
    """
    finite = products - 1
    pairs = (finite - 1) // 2 if paired else 0
    return (products - pairs) * size * (size + products)  # both halves of a pair have `size` products together
