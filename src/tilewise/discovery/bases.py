"""Transforms in two steps, through another base of polynomials, where everything is quantized on the way.

Barabasz, "Quantaized Winograd/Toom-Cook Convolution for DNNs: Beyond Canonical Polynomials Base", arXiv 2004.11077,
applies each transform as a product of two matrices: one changes the base from powers of x to Legendre polynomials, the
other evaluates, or interpolates, in that base. The product of the two is the canonical matrix, so that in exact
arithmetic, and in the layers here, where V is an exact integer and U is computed once in float, it is the same
algorithm, number for number. A difference is only where matrices, or what lies between the steps, are rounded, as here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import numpy as np

from tilewise.algebra import Bilinear
from tilewise.discovery.simulation import Array, Sample, output_tiles, tiles_of
from tilewise.quant.quantizer import FLOAT_BITS, check_bits
from tilewise.quant.rounding import round_half_up

Base: TypeAlias = Literal["canonical", "Legendre"]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Widths where all is quantized, with one scale per tensor, as in the papers.

    Parameters
    ----------
    bits : int
        2 to 16, or 32 for float: input, weights, what lies between two steps, U and V.
    matrix_bits : int
        The same for each transform matrix, or factor of one.
    hadamard_bits : int
        The same for M, and what lies between the two steps after it.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    bits: int = 8
    matrix_bits: int = 8
    hadamard_bits: int = 8

    def __post_init__(self) -> None:
        for field in ("bits", "matrix_bits", "hadamard_bits"):
            check_bits(getattr(self, field), field)


def legendre(size: int) -> Array:
    """Give the coefficients of the monic Legendre polynomials below a degree, one in each row, constant terms first."""
    rows = [[Fraction(1)], [Fraction(0), Fraction(1)]]
    for k in range(1, size - 1):
        before = [*rows[k - 1], Fraction(0), Fraction(0)]
        rows.append(
            [a - Fraction(k * k, 4 * k * k - 1) * b for a, b in zip([Fraction(0), *rows[k]], before, strict=True)]
        )
    return np.array([[float(x) for x in row] + [0.0] * (size - len(row)) for row in rows[:size]])


def factors(algorithm: Bilinear, base: Base) -> tuple[list[Array], list[Array], list[Array]]:
    """Factors of ``A^T``, ``G`` and ``B^T`` in the order in which they are applied; their products are the matrices.

    Rows of ``G`` are powers of a point: ``G c = (G L^T) (L^-T c)``, with Legendre coefficients ``L^-T c`` between;
    columns of ``A^T`` are powers too, and ``B^T`` is the inverse of such a matrix, transposed.
    """
    at, g, bt = algorithm.to_float()
    if base == "canonical":
        return [at], [g], [bt]
    of_outputs, of_taps, of_inputs = (legendre(size) for size in (algorithm.m, algorithm.r, algorithm.tile))
    from_outputs, from_taps, from_inputs = (np.asarray(np.linalg.inv(x)) for x in (of_outputs, of_taps, of_inputs))
    return [of_outputs @ at, from_outputs], [from_taps.T, g @ of_taps.T], [of_inputs, bt @ from_inputs]


def base_sqnr(algorithm: Bilinear, base: Base, sample: Sample, contract: Contract) -> float:
    """Signal-to-quantization-noise ratio in dB of one layer's output."""
    at, g, bt = ([_rounded(x, contract.matrix_bits) for x in steps] for steps in factors(algorithm, base))
    k, c, r, _ = sample.weights.shape
    tiles = tiles_of(sample, algorithm.m)
    v = _through(bt, tiles.reshape(algorithm.tile**2, -1), contract.bits).reshape(-1, c, tiles.shape[-1])
    u = _through(g, sample.weights.transpose(2, 3, 0, 1).reshape(r * r, -1), contract.bits).reshape(-1, k, c)
    product = (u @ v).reshape(len(u), -1)
    got = _through(at, product, contract.hadamard_bits, last=FLOAT_BITS)
    wanted = output_tiles(sample, tiles, algorithm.m)
    return float(10 * np.log10((wanted**2).mean() / max(((got - wanted) ** 2).mean(), 1e-300)))


def _through(steps: Sequence[Array], x: Array, bits: int, *, last: int | None = None) -> Array:
    """Round ``x``, apply matrices to rows and columns, and round after each (after the last to other bits)."""
    x = _rounded(x, bits)
    for number, matrix in enumerate(steps, 1):
        width = bits if last is None or number < len(steps) else last
        x = _rounded(np.kron(matrix, matrix) @ x, width)
    return x


def _rounded(x: Array, bits: int) -> Array:
    """Round to a symmetric grid that covers the largest value."""
    if bits == FLOAT_BITS:
        return x
    step = max(np.abs(x).max(), 1e-30) / (2 ** (bits - 1) - 1)
    return np.asarray(round_half_up(x / step) * step)


BASES: tuple[Base, ...] = ("canonical", "Legendre")
CONTRACTS = (Contract(), Contract(hadamard_bits=9), Contract(bits=9, matrix_bits=9, hadamard_bits=9))
"""Those of :func:`compared`."""


def compared(algorithms: Iterable[Bilinear], *, seed: int = 1) -> list[dict[str, Any]]:
    """Simulate one layer of Gaussian data by each algorithm in both bases.

    Returns
    -------
    list of dict
        ``name``, ``base``, ``sqnr``: dB for each of :data:`CONTRACTS`, in that order.
    """
    rows = []
    for algorithm in algorithms:
        sample = Sample.gaussian(algorithm.r, images=4, seed=seed)
        for base in BASES:
            sqnr = [base_sqnr(algorithm, base, sample, contract) for contract in CONTRACTS]
            rows.append({"name": algorithm.name, "base": base, "sqnr": sqnr})
    return rows
