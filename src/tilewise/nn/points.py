"""Learned transforms that stay a convolution: interpolation points and scalings are trained, matrices follow."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tilewise.algebra import Bilinear
from tilewise.algebra.toom_cook import Interpolation, interpolation
from tilewise.nn.transforms import Matrices, Static
from tilewise.quant.quantizer import TRANSFORM_ENTRY, TRANSFORM_ROW_SUM, transform_bits

POOL = tuple(sorted({Fraction(s * n, d) for n in range(1, 5) for d in (1, 2, 4) for s in (1, -1)}))
"""Points that can be reached, beside 0 and infinity: dyadic ones with small numbers, which keep ``B^T`` small."""

EXPONENT = 12
"""Columns of ``A^T`` are scaled by powers of two up to this one and its inverse."""


class Interpolating(Static):
    """Points, and powers of two on the rows of ``B^T`` and the columns of ``A^T``, are learned.

    The matrices are those of :func:`tilewise.algebra.toom_cook.interpolation` at the admissible set of points nearest
    to the learned ones: dyadic, all different, and with a ``B^T`` that lies on the grid of learned transforms
    (docs/contracts/numbers.md) as it is. So the triple is a convolution in rational numbers after every step. Gradients
    are those of the closed formulas, and pass straight through the rounding. 0 and infinity stay.

    Parameters
    ----------
    algorithm : Bilinear
        Where to begin: Toom-Cook with points of :data:`POOL`, 0 and infinity.

    Raises
    ------
    ValueError
        If the algorithm has no points, or other ones, or its ``B^T`` no grid.
    """

    names = ("points", "row_exponents", "column_exponents")

    def __init__(self, algorithm: Bilinear) -> None:
        super().__init__(algorithm)
        found, grid = Interpolation.of(algorithm), transform_bits(algorithm.BT)
        moving = [p for p in found.points if p]
        if wrong := [str(p) for p in moving if p not in POOL]:
            allowed = ", ".join(str(p) for p in POOL if p > 0)
            raise ValueError(
                f"{algorithm.name} has the points {', '.join(wrong)}; exact transforms allow +-({allowed})"
            )
        if wrong := [str(x) for x in found.rows + found.columns if math.frexp(x)[0] != 0.5]:
            raise ValueError(f"{algorithm.name} is scaled by {', '.join(wrong)}; exact transforms allow powers of two")
        if grid is None:
            raise ValueError(
                f"{algorithm.name} is too large for exact transforms: its B^T has no grid of 8-bit numbers"
            )
        self.grid = grid
        self._start = found
        self._sets = admissible(len(moving))

    def start(self) -> dict[str, npt.NDArray[np.float64]]:
        """The points beside 0 and infinity in the order of their products, and all exponents of two."""
        rows, columns = (np.log2([float(x) for x in factors]) for factors in self._start[1:])
        points = np.array([float(p) for p in self._start.points if p])
        return dict(zip(self.names, (points, rows, columns), strict=True))

    def used(self, parameters: Mapping[str, Tensor], like: Tensor) -> Matrices:
        """Give the matrices of :meth:`reached`, with the gradients of the closed formulas."""
        place = self._place(parameters)
        at, g, bt = (torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in _matrices(place))
        if not torch.is_grad_enabled():
            return at, g, bt
        smooth = _formulas(place, parameters)
        at, g, bt = (x + (s - s.detach()).to(x) for x, s in zip((at, g, bt), smooth, strict=True))
        return at, g, bt

    def reached(self, parameters: Mapping[str, Tensor]) -> Bilinear:
        """Give the algorithm that is used, proved.

        Raises
        ------
        ValueError
            If a parameter is not finite.
        """
        return _algorithm(self._place(parameters))

    def _place(self, parameters: Mapping[str, Tensor]) -> _Place:
        points, rows, columns = (parameters[name].detach().cpu().double().numpy() for name in self.names)
        if not all(np.isfinite(x).all() for x in (points, rows, columns)):
            raise ValueError(f"points {points.tolist()}, or exponents, are not finite; training has diverged")
        nearest = self._sets[((self._sets - np.sort(points)) ** 2).sum(1).argmin()]
        moving = iter(nearest[points.argsort().argsort()].tolist())  # the smallest for the smallest
        chosen = tuple(Fraction(next(moving)) if p else p for p in self._start.points)
        limits = _exponents(self.algorithm.m, self.algorithm.r, chosen, self.grid)
        return _Place(
            self.algorithm.m, self.algorithm.r, chosen,
            tuple(min(max(round(x), low), high) for x, (low, high) in zip(rows.tolist(), limits, strict=True)),
            tuple(min(max(round(x), -EXPONENT), EXPONENT) for x in columns.tolist()),
        )  # fmt: skip


class _Place(NamedTuple):
    """Where learned points and exponents of two are rounded to."""

    m: int
    r: int
    points: tuple[Fraction | None, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]


@functools.lru_cache(maxsize=1024)
def _algorithm(place: _Place) -> Bilinear:
    rows, columns = ([Fraction(2) ** e for e in exponents] for exponents in (place.rows, place.columns))
    return _plain(place.m, place.r, place.points).scaled(rows, columns).verify()


@functools.lru_cache(maxsize=1024)
def _matrices(place: _Place) -> tuple[npt.NDArray[np.float64], ...]:
    return _algorithm(place).to_float()


@functools.lru_cache(maxsize=1024)
def _plain(m: int, r: int, points: tuple[Fraction | None, ...]) -> Bilinear:
    label = ", ".join("infinity" if p is None else str(p) for p in points)
    return interpolation(f"F({m}, {r}) at {label}", m, r, points)


@functools.lru_cache(maxsize=1024)
def _exponents(m: int, r: int, points: tuple[Fraction | None, ...], grid: int) -> list[tuple[int, int]]:
    """Smallest and largest power of two times which each row of ``B^T`` lies on the grid, within its bound."""
    limits = []
    for row in _plain(m, r, points).BT:
        sums, entry = sum(abs(x) for x in row), max(abs(x) for x in row)
        room = min(Fraction(2 * TRANSFORM_ROW_SUM - len(row), 2) / sums, TRANSFORM_ENTRY / entry) / 2**grid
        digits = max(x.denominator for x in row).bit_length() - 1
        limits.append((digits - grid, math.floor(math.log2(room))))
    return limits


def _formulas(place: _Place, parameters: Mapping[str, Tensor]) -> Matrices:
    """Give the matrices as functions of the parameters, in float64, at the place that they are rounded to."""
    device, size = parameters["points"].device, len(place.points)

    def straight(name: str, values: Sequence[float | Fraction]) -> Tensor:
        smooth = parameters[name].double()
        return smooth + (torch.tensor([float(x) for x in values], dtype=torch.float64, device=device) - smooth).detach()

    points = straight("points", [p for p in place.points if p])
    rows, columns = (straight(f"{x}_exponents", getattr(place, f"{x}s")).exp2() for x in ("row", "column"))
    finite = [n for n, p in enumerate(place.points) if p is not None]
    infinity = place.points.index(None)
    moving = torch.tensor([n for n, p in enumerate(place.points) if p], device=device)
    p = points.new_zeros(size).index_put((moving,), points)[finite]
    others = torch.stack([torch.cat([p[:i], p[i + 1 :]]) for i in range(len(p))])

    at, g, bt = (p.new_zeros(shape) for shape in ((place.m, size), (size, place.r), (size, size)))
    at[:, finite] = p ** torch.arange(place.m, device=device).unsqueeze(1)
    at[-1, infinity] = 1
    differences = (p.unsqueeze(1) - others).prod(1, keepdim=True)
    g[finite] = p.unsqueeze(1) ** torch.arange(place.r, device=device) / differences
    g[infinity, -1] = 1
    bt[finite, :-1] = _coefficients(others)
    bt[infinity] = _coefficients(p.unsqueeze(0))[0]
    return at * columns, g / (rows * columns).unsqueeze(1), bt * rows.unsqueeze(1)


def _coefficients(roots: Tensor) -> Tensor:
    """Coefficients of ``prod (x - root)`` for each row of roots, constant term first."""
    result = roots.new_ones(len(roots), 1)
    for root in roots.unbind(1):
        none = torch.zeros_like(result[:, :1])
        result = torch.cat([none, result], 1) - root.unsqueeze(1) * torch.cat([result, none], 1)
    return result


@functools.cache
def admissible(count: int) -> npt.NDArray[np.float64]:
    """Sets of points that the grid of ``B^T`` takes, ascending, shape (sets, count).

    The rows of ``B^T`` are products of ``q x - p`` for points ``p / q``, as integers; that of 0 and infinity has all
    points, the others lack one. Of them none may sum to more than the bound.
    """
    chosen = np.array(list(itertools.combinations(range(len(POOL)), count)))
    p, q = (np.array([getattr(x, part) for x in POOL], dtype=np.int64)[chosen] for part in ("numerator", "denominator"))
    fitting = np.ones(len(chosen), dtype=bool)
    for left_out in (None, *range(count)):
        product = np.ones((len(chosen), 1), dtype=np.int64)
        for i in range(count):
            if i != left_out:
                none = np.zeros_like(product[:, :1])
                product = q[:, i, None] * np.hstack([none, product]) - p[:, i, None] * np.hstack([product, none])
        size = np.abs(product)
        room = TRANSFORM_ROW_SUM - (count + 2) / 2
        fitting &= (size.sum(1) <= room) & (size.max(1) <= TRANSFORM_ENTRY)
    sets: npt.NDArray[np.float64] = np.array([float(x) for x in POOL])[chosen[fitting]]
    return sets
