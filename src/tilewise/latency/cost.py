"""A model of a convolution's time by what it executes: between measured points only the ratio to it is interpolated.

The rates are round numbers for one core. They need not be right: a rate that is wrong by the same factor everywhere
drops out, and what is left changes slowly from point to point, while tiles that stand over the edge of a map and
algorithms that are bound by other stages do not.
"""

from __future__ import annotations

from tilewise.algebra import algorithm
from tilewise.latency.candidates import BITS
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

CALL = 5e-7
"""Seconds that any operation takes."""


def modelled_seconds(work: Convolution) -> float:
    """Give the model's time of a convolution.

    Notes
    -----
    A fast one makes ``tiles * n**2 * C * K`` products, tiles at the edge counted whole. Its transforms are applied to rows,
    then to columns: ``n * t * (n + t)`` multiply-adds per tile and input channel, ``m * n * (m + n)`` per output channel.
    """
    shape, candidate = work.shape, work.candidate
    rows, cols = shape.out
    channels = shape.in_channels * shape.out_channels
    item = {"int8": 1, "int16": 2, "bf16": 2, "float32": 4}[candidate.dtype]
    if candidate.algorithm == "direct":
        weights = channels * shape.kernel[0] * shape.kernel[1]
        products, transformed = weights * rows * cols * shape.batch, 0.0
    else:
        a = algorithm(candidate.algorithm, shape.kernel[0])
        tiles = shape.batch * -(-rows // a.m) * -(-cols // a.m)
        n, t = a.products, a.m + a.r - 1
        weights = channels * n * n
        products = weights * tiles
        dense = LEARNED if candidate.transforms == "learned" else 1.0
        into, out = n * t * (n + t), a.m * n * (a.m + n)
        transformed = dense * tiles * (into * shape.in_channels + out * shape.out_channels)
    wide = 2.0 if BITS[candidate.dtype] == FLOAT_BITS else 1.0
    return (
        CALL
        + 2 * products / PRODUCTS[candidate.dtype]
        + transformed * wide / TRANSFORMED
        + weights * item / WEIGHT_BYTES
        + ends_bytes(work) / ACTIVATION_BYTES
    )
