"""Bilinear algorithms of square tiles that are not nested from one dimension."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Self

from tilewise.algebra.bilinear import (
    Bilinear,
    Growth,
    Matrix,
    l1,
    primitive_rows,
    rational_matrix,
    signed_sums,
    transpose,
)
from tilewise.common.integers import FLOAT64_INTEGERS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Planar:
    """A bilinear algorithm of square tiles in exact rational numbers: ``y = A^T [ (G g) * (B^T d) ]``.

    Tiles are vectors, row by row. ``Planar.nested(algorithm)`` has Kronecker products as matrices; others may take
    fewer products, for transforms that can not be applied to rows and columns.

    Parameters
    ----------
    name : str
        What reports call it.
    m, r : int
        Outputs and filter taps per dimension, both at least 1.
    AT : m**2 x n matrix
        Output transform. Entries are integers, Fractions or strings such as ``"1/6"``; floats are refused.
    G : n x r**2 matrix
        Weight transform.
    BT : n x t**2 matrix, t = m + r - 1
        Input transform.

    Raises
    ------
    ValueError
        If a shape does not fit ``m`` and ``r``.
    TypeError
        If an entry is not rational.
    """

    name: str
    m: int
    r: int
    AT: Matrix
    G: Matrix
    BT: Matrix

    def __post_init__(self) -> None:
        if self.m < 1 or self.r < 1:
            raise ValueError(f"F({self.m}, {self.r}): m and r must be at least 1")
        for field in ("AT", "G", "BT"):
            object.__setattr__(self, field, rational_matrix(getattr(self, field)))
        n = len(self.G)
        wanted = {"AT": (self.m**2, n), "G": (n, self.r**2), "BT": (n, self.tile**2)}
        for field, shape in wanted.items():
            matrix: Matrix = getattr(self, field)
            if len(matrix) != shape[0] or any(len(row) != shape[1] for row in matrix):
                raise ValueError(
                    f"{self.name}: {field} must be {shape[0]} x {shape[1]} for planar F({self.m}, {self.r})"
                )

    @classmethod
    def nested(cls, algorithm: Bilinear) -> Self:
        """Return a one-dimensional algorithm's own two-dimensional form."""
        at, g, bt = (
            tuple(tuple(x * y for x in a for y in b) for a in matrix for b in matrix)
            for matrix in (algorithm.AT, algorithm.G, algorithm.BT)
        )
        return cls(algorithm.name, algorithm.m, algorithm.r, at, g, bt)

    @property
    def tile(self) -> int:
        """Inputs per tile and dimension, ``t = m + r - 1``."""
        return self.m + self.r - 1

    @property
    def products(self) -> int:
        """Multiplications per tile, ``n``."""
        return len(self.G)

    def multiplication_ratio(self) -> Fraction:
        """How many times fewer multiplications than direct convolution: ``(m r)**2 / n``."""
        return Fraction((self.m * self.r) ** 2, self.products)

    def verify(self) -> Self:
        """Prove that this is a convolution; return self.

        The identity is ``sum_n A[n, i] G[n, k] B[n, j] == 1 if j == i + k else 0`` for places i, k and j in the
        plane. It is evaluated in integers.

        Raises
        ------
        ValueError
            With the first output, filter tap and input at which it is not; if its integers are too large for the proof.
        """
        import numpy as np

        form = self.normalized()
        denominator = np.lcm.reduce([x.denominator for row in form.G for x in row])
        whole = replace(form, G=tuple(tuple(x * int(denominator) for x in row) for row in form.G))
        at, g, bt = whole.to_float()
        if self.products * float(np.prod([np.abs(x).max() for x in (at, g, bt)])) >= FLOAT64_INTEGERS:
            raise ValueError(
                f"{self.name}: its integers are too large to be proved in {FLOAT64_INTEGERS.bit_length() - 1} bits"
            )
        places = np.arange(self.tile**2).reshape(self.tile, self.tile)
        taps = places[: self.r, : self.r].reshape(-1)
        for i, first in enumerate(places[: self.m, : self.m].reshape(-1)):
            factors = (at[i][:, None] * g).T @ bt
            wanted = np.zeros_like(factors)
            wanted[np.arange(self.r**2), first + taps] = denominator
            if (factors != wanted).any():
                k, j = (int(x) for x in np.argwhere(factors != wanted)[0])
                value = Fraction(int(factors[k, j]), int(denominator))
                raise ValueError(
                    f"{self.name} is not a convolution: output {divmod(i, self.m)}, filter tap {divmod(k, self.r)}, "
                    f"input {divmod(j, self.tile)} has the factor {value} instead of {int(j == first + taps[k])}"
                )
        return self

    @cached_property
    def growth(self) -> Growth:
        """Worst-case growth of each stage: the largest L1 norm of a row; of inputs from 0 on, of one sign of it."""
        return Growth(
            input=l1(self.BT),
            non_negative_input=max(x for row in self.BT for x in signed_sums(row)),
            weight=l1(self.G),
            output=l1(self.AT),
        )

    def normalized(self) -> Self:
        """Return the same algorithm with primitive integer ``B^T`` and ``A^T``; ``G`` takes the fractions."""
        bt, by_row = primitive_rows(self.BT)
        columns, by_column = primitive_rows(transpose(self.AT))
        g = tuple(tuple(a * b * x for x in row) for a, b, row in zip(by_row, by_column, self.G, strict=True))
        return replace(self, AT=rational_matrix(transpose(columns)), G=g, BT=rational_matrix(bt))

    def to_float(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return ``(A^T, G, B^T)`` as arrays of float64, each entry correctly rounded."""
        import numpy as np

        return tuple(np.array([[float(x) for x in row] for row in matrix]) for matrix in (self.AT, self.G, self.BT))
