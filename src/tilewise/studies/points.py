"""Which interpolation points lose least at 8 bits: the study behind the default points of F2, F4 and F6.

For every candidate set of finite points, one layer's simulated int8 pipeline (U and V at 8 bits per tap, M exact)
is compared with the exact convolution on data every user has: Gaussian weights and rectified Gaussian inputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from tilewise.algebra import Bilinear, toom_cook

POOL = tuple(Fraction(x) for x in ("1/4", "1/3", "1/2", "2/3", "1", "3/2", "2", "3", "4"))


def int8_sqnr(algorithm: Bilinear, *, bits: int = 8, channels: int = 32, tiles: int = 192, seed: int = 0) -> float:
    """Signal-to-quantization-noise ratio in dB of one layer with U and V quantized per tap.

    Parameters
    ----------
    algorithm : Bilinear
        The algorithm under test.
    bits : int
        Width of U and V; ranges are their largest absolute values per tap.
    channels, tiles : int
        Size of the random sample: input channels, and tiles per channel; 8 output channels.
    seed : int
        Of the random sample.
    """
    rng = np.random.default_rng(seed)
    at, g, bt = algorithm.to_float()
    t, m, r = algorithm.tile, algorithm.m, algorithm.r
    d = np.maximum(rng.standard_normal((channels, tiles, t, t)), 0)
    w = rng.standard_normal((8, channels, r, r))

    def quantize(x: np.ndarray) -> np.ndarray:
        step = np.abs(x).max(axis=(0, 1), keepdims=True) / (2 ** (bits - 1) - 1)
        return np.asarray(np.round(x / step) * step)

    v, u = quantize(bt @ d @ bt.T), quantize(g @ w @ g.T)
    product = np.einsum("kcab,cpab->kpab", u, v, optimize=True)
    got = at @ product @ at.T
    windows = np.lib.stride_tricks.sliding_window_view(d, (r, r), axis=(2, 3))[:, :, :m, :m]
    wanted = np.einsum("kcxy,cpijxy->kpij", w, windows, optimize=True)
    return float(10 * np.log10((wanted**2).mean() / ((got - wanted) ** 2).mean()))


def candidates(count: int) -> Iterator[tuple[Fraction, ...]]:
    """Sets of ``count`` finite points from 0 and +-POOL; mirrored sets are the same algorithm and appear once."""
    signed = [s * p for p in POOL for s in (1, -1)]
    for chosen in itertools.combinations(signed, count - 1):
        points = (Fraction(0), *chosen)
        if sorted(points) <= sorted(-p for p in points):
            yield points


def best_points(m: int, r: int, *, keep: int = 5) -> list[tuple[float, tuple[Fraction, ...]]]:
    """Rank all candidate point sets of F(m, r) by :func:`int8_sqnr`, best first, as ``(dB, points)``.

    Large tiles have too many candidates for one pass, so a small sample ranks all of them and the full sample
    decides among the best 40.
    """
    rough = sorted(
        ((int8_sqnr(toom_cook(m, r, p), channels=4, tiles=24), p) for p in candidates(m + r - 2)),
        reverse=True,
    )[:40]
    return sorted(((int8_sqnr(toom_cook(m, r, p)), p) for _, p in rough), reverse=True)[:keep]
