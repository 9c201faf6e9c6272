"""What algorithms keep of one layer's signal, per tensor and per tap, with M at 8, 10 and 32 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tilewise.algebra import Algorithm, Planar, planar_sfc
from tilewise.discovery.simulation import LayerSample, LayerSimulation, Precision
from tilewise.quant import Scales
from tilewise.quant.quantizer import FLOAT_BITS, largest_v

SCALES: tuple[tuple[Scales, Scales], ...] = (("tensor", "tensor"), ("tap", "tensor"), ("tap", "tap"))
"""Scales of U and V, and of M."""


PLANAR = {3: ((4, 4), (6, 6), (6, 7)), 5: ((6, 6), (12, 12)), 7: ((6, 6), (12, 10))}
"""Orders and outputs of the planar symbolic Fourier algorithms that are scored, by filter taps."""


def planar(r: int) -> list[Planar]:
    """Build the algorithms of :data:`PLANAR`."""
    return [planar_sfc(order, m, r) for order, m in PLANAR[r]]


def precisions() -> list[Precision]:
    """List what is simulated: the scales of :data:`SCALES`, each with M at 8, 10 and 32 bits."""
    return [
        Precision(scales=scales, hadamard_bits=bits, hadamard_scales=hadamard_scales)
        for scales, hadamard_scales in SCALES
        for bits in (8, 10, FLOAT_BITS)
        if bits != FLOAT_BITS or hadamard_scales == "tensor"
    ]


def scores(algorithms: Iterable[Algorithm], *, seed: int = 1) -> list[dict[str, Any]]:
    """Simulate one layer of Gaussian data by each algorithm.

    Returns
    -------
    list of dict
        ``name``, ``m``, ``r``, ``products`` for each output in the plane, ``v_bits`` (width of V, sign included, of
        8-bit inputs), and ``sqnr``: dB for each of :func:`precisions`, in that order.
    """
    rows = []
    for algorithm in algorithms:
        sample = LayerSample.gaussian(algorithm.r, images=4, seed=seed)
        sqnr = [
            LayerSimulation(sample, algorithm.m, precision, algorithm.stride).sqnr(algorithm)
            for precision in precisions()
        ]
        rows.append(
            {
                "name": algorithm.name, "m": algorithm.m, "r": algorithm.r, "products": algorithm.taps / algorithm.m**2,
                "v_bits": largest_v(algorithm, 8).bit_length() + 1, "sqnr": sqnr,
            }
        )  # fmt: skip
    return rows
