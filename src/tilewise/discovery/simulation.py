"""How much of a layer's signal a quantized algorithm keeps: the number contract simulated in NumPy.

Simulated is what :class:`tilewise.nn.WinogradConv2d` computes in evaluation (docs/contracts/numbers.md), calibrated on
the same data. The default data are what every user has: Gaussian weights, and rectified Gaussian activations as after a
ReLU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from tilewise.algebra import Bilinear, Planar
from tilewise.quant import Scales
from tilewise.quant.quantizer import (
    FLOAT_BITS,
    MULTIPLIER_BITS,
    QUANTIZERS,
    check_bits,
    fraction_bits,
    largest_v,
)
from tilewise.quant.rounding import round_half_up

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Widths and scales of a simulated layer.

    Parameters
    ----------
    bits : int
        2 to 16, for the input, U and V.
    scales : {"tap", "tensor"}
        One scale for each tap of V, and each tap and output channel of U; or one for all of V and one for all of U.
    hadamard_bits : int
        2 to 16 for M, or 32 where M stays exact.
    hadamard_scales : {"tensor", "tap"}
        One scale for all of M, as layers have it, or one for each of its taps, as some papers have it.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    bits: int = 8
    scales: Scales = "tap"
    hadamard_bits: int = FLOAT_BITS
    hadamard_scales: Scales = "tensor"

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits is {self.bits}; allowed: 2 to 16")
        check_bits(self.hadamard_bits, "hadamard_bits")
        for field in ("scales", "hadamard_scales"):
            if (value := getattr(self, field)) not in get_args(Scales):
                raise ValueError(f"{field} is {value!r}; allowed: tap, tensor")


@dataclass(frozen=True)
class LayerSample:
    """What a layer sees.

    Parameters
    ----------
    activations : array of shape (N, C, H, W)
        Its input, padding included.
    weights : array of shape (K, C, r, r)
        Its weights.

    Raises
    ------
    ValueError
        If shapes do not fit, or values are not finite or all zero.
    """

    activations: Array
    weights: Array

    def __post_init__(self) -> None:
        for name in ("activations", "weights"):
            value: Array = getattr(self, name)
            if value.ndim != 4:
                raise ValueError(f"{name} has the shape {value.shape}; it must have 4 dimensions")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} has values that are NaN or infinite; all must be finite")
            if not value.any():
                raise ValueError(f"{name} is all zeros (or empty); there is no signal to keep")
        (_, c, _, _), (_, taken, rows, columns) = self.activations.shape, self.weights.shape
        if c != taken or rows != columns:
            raise ValueError(
                f"weights have the shape {self.weights.shape}; with activations {self.activations.shape} it must be "
                f"(K, {c}, r, r)"
            )

    @classmethod
    def gaussian(cls, r: int, *, images: int = 1, seed: int = 0) -> LayerSample:
        """Gaussian weights, 64 to 16 channels, and rectified Gaussian activations for 24x24 outputs."""
        if r < 1:
            raise ValueError(f"r is {r}; it must be at least 1")
        rng = np.random.default_rng(seed)
        activations = np.maximum(rng.standard_normal((images, 64, 23 + r, 23 + r)), 0)
        return cls(activations, rng.standard_normal((16, 64, r, r)))


class LayerSimulation:
    """One layer with tiles of ``m x m`` outputs, ready to be computed by many algorithms.

    Parameters
    ----------
    sample : LayerSample
        What the layer sees. Outputs that do not fill a tile are left out.
    m : int
        Outputs per tile and dimension.
    precision : Precision
        What is quantized, and how.
    stride : int
        Of the convolution.

    Raises
    ------
    ValueError
        If no tile fits into the activations.
    """

    def __init__(self, sample: LayerSample, m: int, precision: Precision, stride: int = 1) -> None:
        tiles = tiles_of(sample, m, stride)
        self.m, self.r, self.stride, self.precision = m, sample.weights.shape[-1], stride, precision
        self._weights = _by_tap(sample.weights)
        self._wanted = output_tiles(sample, tiles, m, stride)
        low, high = QUANTIZERS["tap"].limits(precision.bits)
        if tiles.min() >= 0:  # one bit more for free
            low, high = 0, 2 * high + 1
        self._step = np.abs(tiles).max() / high
        self._input = np.clip(round_half_up(tiles / self._step), low, high).reshape(-1, *tiles.shape[2:])

    def sqnr(self, algorithm: Bilinear | Planar) -> float:
        """Signal-to-quantization-noise ratio of the layer's output in dB.

        Raises
        ------
        ValueError
            If the algorithm is not for this layer's ``m``, ``r`` and stride.
        """
        if (algorithm.m, algorithm.r, algorithm.stride) != (self.m, self.r, self.stride):
            raise ValueError(
                f"{algorithm.name} is F({algorithm.m}, {algorithm.r}) of stride {algorithm.stride}, the layer "
                f"F({self.m}, {self.r}) of stride {self.stride}"
            )
        nested = isinstance(algorithm, Bilinear)
        at, g, bt = (np.kron(x, x) if nested else x for x in algorithm.to_float())
        product = self._product(g, bt, fraction_bits(largest_v(algorithm, self.precision.bits)))
        got = at @ product.reshape(len(product), -1)
        noise = ((got - self._wanted) ** 2).mean()
        return float(10 * np.log10((self._wanted**2).mean() / max(noise, 1e-300)))

    def _product(self, g: Array, bt: Array, shift: int) -> Array:
        """M of shape (n*n, K, P), from ``G`` and ``B^T`` in two dimensions."""
        precision = self.precision
        limit = QUANTIZERS["tap"].limits(precision.bits)[1]
        v = (bt @ self._input.reshape(len(self._input), -1)).reshape(-1, *self._input.shape[1:])
        mult = np.clip(np.floor(limit / _largest(v, precision.scales) * 2**shift), 1, 2**MULTIPLIER_BITS - 1) / 2**shift
        v = np.clip(round_half_up(v * mult), -limit, limit)
        u = np.tensordot(g, self._weights, axes=1) * (self._step / mult)
        step = _largest(u, precision.scales, channelwise=True) / limit
        product: Array = (round_half_up(u / step) @ v) * step
        if precision.hadamard_bits == FLOAT_BITS:
            return product
        limit = QUANTIZERS["tap"].limits(precision.hadamard_bits)[1]
        step = _largest(product, precision.hadamard_scales) / limit
        return np.asarray(round_half_up(product / step) * step)


def tiles_of(sample: LayerSample, m: int, stride: int = 1) -> Array:
    """Cut activations into tiles of ``m x m`` outputs, shape (t, t, C, P); what fills no tile is left out.

    Raises
    ------
    ValueError
        If no tile fits into the activations.
    """
    t, step = stride * (m - 1) + sample.weights.shape[-1], stride * m
    if m < 1 or min(sample.activations.shape[2:]) < t:
        raise ValueError(f"m is {m}; activations of {sample.activations.shape} have no tile of {t}x{t} inputs")
    windows = np.lib.stride_tricks.sliding_window_view(sample.activations, (t, t), axis=(2, 3))[:, :, ::step, ::step]
    return np.ascontiguousarray(windows.transpose(4, 5, 1, 0, 2, 3)).reshape(t, t, sample.weights.shape[1], -1)


def output_tiles(sample: LayerSample, tiles: Array, m: int, stride: int = 1) -> Array:
    """Convolve tiles directly, shape (m*m, K*P)."""
    r, weights = sample.weights.shape[-1], _by_tap(sample.weights)
    steps = slice(0, stride * (m - 1) + 1, stride)
    places = ((a, b) for a in range(r) for b in range(r))
    parts = (
        np.einsum("kc,ijcp->ijkp", weights[a * r + b], tiles[a:, b:][steps, steps], optimize=True) for a, b in places
    )
    return np.asarray(sum(parts)).reshape(m * m, -1)


def _by_tap(weights: Array) -> Array:
    """(K, C, r, r) -> (r*r, K, C)."""
    return weights.transpose(2, 3, 0, 1).reshape(-1, *weights.shape[:2])


def _largest(x: Array, scales: Scales, *, channelwise: bool = False) -> Array:
    """Largest absolute value, of each tap (and row) or of all of ``x`` (n*n, rows, columns), kept as 3 dimensions."""
    axes = None if scales == "tensor" else 2 if channelwise else (1, 2)
    return np.asarray(np.abs(x).max(axis=axes, keepdims=True)).clip(min=1e-30)
