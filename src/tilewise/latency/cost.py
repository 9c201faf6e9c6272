"""A model of a convolution's time by what it executes: between measured points only the ratio to it is interpolated.

The rates are round numbers for one core. They need not be right: a rate that is wrong by the same factor everywhere
drops out, and what is left changes slowly from point to point, while tiles that stand over the edge of a map and
algorithms that are bound by other stages do not.
"""

from __future__ import annotations

from tilewise.algebra import algorithm
from tilewise.latency.candidates import BITS, Candidate, Dtype
from tilewise.latency.records import Convolution
from tilewise.latency.works import ends_bytes
from tilewise.quant import FLOAT_BITS

PRODUCTS = {"float32": 1.2e11, "bf16": 2.4e11, "int16": 4e11, "int8": 8e11}
"""Operations per second of matrix products, two for each multiply-add."""

TRANSFORMED = 2e10
"""Values of a row or column that a transform multiplies and adds, per second."""

LEARNED = 3.0
"""How many times as long a transform takes that has no zeros."""

WEIGHT_BYTES, ACTIVATION_BYTES = 2e10, 5e10
"""Read or written per second: weights come from farther away."""

LANES, GROUP = 16, 4
"""Channels are computed in multiples of 16, as they lie in memory; but input channels of direct convolutions of 4."""

CALL = 5e-7
"""Seconds that any operation takes."""


def modelled_seconds(work: Convolution) -> float:
    """Return the model's time of a convolution.

    Notes
    -----
    Channels count rounded up. A fast one makes ``tiles * n**2 * C * K`` products, tiles at the edge counted whole. Its
    transforms are applied to rows, then to columns: ``n * t * (n + t)`` multiply-adds per tile and input channel,
    ``m * n * (m + n)`` per output channel.
    """
    shape, candidate = work.shape, work.candidate
    per_tile, tiles = _tiling(work)
    c = _round_up(shape.in_channels, GROUP if candidate.algorithm == "direct" else LANES)
    k = _round_up(shape.out_channels, LANES)
    products = per_tile * tiles * c * k
    transformed = 0.0
    if candidate.algorithm != "direct":
        m, n, t, times = _sizes(work)
        dense = LEARNED if candidate.transforms == "learned" or candidate.residue else 1.0
        into, out = n * t * (n + t), m * n * (m + n)
        transformed = dense * times * tiles * (into * c + out * k)
    wide = 2.0 if BITS[candidate.dtype] == FLOAT_BITS else 1.0
    return (
        CALL
        + 2 * products / PRODUCTS[_factors(candidate)]
        + transformed * wide / TRANSFORMED
        + weight_bytes(work) / WEIGHT_BYTES
        + ends_bytes(work) / ACTIVATION_BYTES
    )


def weight_bytes(work: Convolution) -> int:
    """Bytes of weights, as they are multiplied."""
    item = {"int8": 1, "int16": 2, "bf16": 2, "float32": 4}[_factors(work.candidate)]
    return item * work.shape.in_channels * work.shape.out_channels * _tiling(work)[0]


def _factors(candidate: Candidate) -> Dtype:
    """Return the type of what is multiplied: exact kernels mostly take 16-bit factors to give 8-bit layers' sums."""
    bytes_only = candidate.residue is not None and candidate.residue[1] == BITS["int8"]
    return "int16" if candidate.exact and not bytes_only else candidate.dtype


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _tiling(work: Convolution) -> tuple[int, int]:
    """Return products per tile and pair of channels, and the number of tiles; a direct one's tiles are pixels."""
    shape = work.shape
    rows, cols = shape.out
    if work.candidate.algorithm == "direct":
        return shape.kernel[0] * shape.kernel[1], shape.batch * rows * cols
    m, n, _, times = _sizes(work)
    return times * n**2, shape.batch * -(-rows // m) * -(-cols // m)


def _sizes(work: Convolution) -> tuple[int, int, int, int]:
    """Return a tile's outputs, products and inputs per dimension, and how often all is done: for each modulus."""
    r = work.shape.kernel[0]
    if residue := work.candidate.residue:
        m, bits = residue
        return m, m + r - 1, m + r - 1, 2 if bits == 13 else 3
    a = algorithm(work.candidate.algorithm, r, work.shape.stride[0])
    return a.m, a.products, a.tile, 1
