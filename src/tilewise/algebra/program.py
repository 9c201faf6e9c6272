"""Matrices as straight-line programs: a transform with its common subexpressions computed once.

A fast convolution's ``B^T`` and ``A^T`` are small integer matrices whose rows share much: F6 needs ``x1 + x2`` in every
row for one of a pair of points, and SFC's rows are sums of the same few sums. The programs here are what the native
kernels run (they are generated from them) and, where sums of floats must come out the same on every machine, what fixes
their order (docs/contracts/numbers.md).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tilewise.algebra.planar import Factors

Term: TypeAlias = tuple[int, int]
"""A coefficient, never 0, and the number of a value."""
Row: TypeAlias = dict[int, int]
"""Coefficients by the number of the value."""

UNROLLED = (
    ("F2", 3, 1), ("F4", 3, 1), ("F6", 3, 1), ("SFC6", 3, 1),
    ("F2", 5, 1), ("F4", 5, 1), ("SFC6", 5, 1), ("SFC6(7)", 5, 1), ("SFC6(5)", 5, 1),
    ("F2", 3, 2), ("F4", 3, 2),
)  # fmt: skip
"""Name, filter taps and stride of the algorithms whose programs the kernels are compiled with."""

MAX_PRODUCTS = 26
"""Most products for each dimension that the kernels take of a nested algorithm; named planar ones take more in all."""

PLANAR = (("SFC6-planar", 3), ("SFC6-planar(7)", 3))
"""The same of planar ones, of stride 1."""


@dataclass(frozen=True)
class Program:
    """``steps[k]`` is a sum of terms, added from left to right; it is value number ``inputs + k``.

    Parameters
    ----------
    inputs : int
        Values 0 .. inputs - 1 are what the program is given.
    steps : tuple of tuple of (int, int)
        Terms of each sum: coefficient and number of the value, which is an input or an earlier step.
    outputs : tuple of int
        Which steps are the rows of the matrix, in order.
    """

    inputs: int
    steps: tuple[tuple[Term, ...], ...]
    outputs: tuple[int, ...]

    @property
    def additions(self) -> int:
        """Additions and subtractions."""
        return sum(max(0, len(step) - 1) for step in self.steps)

    @property
    def multiplications(self) -> int:
        """Products with coefficients other than 1 and -1."""
        return sum(abs(coefficient) != 1 for step in self.steps for coefficient, _ in step)

    def matrix(self) -> list[list[int]]:
        """Return the matrix that the program computes, by running it on the unit vectors."""
        values = [[int(i == j) for j in range(self.inputs)] for i in range(self.inputs)]
        for step in self.steps:
            values.append([sum(c * values[number][j] for c, number in step) for j in range(self.inputs)])
        return [values[self.inputs + step] for step in self.outputs]


def program(matrix: Sequence[Sequence[int]]) -> Program:
    """Find a program for a matrix of integers.

    Greedy elimination of common subexpressions: as long as some ``a * x_i + b * x_j`` (up to a factor) occurs in two
    rows or more, the most frequent one becomes a value of its own; of equally frequent ones the one with the fewest
    products, then the first. Then each row adds up its terms by the size of their coefficient, multiplying each sum
    of several terms once. Deterministic: the result is part of the number contract.

    Parameters
    ----------
    matrix : sequence of sequences of int
        Rows of equal length, none of them zero.

    Raises
    ------
    ValueError
        If there is no row, or one is zero.
    """
    rows = [{j: int(x) for j, x in enumerate(row) if x} for row in matrix]
    if not rows or not all(rows):
        raise ValueError("the matrix has no row, or a row of zeros; a program needs something to add")
    inputs = len(matrix[0])
    steps: list[tuple[Term, ...]] = []
    while (shared := _most_shared(rows)) is not None:
        steps.append(shared)
        rows = [_replaced(row, shared, inputs + len(steps) - 1) for row in rows]
    outputs = []
    for row in rows:
        steps += _sums(row, inputs + len(steps))
        outputs.append(len(steps) - 1)
    return Program(inputs, tuple(steps), tuple(outputs))


def output_program(factors: Factors) -> Program:
    """Return the program of a planar ``A^T``: those of its factors one after another, ``at`` by columns, then by rows.

    Parameters
    ----------
    factors : Factors
        Of integers.
    """
    back, at = (program([[int(x) for x in row] for row in matrix]) for matrix in (factors.back, factors.at))
    size, steps = at.inputs, list(back.steps)
    mixed = [back.inputs + step for step in back.outputs]
    half = [_append(at, mixed[b::size], steps, back.inputs) for b in range(size)]
    outputs = [row for i in range(len(factors.at)) for row in _append(at, [h[i] for h in half], steps, back.inputs)]
    return Program(back.inputs, tuple(steps), tuple(number - back.inputs for number in outputs))


def _append(part: Program, numbers: Sequence[int], steps: list[tuple[Term, ...]], inputs: int) -> list[int]:
    """Append the steps of a program on the values ``numbers``; return the numbers of its outputs."""
    places = [*numbers, *range(inputs + len(steps), inputs + len(steps) + len(part.steps))]
    steps += [tuple((c, places[number]) for c, number in step) for step in part.steps]
    return [places[part.inputs + step] for step in part.outputs]


def _primitive(i: int, a: int, j: int, b: int) -> tuple[Term, Term]:
    """Return ``a * x_i + b * x_j`` without common factor, its first coefficient positive."""
    divisor = math.gcd(a, b) if a > 0 else -math.gcd(a, b)
    return (a // divisor, i), (b // divisor, j)


def _most_shared(rows: Sequence[Row]) -> tuple[Term, Term] | None:
    counts: Counter[tuple[Term, Term]] = Counter()
    for row in rows:
        numbers = sorted(row)
        for place, i in enumerate(numbers):
            counts.update(_primitive(i, row[i], j, row[j]) for j in numbers[place + 1 :])
    best = min(counts, key=lambda pair: (-counts[pair], sum(abs(c) != 1 for c, _ in pair), _place(pair)), default=None)
    return None if best is None or counts[best] < 2 else best


def _place(pair: tuple[Term, Term]) -> tuple[int, int, int, int]:
    (a, i), (b, j) = pair
    return i, j, a, b


def _replaced(row: Row, shared: tuple[Term, Term], number: int) -> Row:
    """Write a row with the shared sum as a value, where it occurs."""
    (a, i), (b, j) = shared
    if i not in row or j not in row or row[i] * b != row[j] * a:
        return row
    rest = {k: c for k, c in row.items() if k not in (i, j)}
    return rest | {number: row[i] // a}


def _sums(row: Row, first: int) -> list[tuple[Term, ...]]:
    """Steps that add up a row: terms of equal size first among themselves, then times their size."""
    steps: list[tuple[Term, ...]] = []
    total: list[Term] = []
    for size in sorted({abs(c) for c in row.values()}):
        group = sorted(((1 if c > 0 else -1), number) for number, c in row.items() if abs(c) == size)
        group.sort(key=lambda term: (-term[0], term[1]))
        if size == 1:
            total += group
        elif len(group) == 1:
            total.append((size * group[0][0], group[0][1]))
        else:
            sign = group[0][0]
            steps.append(tuple((sign * s, number) for s, number in group))
            total.append((size * sign, first + len(steps) - 1))
    total.sort(key=lambda term: term[0] < 0)  # begins without a negation where it can
    return [*steps, tuple(total)]
