"""Models of what operations take: convolutions by what they execute, element operations by the bytes that they move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tilewise.algebra import Planar, algorithm
from tilewise.latency.candidates import BITS, Candidate, Dtype
from tilewise.latency.operations import ends_bytes
from tilewise.latency.records import Convolution, Operation, Record
from tilewise.quant import FLOAT_BITS

RATES = {
    "call": 2e6,
    "products, float32": 1.2e11,
    "products, bf16": 2.4e11,
    "products, int16": 4e11,
    "products, int8": 8e11,
    "transformed": 2e10,
    "weight bytes": 2e10,
    "end bytes": 5e10,
}
"""Per second, on one core with AVX-512-VNNI: calls; operations of matrix products, two for each multiply-add, by the
type of their factors; values of a row or column that a transform multiplies and adds; bytes of weights, which come from
farther away, and of activations."""
LEARNED = 3.0
"""How many times as long a transform takes that has no zeros."""
LANES, GROUP = 16, 4
"""Channels are computed in multiples of 16, as they lie in memory; but input channels of direct convolutions of 4."""
RIDGE = 1e-3
"""What the square of a rate's own deviation counts beside the mean square of the records' relative errors."""
LEAST = 0.02
"""Smallest factor on the time that one rate gives, beside what all have in common."""


@dataclass(frozen=True)
class ConvolutionModel:
    """A convolution's time as a sum of amounts over rates: between measured points only the ratio to it changes.

    What is left changes slowly from point to point, while tiles that stand over the edge of a map, and algorithms that
    are bound by other stages, do not.

    Parameters
    ----------
    rates : mapping of str to float
        Amounts per second, by the names of :data:`RATES`.
    """

    rates: Mapping[str, float] = field(default_factory=lambda: RATES)

    @classmethod
    def fit(cls, records: Iterable[Record]) -> Self:
        """Fit the rates to convolutions: squares of relative errors are least, and no rate is negative.

        Few records, or records of one algorithm, do not tell all rates apart. What they leave open is as much faster or
        slower than in :data:`RATES` as all records together are.
        """
        kept = [(r.work, r.seconds) for r in records if isinstance(r.work, Convolution) and r.seconds > 0]
        if not kept:
            return cls()
        shares = np.array([[v / RATES[k] / seconds for k, v in amounts(work).items()] for work, seconds in kept])
        whole = shares.sum(1)
        common = float(whole.sum() / (whole @ whole))
        factors = (common * factor for factor in _fitted(common * shares))
        return cls({name: rate / factor for (name, rate), factor in zip(RATES.items(), factors, strict=True)})

    def seconds(self, work: Convolution) -> float:
        """Return the model's time of a convolution."""
        return sum(amount / self.rates[name] for name, amount in amounts(work).items())


def _fitted(shares: NDArray[np.float64]) -> list[float]:
    """Return factors on columns that bring the sums of rows nearest to 1, themselves near 1 and not below the least."""
    rows, columns = shares.shape
    weight = np.sqrt(RIDGE * rows)
    left = np.concatenate([shares, weight * np.eye(columns)])
    right = np.concatenate([np.ones(rows), np.full(columns, weight)])
    factors, free = np.full(columns, LEAST), np.ones(columns, bool)
    while free.any():
        rest = right - left[:, ~free].sum(1) * LEAST
        factors[free] = np.linalg.lstsq(left[:, free], rest)[0]
        if (factors[free] >= LEAST).all():
            break
        free &= factors >= LEAST
        factors[~free] = LEAST
    return [float(factor) for factor in factors]


def amounts(work: Convolution) -> dict[str, float]:
    """Return what a convolution executes, by the names of :data:`RATES`.

    Notes
    -----
    Channels, of a group, count rounded up. A fast one makes ``tiles * n**2 * C * K`` products, tiles at the edge
    counted whole. Its transforms are applied to rows, then to columns: ``n * t * (n + t)`` multiply-adds per tile and
    input channel, ``m * n * (m + n)`` per output channel. Those of planar ones do that with ``n = t``, and mix numbers
    for each product. Float transforms take twice as long.
    """
    shape, candidate = work.shape, work.candidate
    per_tile, tiles = _tiling(work)
    c = _round_up(shape.in_channels // shape.groups, GROUP if candidate.algorithm == "direct" else LANES)
    k = _round_up(shape.out_channels, LANES)
    found = dict.fromkeys(RATES, 0.0) | {"call": 1.0}
    found[f"products, {_factors(candidate)}"] = 2.0 * per_tile * tiles * c * k
    if candidate.algorithm != "direct":
        m, n, t, mixed, _, times = _sizes(work)
        dense = LEARNED if candidate.transforms == "learned" or candidate.residue else 1.0
        wide = 2.0 if BITS[candidate.dtype] == FLOAT_BITS else 1.0
        into, out = n * t * (n + t) + mixed, m * n * (m + n) + mixed
        found["transformed"] = wide * dense * times * tiles * (into * c + out * k)
    found["weight bytes"] = weight_bytes(work)
    found["end bytes"] = ends_bytes(work)
    return found


def weight_bytes(work: Convolution) -> int:
    """Bytes of weights, as they are multiplied."""
    item = {"int8": 1, "int16": 2, "bf16": 2, "float32": 4}[_factors(work.candidate)]
    return item * work.shape.in_channels // work.shape.groups * work.shape.out_channels * _tiling(work)[0]


def _factors(candidate: Candidate) -> Dtype:
    """Return the type of what is multiplied: lossless kernels mostly take 16-bit factors to give 8-bit layers' sums."""
    bytes_only = candidate.residue is not None and candidate.residue[1] == BITS["int8"]
    return "int16" if candidate.lossless and not bytes_only else candidate.dtype


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _tiling(work: Convolution) -> tuple[int, int]:
    """Return products per tile and pair of channels, and the number of tiles; a direct one's tiles are pixels."""
    shape = work.shape
    rows, cols = shape.out
    if work.candidate.algorithm == "direct":
        return shape.kernel[0] * shape.kernel[1], shape.batch * rows * cols
    m, *_, taps, times = _sizes(work)
    return times * taps, shape.batch * -(-rows // m) * -(-cols // m)


class _Sizes(NamedTuple):
    """A tile's outputs, numbers between the sides of a transform, and inputs per dimension."""

    m: int
    n: int
    t: int
    mixed: int
    """Products of a planar algorithm."""
    taps: int
    times: int
    """How often all is done: for each modulus."""


def _sizes(work: Convolution) -> _Sizes:
    r = work.shape.kernel[0]
    if residue := work.candidate.residue:
        m, bits = residue
        t = m + r - 1
        return _Sizes(m, t, t, 0, t**2, 2 if bits == 13 else 3)
    a = algorithm(work.candidate.algorithm, r, work.shape.stride[0])
    if isinstance(a, Planar):
        return _Sizes(a.m, a.tile, a.tile, a.taps, a.taps, 1)
    return _Sizes(a.m, a.products, a.tile, 0, a.taps, 1)


@dataclass(frozen=True)
class ElementModel:
    """``start + bytes / rate`` seconds, fitted to one kind of operation.

    Parameters
    ----------
    start : float
        Seconds that an operation takes whatever its size.
    per_byte : float
        Seconds for each byte of activations read or written.
    low, high : int
        Fewest and most bytes that were measured: beyond them nothing is said.
    """

    start: float
    per_byte: float
    low: int
    high: int

    @classmethod
    def fit(cls, records: Sequence[Record]) -> Self | None:
        """Fit to records that move anything, so that the squares of relative errors are least; None without any."""
        records = [r for r in records if ends_bytes(r.work)]
        if not records:
            return None
        size = np.array([ends_bytes(r.work) for r in records], float)
        seconds = np.array([max(r.seconds, 1e-9) for r in records])
        low, high = int(size.min()), int(size.max())
        if low == high:
            return cls(float(np.median(seconds)), 0.0, low, high)
        terms = np.stack([np.ones_like(size), size], 1) / seconds[:, None]
        (start, per_byte), *_ = np.linalg.lstsq(terms, np.ones_like(size))
        if start < 0 or per_byte < 0:  # small ones say nothing about the slope, or nothing about the start
            start, per_byte = (0.0, float(np.median(seconds / size))) if start < 0 else (float(np.median(seconds)), 0.0)
        return cls(float(start), float(per_byte), low, high)

    def seconds(self, work: Operation) -> float:
        """Return the seconds of an operation.

        Raises
        ------
        ValueError
            If it moves fewer or more bytes than any that was measured.
        """
        size = ends_bytes(work)
        if not self.low <= size <= self.high:
            raise ValueError(
                f"{work} moves {size} bytes; of {work.op} {self.low} to {self.high} were measured: measure a network "
                "with it (tilewise measure --model)"
            )
        return self.start + self.per_byte * size
