"""What algorithms keep of one layer's signal, per tensor and per tap, with M at 8, 10 and 32 bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tilewise.algebra import Bilinear, toom_cook
from tilewise.quant.quantizer import FLOAT_BITS
from tilewise.studies.fidelity import Precision, Sample, Scales, Simulation

PUBLISHED: tuple[tuple[int, tuple[int | str, ...], str], ...] = (
    (4, (0, 1, -1, "1/2", "-1/2"), "with halves"),
    (4, (0, 1, -1, "1/2", -3), "Barabasz et al. 2018"),
    (4, (0, "5/6", "-5/6", "7/6", "-7/6"), "NOVA 2025"),
    (6, (0, "3/5", "-3/5", 1, -1, "7/6", "-7/6"), "NOVA 2025"),
)
"""m, finite points and source of published algorithms for 3x3 kernels that have no name in the catalogue."""

SCALES: tuple[tuple[Scales, Scales], ...] = (("tensor", "tensor"), ("tap", "tensor"), ("tap", "tap"))
"""Scales of U and V, and of M."""


def published() -> list[Bilinear]:
    """Build the algorithms of :data:`PUBLISHED`."""
    return [toom_cook(m, 3, points, f"F{m} {source}") for m, points, source in PUBLISHED]


def precisions() -> list[Precision]:
    """List what is simulated: the scales of :data:`SCALES`, each with M at 8, 10 and 32 bits."""
    return [
        Precision(scales=scales, hadamard_bits=bits, hadamard_scales=hadamard_scales)
        for scales, hadamard_scales in SCALES
        for bits in (8, 10, FLOAT_BITS)
        if bits != FLOAT_BITS or hadamard_scales == "tensor"
    ]


def scores(algorithms: Iterable[Bilinear], *, seed: int = 1) -> list[dict[str, Any]]:
    """Simulate one layer of Gaussian data by each algorithm.

    Returns
    -------
    list of dict
        ``name``, ``m``, ``r``, and ``sqnr``: dB for each of :func:`precisions`, in that order.
    """
    rows = []
    for algorithm in algorithms:
        sample = Sample.gaussian(algorithm.r, images=4, seed=seed)
        sqnr = [Simulation(sample, algorithm.m, precision).sqnr(algorithm) for precision in precisions()]
        rows.append({"name": algorithm.name, "m": algorithm.m, "r": algorithm.r, "sqnr": sqnr})
    return rows
