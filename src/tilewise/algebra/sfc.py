"""Symbolic Fourier convolution: a short cyclic DFT in small integers, plus correction products."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias, TypeVar

from tilewise.algebra.bilinear import Bilinear, Matrix, transpose
from tilewise.algebra.planar import Factors, Planar

# A DFT of length N stays in integers when it is written with a root of unity w as a symbol and reduced by its
# minimal polynomial. For these lengths w is 1, -1 or quadratic, so a number is a pair p + q*w at most.
QUADRATIC = (3, 4, 6)

# By the Chinese remainder theorem (Good and Thomas) a DFT of length 3 * 4 is one of length 3 over one of length 4.
COMPOSED = {12: (3, 4)}

ORDERS = (*QUADRATIC, *COMPOSED)
"""DFT lengths; docs/contracts/algorithms.md has why there are no others."""

# order of w -> w**2 = a + b*w
SQUARE = {3: (-1, -1), 4: (-1, 0), 6: (-1, 1)}

# order of w -> 2 * real part of w**e, for e = 0 .. order - 1
DOUBLE_COSINE = {3: (2, -1, -1), 4: (2, 0, -2, 0), 6: (2, 1, -1, -2, -1, 1)}


T = TypeVar("T")
Vector: TypeAlias = tuple[Fraction, ...]


class Row(NamedTuple):
    """One product: its column of ``A^T``, its row of ``G`` and its row of ``B^T``."""

    at: Vector
    g: Vector
    bt: Vector


def sfc(order: int, m: int, r: int) -> Bilinear:
    """Build the symbolic Fourier convolution SFC-order(m, r).

    A cyclic correlation of length N = ``order`` over N neighbouring inputs of the tile is computed in the Fourier
    domain: one product per real frequency, three per complex one (Karatsuba). Output i of the tile differs
    from the cyclic one where filter tap k meets an input outside that window; each such pair costs one correction
    product ``g_k * (d_{i+k} - d_{wrapped})``. All transforms are small integers over the common denominator N.
    The window is placed where it needs the fewest corrections.

    Parameters
    ----------
    order : {3, 4, 6, 12}
        DFT length.
    m, r : int
        Outputs and filter taps per dimension; ``order <= m + r - 1``.

    Returns
    -------
    Bilinear
        For example ``sfc(6, 7, 3)``: 12 products for 7 outputs (144 for 7x7, where direct needs 441), with
        ``|V| <= 36 |d|``. Proved before it is returned.

    Raises
    ------
    ValueError
        If the order is not served or exceeds the tile.

    References
    ----------
    He et al., "SFC: Achieve Accurate Fast Convolution under Low-precision Arithmetic", ICML 2024,
    arXiv 2407.02913, sections 4.1 and 4.2. The growth printed there for SFC-6 is 64; multiplying out
    ``(p + q)(u + v)`` instead of ``(p - q)(v - u)`` at the sixth root of unity brings it to 36.
    """
    window = _Window.of(order, m, r)
    rows = [window.placed(row, 1) for row in _cyclic(order, 1)] + window.corrections()
    at, g, bt = zip(*rows, strict=True)
    return Bilinear(f"SFC{order}({m}, {r})", m, r, tuple(zip(*at, strict=True)), g, bt).normalized().verify()


def planar_sfc(order: int, m: int, r: int) -> Planar:
    """Build SFC-order(m, r) in two dimensions, with fewer products than nesting :func:`sfc` takes.

    Of the N x N frequencies of a real tile those at ``f`` and ``-f`` are conjugate, so that one of the two is
    enough: two complex numbers, six products, for a complex frequency of the rows and one of the columns. Nesting takes
    three products for the one times three for the other, nine. Corrections stay nested.

    Parameters
    ----------
    order, m, r
        As for :func:`sfc`.

    Returns
    -------
    Planar
        For example ``planar_sfc(6, 7, 3)`` with 132 products instead of 144. Proved before it is returned.

    Raises
    ------
    ValueError
        As :func:`sfc`.
    """
    window = _Window.of(order, m, r)
    cyclic = [window.placed(row, 1) for row in _cyclic(order, 1)]
    rows = [window.placed(row, 2) for row in _cyclic(order, 2)]
    rows += [Row(*map(_kron, x, y)) for x, y in _beside(cyclic, window.corrections())]
    at, g, bt = zip(*rows, strict=True)
    name = f"SFC{order}-planar({m}, {r})"
    return Planar(name, m, r, transpose(at), g, bt, _factors(window)).normalized().verify()


def _beside(cyclic: Sequence[T], corrections: Sequence[T]) -> Iterable[tuple[T, T]]:
    """Pairs of products of one dimension that stay nested: those with a correction."""
    yield from itertools.product(cyclic, corrections)
    yield from itertools.product(corrections, [*cyclic, *corrections])


def _factors(window: _Window) -> Factors:
    """Return the factors of :func:`planar_sfc`'s transforms.

    By rows and columns go the parts of frequencies, one number for a real and two for a complex one, and the inputs and
    outputs of corrections. What is mixed are the products of a frequency, and two frequencies of rows and columns.
    """
    order, basis = window.order, _frequency_basis(window.order)
    corrections = window.corrections()
    found = []
    for of_tile in (Row._fields.index("at"), Row._fields.index("bt")):
        distinct = list(dict.fromkeys(row[of_tile] for row in corrections))
        placed = [window.placed(Row(*[part] * 3), 1)[of_tile] for part in basis]
        rest = [Fraction(0)] * len(distinct)
        one = [(*_in_basis(row[of_tile], basis, 1), *rest) for row in _cyclic(order, 1)]
        corrected = [(*[Fraction(0)] * order, *(Fraction(row[of_tile] == x) for x in distinct)) for row in corrections]
        mixing = [_padded(_in_basis(row[of_tile], basis, 2), order, len(distinct)) for row in _cyclic(order, 2)]
        mixing += [_kron(x, y) for x, y in _beside(one, corrected)]
        found.append(((*placed, *distinct), tuple(mixing)))
    (at, back), (bt, into) = found
    return Factors(transpose(at), transpose(back), into, bt)


def _padded(square: Vector, size: int, more: int) -> Vector:
    """A square of numbers with more columns and rows of zeros."""
    rows = [(*square[i * size : (i + 1) * size], *[Fraction(0)] * more) for i in range(size)]
    return tuple(itertools.chain(*rows, [Fraction(0)] * more * (size + more)))


@functools.cache
def _frequency_basis(order: int) -> Matrix:
    """Rows that span the sequences of a period: for each frequency those that begin with 1, or with 1, 0 and 0, 1."""
    if order in COMPOSED:
        one, two = COMPOSED[order]
        pairs = itertools.product(_frequency_basis(one), _frequency_basis(two))
        return tuple(tuple(x[i % one] * y[i % two] for i in range(order)) for x, y in pairs)
    rows: list[Vector] = []
    for frequency in range(order // 2 + 1):
        w = order // math.gcd(order, frequency)
        parts = zip(*(_power(i, w) if w > 2 else ((-1) ** (i % w),) for i in range(order)), strict=True)
        rows += [tuple(map(Fraction, part)) for part in parts]
    return tuple(rows)


def _in_basis(x: Vector, basis: Matrix, dim: int) -> Vector:
    """Return the numbers by which a vector is a sum of rows of a basis, or of their Kronecker products."""
    inverse = _inverse(basis)
    if dim == 1:
        return tuple(
            sum((v * row[j] for v, row in zip(x, inverse, strict=True) if v and row[j]), Fraction(0))
            for j in range(len(x))
        )
    size = len(basis)
    rows = [_in_basis(x[i * size : (i + 1) * size], basis, 1) for i in range(size)]
    columns = [_in_basis(column, basis, 1) for column in transpose(rows)]
    return tuple(itertools.chain(*transpose(columns)))


@functools.cache
def _inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a matrix that has one."""
    size = len(matrix)
    rows = [[*row, *(Fraction(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(k for k in range(i, size) if rows[k][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(size):
            if k != i and rows[k][i]:
                rows[k] = [x - rows[k][i] * y for x, y in zip(rows[k], rows[i], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)


def _kron(a: Vector, b: Vector) -> Vector:
    zero = Fraction(0)  # most values are
    return tuple(x * y if x and y else zero for x in a for y in b)


class _Window(NamedTuple):
    """The ``order`` neighbouring inputs of a tile that the cyclic correlation takes, from ``start`` on."""

    order: int
    m: int
    r: int
    start: int

    @classmethod
    def of(cls, order: int, m: int, r: int) -> _Window:
        """Place the window where it needs the fewest corrections."""
        if order not in ORDERS:
            raise ValueError(f"order is {order}; symbolic Fourier convolution serves {', '.join(map(str, ORDERS))}")
        if m < 1 or r < 1:
            raise ValueError(f"F({m}, {r}): m and r must be at least 1")
        tile = m + r - 1
        if order > tile:
            raise ValueError(f"order {order} exceeds the tile of {tile} inputs of F({m}, {r})")
        places = (cls(order, m, r, start) for start in range(tile - order + 1))
        return min(places, key=lambda w: (len(w.outside()), abs(2 * w.start + order - tile)))

    def outside(self) -> list[tuple[int, int]]:
        """Pairs (output, filter tap) whose input lies outside."""
        inside = range(self.start, self.start + self.order)
        return [(i, k) for i in range(self.m) for k in range(self.r) if i + k not in inside]

    def corrections(self) -> list[Row]:
        """Products that add what the cyclic correlation lacks, one for each pair."""
        return [self._correction(i, k) for i, k in self.outside()]

    def _correction(self, i: int, k: int) -> Row:
        bt = [Fraction(j == i + k) for j in range(self.m + self.r - 1)]
        bt[self.start + (i + k - self.start) % self.order] = Fraction(-1)
        at, g = (tuple(Fraction(j == one) for j in range(size)) for one, size in ((i, self.m), (k, self.r)))
        return Row(at, g, tuple(bt))

    def placed(self, row: Row, dim: int) -> Row:
        """Return a product of the cycle, or of the cycle of rows and columns (``dim`` 2), as one of the tile."""
        inputs = range(-self.start, self.m + self.r - 1 - self.start)
        where: tuple[list[int | None], ...] = (
            [(i - self.start) % self.order for i in range(self.m)],
            [k % self.order for k in range(self.r)],
            [j if 0 <= j < self.order else None for j in inputs],
        )
        return Row(*(self._gathered(x, places, dim) for x, places in zip(row, where, strict=True)))

    def _gathered(self, x: Vector, where: Sequence[int | None], dim: int) -> Vector:
        """Values at places; zero where there is none."""
        places = itertools.product(where, repeat=dim)
        return tuple(Fraction(0) if None in p else x[self._number(p)] for p in places)

    def _number(self, place: Iterable[int | None]) -> int:
        return functools.reduce(lambda number, p: number * self.order + (p or 0), place, 0)


@functools.cache
def _cyclic(order: int, dim: int) -> list[Row]:
    """Products of the correlation ``y_i = sum_k g_k d_(i + k)``, all indices modulo ``order``, in 1 or 2 dimensions."""
    places = list(itertools.product(range(order), repeat=dim))
    if order in COMPOSED:
        one, two = COMPOSED[order]
        numbers = [(_in_cycle(place, one), _in_cycle(place, two)) for place in places]
        pairs = itertools.product(_cyclic(one, dim), _cyclic(two, dim))
        return [
            Row(*(tuple(x[a] * y[b] for a, b in numbers) for x, y in zip(first, second, strict=True)))
            for first, second in pairs
        ]
    opposite = {f: tuple(-part % order for part in f) for f in places}
    frequencies = [f for f in places if f <= opposite[f]]  # of two conjugate ones the first
    return [row for f in frequencies for row in _frequency(order, [_dot(f, place) for place in places])]


def _in_cycle(place: Iterable[int], order: int) -> int:
    """Number of a place in the cycle of a divisor of its order."""
    return functools.reduce(lambda number, p: number * order + p % order, place, 0)


def _dot(a: Iterable[int], b: Iterable[int]) -> int:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _power(exponent: int, w: int) -> tuple[int, int]:
    """``w**exponent`` as ``p + q*w``."""
    p, q = 1, 0
    a, b = SQUARE[w]
    for _ in range(exponent % w):
        p, q = q * a, p + q * b
    return p, q


def _frequency(order: int, exponents: Sequence[int]) -> list[Row]:
    """Products of one frequency and its conjugate, which has the powers ``exponents`` of the root of unity.

    ``y_i = 1/n sum_f D_f conj(G)_f w^{-f i}`` over n places.
    """
    common = math.gcd(order, *exponents)
    w, powers = order // common, [e // common for e in exponents]  # the frequency's own root
    unit = Fraction(1, len(exponents))
    if w <= 2:
        signs = tuple(Fraction((-1) ** (e % w)) for e in powers)
        return [Row(tuple(s * unit for s in signs), signs, signs)]

    d, g = [_power(e, w) for e in powers], [_power(-e, w) for e in powers]
    # D*G = (p + q w)(u + v w) = pu + (pv + qu) w + qv w^2 with three products pu, qv and the mixed one,
    # (p + s q)(u + s v) = pu + qv + s (pv + qu). The sign s is the one that keeps the mixed transforms smallest.
    s = min((1, -1), key=lambda sign: sum(abs(p + sign * q) for p, q in d))
    a, b = SQUARE[w]
    # Twice the real part of (x + y w) w^{-e}, as factors of x and y; then collected per product.
    factors = [(unit * DOUBLE_COSINE[w][-e % w], unit * DOUBLE_COSINE[w][(1 - e) % w]) for e in powers]
    columns = [(x - s * y, a * x + (b - s) * y, s * y) for x, y in factors]
    filters = [(u, v, u + s * v) for u, v in g]
    inputs = [(p, q, p + s * q) for p, q in d]
    transposed = (zip(*entries, strict=True) for entries in (columns, filters, inputs))
    return [Row(*(tuple(map(Fraction, x)) for x in row)) for row in zip(*transposed, strict=True)]
