"""Which interpolation points lose least at 8 bits: the study behind the default points of F2, F4 and F6.

Every candidate set of a small pool is simulated (input, U and V at 8 bits, per tap); discovery/transforms.py searches
larger pools, and scalings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

from tilewise.algebra import toom_cook
from tilewise.discovery.simulation import Precision, Sample, Simulation

POOL = tuple(Fraction(x) for x in ("1/4", "1/3", "1/2", "2/3", "1", "3/2", "2", "3", "4"))


def candidates(count: int) -> Iterator[tuple[Fraction, ...]]:
    """Sets of ``count`` finite points from 0 and +-POOL; mirrored sets are the same algorithm and appear once."""
    signed = [s * p for p in POOL for s in (1, -1)]
    for chosen in itertools.combinations(signed, count - 1):
        points = (Fraction(0), *chosen)
        if sorted(points) <= sorted(-p for p in points):
            yield points


def best_points(m: int, r: int, *, keep: int = 5) -> list[tuple[float, tuple[Fraction, ...]]]:
    """Rank all candidate point sets of F(m, r) by their SQNR, best first, as ``(dB, points)``."""
    layer = Simulation(Sample.gaussian(r), m, Precision())
    return sorted(((layer.sqnr(toom_cook(m, r, p)), p) for p in candidates(m + r - 2)), reverse=True)[:keep]
