"""The centre of the package: a fast convolution algorithm is one triple of matrices.

``y = A^T [ (G g) * (B^T d) ]`` computes ``m`` outputs of a correlation with ``r`` filter taps and stride ``s`` from
``t = s (m - 1) + r`` inputs with ``n`` products. In two dimensions it is nested:
``Y = A^T [ (G g G^T) * (B^T d B) ] A``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Rational: TypeAlias = int | str | Fraction
Matrix: TypeAlias = tuple[tuple[Fraction, ...], ...]
T = TypeVar("T")
MAX_DIGITS = 100
"""Characters of a number in a file."""


class Growth(NamedTuple):
    """Largest factor by which each stage can enlarge the largest absolute value it is given."""

    input: Fraction
    """``max |B^T d B| / max |d|``."""
    non_negative_input: Fraction
    """The same when no entry of ``d`` is negative, as after a ReLU."""
    weight: Fraction
    """``max |G g G^T| / max |g|``."""
    output: Fraction
    """``max |A^T M A| / max |M|``."""


@dataclass(frozen=True)
class IntegerForm:
    """The same algorithm with the smallest integer ``A^T``, ``G`` and ``B^T``.

    ``y = A^T [ scale * (G g) * (B^T d) ]``: every row of ``G`` and ``B^T`` and every column of ``A^T`` is a
    primitive integer vector, and ``scale`` makes up for it, one rational number per product.
    """

    AT: tuple[tuple[int, ...], ...]
    G: tuple[tuple[int, ...], ...]
    BT: tuple[tuple[int, ...], ...]
    scale: tuple[Fraction, ...]

    @property
    def denominator(self) -> int:
        """Smallest ``D`` for which ``D * y`` needs integers only (per dimension; ``D**2`` in 2-D)."""
        return math.lcm(*(s.denominator for s in self.scale))


@dataclass(frozen=True)
class Bilinear:
    """A bilinear convolution algorithm F(m, r) in exact rational numbers.

    Parameters
    ----------
    name : str
        What reports call it.
    m, r : int
        Outputs and filter taps per dimension, both at least 1.
    AT : m x n matrix
        Output transform. Entries are integers, Fractions or strings such as ``"1/6"``; floats are refused.
    G : n x r matrix
        Weight transform.
    BT : n x t matrix, t = stride * (m - 1) + r
        Input transform.
    stride : int
        Distance of the inputs of two neighbouring outputs, at least 1.

    Raises
    ------
    ValueError
        If a shape does not fit ``m``, ``r`` and ``stride``.
    TypeError
        If an entry is not rational.

    References
    ----------
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, equations 5 and 8.
    """

    name: str
    m: int
    r: int
    AT: Matrix
    G: Matrix
    BT: Matrix
    stride: int = 1

    def __post_init__(self) -> None:
        if self.m < 1 or self.r < 1:
            raise ValueError(f"F({self.m}, {self.r}): m and r must be at least 1")
        if self.stride < 1:
            raise ValueError(f"{self.name}: stride is {self.stride}; it must be at least 1")
        for field in ("AT", "G", "BT"):
            object.__setattr__(self, field, rational_matrix(getattr(self, field)))
        n = len(self.G)
        wanted = {"AT": (self.m, n), "G": (n, self.r), "BT": (n, self.tile)}
        for field, shape in wanted.items():
            matrix: Matrix = getattr(self, field)
            if len(matrix) != shape[0] or any(len(row) != shape[1] for row in matrix):
                strided = "" if self.stride == 1 else f" of stride {self.stride}"
                raise ValueError(
                    f"{self.name}: {field} must be {shape[0]} x {shape[1]} for F({self.m}, {self.r}){strided}"
                )

    @property
    def tile(self) -> int:
        """Inputs per tile and dimension, ``t = stride * (m - 1) + r``."""
        return self.stride * (self.m - 1) + self.r

    @property
    def products(self) -> int:
        """Multiplications per tile and dimension, ``n``."""
        return len(self.G)

    @property
    def taps(self) -> int:
        """Multiplications per tile of the plane, ``n**2``."""
        return self.products**2

    def multiplication_ratio(self, dim: int = 2) -> Fraction:
        """How many times fewer multiplications than direct convolution: ``(m r / n)**dim``.

        Transforms are not counted: they do not depend on the number of channels that a product sums over.
        """
        if dim < 1:
            raise ValueError(f"dim is {dim}; it must be at least 1")
        return Fraction(self.m * self.r, self.products) ** dim

    def defect(self) -> tuple[int, int, int, Fraction] | None:
        """First ``(output i, filter tap k, input j, value)`` at which the convolution identity fails, or None.

        The identity is ``sum_n A[n, i] G[n, k] B[n, j] == 1 if j == stride * i + k else 0``.
        """
        at, g, bt = _whole(self.AT), _whole(self.G), _whole(self.BT)  # integers, which are faster than fractions
        common = at[1] * g[1] * bt[1]
        for i in range(self.m):
            for k in range(self.r):
                weights = [a * row[k] for a, row in zip(at[0][i], g[0], strict=True)]
                for j in range(self.tile):
                    value = sum(w * row[j] for w, row in zip(weights, bt[0], strict=True))
                    if value != common * (j == self.stride * i + k):
                        return i, k, j, Fraction(value, common)
        return None

    def verify(self) -> Self:
        """Prove in rational arithmetic that this is a convolution; return self.

        Raises
        ------
        ValueError
            With the first output, filter tap and input at which it is not.
        """
        if (found := self.defect()) is not None:
            i, k, j, value = found
            raise ValueError(
                f"{self.name} is not a convolution: output {i}, filter tap {k}, input {j} has the factor {value} "
                f"instead of {int(j == self.stride * i + k)}"
            )
        return self

    @cached_property
    def growth(self) -> Growth:
        """Worst-case growth of each stage in two dimensions.

        The extreme of ``sum b_i b_j d_ij`` over ``|d| <= 1`` is the product of the rows' L1 norms. Over
        ``0 <= d <= 1`` it is reached by the ones under the positive (or the negative) coefficients alone.
        """
        signed = [signed_sums(row) for row in self.BT]
        above = max(p * q + n * k for p, n in signed for q, k in signed)
        below = max(p * k + n * q for p, n in signed for q, k in signed)
        return Growth(
            input=l1(self.BT) ** 2,
            non_negative_input=max(above, below),
            weight=l1(self.G) ** 2,
            output=l1(self.AT) ** 2,
        )

    def integer(self) -> IntegerForm:
        """Smallest integer matrices and the scale per product that makes up for them."""
        return integer_form(self.AT, self.G, self.BT)

    @property
    def has_integer_transforms(self) -> bool:
        """Whether ``B^T`` and ``A^T`` are integers, so that ``V`` is exact in integers and only ``G`` has fractions."""
        return all(x.denominator == 1 for matrix in (self.BT, self.AT) for row in matrix for x in row)

    def scaled(self, rows: Sequence[Rational], columns: Sequence[Rational], name: str | None = None) -> Bilinear:
        """Return the same algorithm, rows of ``B^T`` and columns of ``A^T`` times numbers; ``G`` makes up for it.

        Raises
        ------
        ValueError
            If there is not one number for each product, or one is zero.
        """
        by_row, by_column = [rational(x) for x in rows], [rational(x) for x in columns]
        if {len(by_row), len(by_column)} != {self.products} or not all(by_row + by_column):
            raise ValueError(
                f"{self.name} takes {self.products} factors other than 0 per matrix, got {rows}, {columns}"
            )
        at = tuple(tuple(s * x for s, x in zip(by_column, row, strict=True)) for row in self.AT)
        bt = tuple(tuple(s * x for x in row) for s, row in zip(by_row, self.BT, strict=True))
        g = tuple(tuple(x / (b * a) for x in row) for b, a, row in zip(by_row, by_column, self.G, strict=True))
        return replace(self, name=name or self.name, AT=at, G=g, BT=bt)

    def normalized(self) -> Bilinear:
        """Return the same algorithm with primitive integer ``B^T`` and ``A^T``; ``G`` takes the fractions."""
        form = self.integer()
        g = tuple(tuple(s * x for x in row) for s, row in zip(form.scale, form.G, strict=True))
        return replace(self, AT=rational_matrix(form.AT), G=g, BT=rational_matrix(form.BT))

    def to_float(self, dtype: npt.DTypeLike = "float64") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ``(A^T, G, B^T)`` as NumPy arrays, each entry correctly rounded to ``dtype``."""
        import numpy as np

        def convert(matrix: Matrix) -> np.ndarray:
            return np.array([[float(x) for x in row] for row in matrix], dtype=dtype)

        return convert(self.AT), convert(self.G), convert(self.BT)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form; fractions are strings such as ``"-1/6"``, a stride of 1 is left out."""
        return {
            "name": self.name,
            "m": self.m,
            "r": self.r,
            **({} if self.stride == 1 else {"stride": self.stride}),
            **{f: [[str(x) for x in row] for row in getattr(self, f)] for f in ("AT", "G", "BT")},
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read :meth:`to_dict`'s form and prove it.

        Raises
        ------
        ValueError
            If a field is missing or wrong, or if the triple is not a convolution.
        """
        name, m, r, at, g, bt = read_fields(data)
        return cls(name, m, r, at, g, bt, data.get("stride", 1)).verify()


def integer_form(at: Matrix, g: Matrix, bt: Matrix) -> IntegerForm:
    """Return a triple with the smallest integers."""
    b_rows, b_scale = primitive_rows(bt)
    g_rows, g_scale = primitive_rows(g)
    a_columns, a_scale = primitive_rows(transpose(at))
    scale = tuple(a * g * b for a, g, b in zip(a_scale, g_scale, b_scale, strict=True))
    return IntegerForm(AT=transpose(a_columns), G=g_rows, BT=b_rows, scale=scale)


def read_fields(data: dict[str, Any]) -> tuple[Any, ...]:
    """Return what the JSON form of any algorithm holds: name, m, r, ``A^T``, ``G`` and ``B^T``.

    Raises
    ------
    ValueError
        If one is missing.
    """
    names = ("name", "m", "r", "AT", "G", "BT")
    if missing := [name for name in names if name not in data]:
        raise ValueError(f"algorithm description lacks {', '.join(missing)}")
    return tuple(data[name] for name in names)


def rational(value: Rational) -> Fraction:
    """Read an integer, Fraction or string such as ``"-3/2"`` exactly.

    Raises
    ------
    TypeError
        For floats: 0.1 is not 1/10, so the writer must say which is meant.
    ValueError
        For strings that are no rational number, or one of more than 100 digits: files come from strangers.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Fraction):
        raise TypeError(f"{value!r} is not exact; write it as an integer, a Fraction or a string such as '1/2'")
    if isinstance(value, str) and (len(value) > MAX_DIGITS or "e" in value.lower()):
        raise ValueError(
            f"{value[:MAX_DIGITS]!r} is not a rational number such as '1/2' of at most {MAX_DIGITS} digits"
        )
    try:
        return Fraction(value)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{value!r} is not a rational number such as '1/2'") from error


def rational_matrix(rows: Iterable[Iterable[Rational]]) -> Matrix:
    """Read a matrix of rational numbers exactly."""
    return tuple(tuple(rational(x) for x in row) for row in rows)


def transpose(matrix: Sequence[Sequence[T]]) -> tuple[tuple[T, ...], ...]:
    """Exchange rows and columns."""
    return tuple(zip(*matrix, strict=True))


def _whole(matrix: Matrix) -> tuple[list[list[int]], int]:
    """Return a matrix times its common denominator, and that."""
    common = math.lcm(*(x.denominator for row in matrix for x in row))
    return [[int(x * common) for x in row] for row in matrix], common


def l1(matrix: Matrix) -> Fraction:
    """Largest sum of absolute values of a row."""
    return max(sum((abs(x) for x in row), Fraction(0)) for row in matrix)


def signed_sums(row: Sequence[Fraction]) -> tuple[Fraction, Fraction]:
    """Sum of the positive entries, and of the absolute negative ones."""
    return sum((x for x in row if x > 0), Fraction(0)), -sum((x for x in row if x < 0), Fraction(0))


def primitive_rows(
    matrix: Sequence[Sequence[Fraction]],
) -> tuple[tuple[tuple[int, ...], ...], tuple[Fraction, ...]]:
    """Write every row as a positive rational number times an integer row without a common divisor."""
    rows, scales = [], []
    for row in matrix:
        common = math.lcm(*(x.denominator for x in row))
        whole = [int(x * common) for x in row]
        divisor = math.gcd(*whole) or 1
        rows.append(tuple(x // divisor for x in whole))
        scales.append(Fraction(divisor, common))
    return tuple(rows), tuple(scales)
