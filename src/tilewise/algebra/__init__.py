"""Exact mathematics of fast convolution: bilinear algorithms in rational numbers.

Imports neither torch nor any other part of the package.
"""

from __future__ import annotations

from tilewise.algebra.bilinear import Bilinear, Growth, IntegerForm
from tilewise.algebra.catalogue import Algorithm, algorithm, algorithm_names
from tilewise.algebra.decomposition import decompose
from tilewise.algebra.planar import Planar
from tilewise.algebra.sfc import planar_sfc, sfc
from tilewise.algebra.toom_cook import direct, toom_cook

__all__ = [
    "Algorithm",
    "Bilinear",
    "Growth",
    "IntegerForm",
    "Planar",
    "algorithm",
    "algorithm_names",
    "decompose",
    "direct",
    "planar_sfc",
    "sfc",
    "toom_cook",
]
