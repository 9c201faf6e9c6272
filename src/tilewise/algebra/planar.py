"""Bilinear algorithms of square tiles that are not nested from one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from tilewise.algebra.bilinear import (
    Bilinear,
    Growth,
    IntegerForm,
    Matrix,
    integer_form,
    l1,
    primitive_rows,
    rational_matrix,
    read_fields,
    signed_sums,
    transpose,
)
from tilewise.common.integers import FLOAT64_INTEGERS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Factors:
    """How the transforms of a tile go by rows and columns, but for a mixing beside the products.

    ``B^T = into (bt x bt)`` and ``A^T = (at x at) back`` with Kronecker products: inputs go through ``bt`` by columns
    and by rows, are mixed into the products' factors, and the products back into what goes through ``at``.

    Parameters
    ----------
    at : m x p matrix
    back : p**2 x n matrix
    into : n x q**2 matrix
    bt : q x t matrix
    """

    at: Matrix
    back: Matrix
    into: Matrix
    bt: Matrix

    @property
    def whole(self) -> tuple[Matrix, Matrix]:
        """``A^T`` and ``B^T``."""
        columns = [_mixed(column, transpose(self.at)) for column in transpose(self.back)]
        return transpose(columns), tuple(_mixed(row, self.bt) for row in self.into)

    def scaled(self, rows: Sequence[Fraction], columns: Sequence[Fraction]) -> Self:
        """Return the factors of rows of ``B^T`` and columns of ``A^T`` over these numbers."""
        into = tuple(tuple(x / by for x in row) for row, by in zip(self.into, rows, strict=True))
        back = tuple(tuple(x / by for x, by in zip(row, columns, strict=True)) for row in self.back)
        return replace(self, into=into, back=back)


def _mixed(factors: Sequence[Fraction], rows: Matrix) -> tuple[Fraction, ...]:
    """Return the sum of Kronecker products of pairs of rows, each times its factor."""
    size = len(rows[0])
    total = [Fraction(0)] * size**2
    for place, factor in enumerate(factors):
        if factor:
            one, two = (rows[i] for i in divmod(place, len(rows)))
            for i, x in enumerate(one):
                for j, y in enumerate(two):
                    if x and y:
                        total[i * size + j] += factor * x * y
    return tuple(total)


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
    factors : Factors, optional
        What ``A^T`` and ``B^T`` are made of, for programs that take fewer additions.

    Raises
    ------
    ValueError
        If a shape does not fit ``m`` and ``r``, or factors are not those of the matrices.
    TypeError
        If an entry is not rational.
    """

    name: str
    m: int
    r: int
    AT: Matrix
    G: Matrix
    BT: Matrix
    factors: Factors | None = field(default=None, compare=False)
    stride: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.m < 1 or self.r < 1:
            raise ValueError(f"F({self.m}, {self.r}): m and r must be at least 1")
        for name in ("AT", "G", "BT"):
            object.__setattr__(self, name, rational_matrix(getattr(self, name)))
        n = len(self.G)
        wanted = {"AT": (self.m**2, n), "G": (n, self.r**2), "BT": (n, self.tile**2)}
        for name, shape in wanted.items():
            matrix: Matrix = getattr(self, name)
            if len(matrix) != shape[0] or any(len(row) != shape[1] for row in matrix):
                raise ValueError(
                    f"{self.name}: {name} must be {shape[0]} x {shape[1]} for planar F({self.m}, {self.r})"
                )
        if self.factors is not None and self.factors.whole != (self.AT, self.BT):
            raise ValueError(f"{self.name}: its factors are not those of its matrices")

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

    @property
    def taps(self) -> int:
        """Multiplications per tile of the plane: the same, what :attr:`Bilinear.taps` is of nested algorithms."""
        return self.products

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
        whole = replace(form, G=tuple(tuple(x * int(denominator) for x in row) for row in form.G), factors=None)
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
        factors = None if self.factors is None else self.factors.scaled(by_row, by_column)
        return replace(self, AT=rational_matrix(transpose(columns)), G=g, BT=rational_matrix(bt), factors=factors)

    @property
    def has_integer_transforms(self) -> bool:
        """Whether ``B^T`` and ``A^T`` are integers, so that ``V`` is exact in integers and only ``G`` has fractions."""
        return all(x.denominator == 1 for matrix in (self.BT, self.AT) for row in matrix for x in row)

    def integer(self) -> IntegerForm:
        """Smallest integer matrices and the scale per product that makes up for them."""
        return integer_form(self.AT, self.G, self.BT)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form; fractions are strings such as ``"-1/6"``."""
        matrices = {name: [[str(x) for x in row] for row in getattr(self, name)] for name in ("AT", "G", "BT")}
        return {"name": self.name, "m": self.m, "r": self.r, "planar": True, **matrices}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form and prove it.

        Raises
        ------
        ValueError
            If a field is missing or wrong, or if the triple is not a convolution.
        """
        name, m, r, at, g, bt = read_fields(data)
        return cls(name, m, r, at, g, bt).verify()

    def to_float(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return ``(A^T, G, B^T)`` as arrays of float64, each entry correctly rounded."""
        import numpy as np

        return tuple(np.array([[float(x) for x in row] for row in matrix]) for matrix in (self.AT, self.G, self.BT))
