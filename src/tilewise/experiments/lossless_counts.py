"""What exact algorithms can gain: instructions and bytes of one layer, counted before a kernel is written.

Everything is counted in vector instructions of one core: products at the peak of their instruction, all else at one
instruction in the time of one product. docs/results/lossless.md has the table and what followed from it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from tilewise.algebra import Bilinear, algorithm, toom_cook
from tilewise.algebra.program import Program, program
from tilewise.algebra.reach import equal_blocks, reach
from tilewise.algebra.residue import moduli_for, residue_toom_cook, transform_products, usable_moduli
from tilewise.algebra.wraparound import FACTOR, Wraparound, wraparound
from tilewise.discovery.points import candidates

EFFICIENCY = 0.9
"""Share of the peak that our products reach (docs/results/engine.md)."""
BYTE_LANES, WORD_LANES, SUM_LANES = 64, 32, 16
"""Numbers of 8, 16 and 32 bits in a vector."""
BYTE_PRODUCTS = 4 * SUM_LANES
"""Multiply-adds of an instruction on bytes; one on words has half of them."""
REDUCTION = 5
"""Instructions that reduce a vector of 32-bit numbers modulo p: convert, multiply, round, multiply, subtract."""
FINISH = 6
"""Instructions that make a vector of sums a vector of outputs: convert, scale, bias, clamp, convert, store."""

WRAPPING = {
    3: ("F2", "F4-textbook", "F4", "SFC6(6)", "SFC6"),
    5: ("SFC4", "SFC6(4)", "SFC6(5)", "SFC6", "SFC6(7)"),
    7: ("SFC6(4)", "SFC6(5)", "SFC6", "SFC6(7)"),
}
RESIDUE_BITS = (8, 11, 12, 13)
TILES = (4, 6, 7, 8, 10, 12, 14)


class Layer(NamedTuple):
    """A convolution of stride 1 that keeps the size of its maps."""

    network: str
    channels: int
    filters: int
    size: int
    r: int

    @property
    def name(self) -> str:
        """Such as ``"64 -> 64, 56x56, 3x3"``."""
        return f"{self.channels} -> {self.filters}, {self.size}x{self.size}, {self.r}x{self.r}"


LAYERS = (
    *(Layer("VGG-16", c, c, size, 3) for c, size in ((64, 224), (128, 112), (256, 56), (512, 28), (512, 14))),
    *(Layer("ResNet-50", c, c, size, 3) for c, size in ((64, 56), (128, 28), (256, 14), (512, 7))),
    Layer("Inception-v3", 64, 96, 35, 3),
    Layer("Inception-v3", 96, 96, 35, 3),
    Layer("Inception-v3", 48, 64, 35, 5),
    Layer("Inception-v1", 32, 96, 28, 5),
    Layer("Inception-v1", 48, 128, 14, 5),
    *(Layer("5x5", c, c, size, 5) for c, size in ((64, 56), (64, 112), (128, 56), (256, 56))),
)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one core does at most.

    Parameters
    ----------
    int8 : float
        Peak of products of bytes, GOP/s: two operations for each multiply-add.
    words : float
        That of products of 16-bit numbers, as a share of it: 0.5 with VNNI, 1 where bytes have no faster instruction
        (AVX2, plain NEON).
    memory : float
        GB/s read from memory.

    Raises
    ------
    ValueError
        If one of them is not positive.
    """

    int8: float = 473.0
    words: float = 0.5
    memory: float = 18.0

    def __post_init__(self) -> None:
        for rate in fields(self):
            if (value := getattr(self, rate.name)) <= 0:
                raise ValueError(f"{rate.name} is {value}; it must be positive")

    @property
    def instructions(self) -> float:
        """Per second."""
        return self.int8 * 1e9 / (2 * BYTE_PRODUCTS)

    @property
    def bytes(self) -> float:
        """Read from memory per second."""
        return self.memory * 1e9


@dataclass(frozen=True, kw_only=True)
class Count:
    """What a layer takes with one algorithm.

    Parameters
    ----------
    name : str
        The algorithm.
    products, inputs, outputs : float
        Instructions: products at the reachable share of their peak, input and output transforms with reductions and
        reconstruction.
    weight_bytes, v_bytes, m_bytes : int
        Packed weights; V and M written and read once, in the cache.
    """

    name: str
    products: float
    inputs: float
    outputs: float
    weight_bytes: int
    v_bytes: int = 0
    m_bytes: int = 0

    def seconds(self, rates: Rates) -> float:
        """Bound of the time: instructions, or the weights from memory if that takes longer."""
        return max((self.products + self.inputs + self.outputs) / rates.instructions, self.weight_bytes / rates.bytes)


def direct_count(layer: Layer, batch: int) -> Count:
    """Direct convolution on bytes."""
    pixels = batch * layer.size**2
    products = layer.r**2 * layer.channels * layer.filters
    return Count(
        name="direct",
        products=pixels * products / BYTE_PRODUCTS / EFFICIENCY,
        inputs=0.0,
        outputs=pixels * layer.filters * FINISH / SUM_LANES,
        weight_bytes=products,
    )


def wrapping_count(layer: Layer, batch: int, recipe: Wraparound, rates: Rates) -> Count:
    """Wrapping sums: 16-bit products, transforms by their programs."""
    a = recipe.algorithm
    assert isinstance(a, Bilinear)
    n, t, m = a.products, a.tile, a.m
    tiles = batch * (-(-layer.size // m)) ** 2
    each = n * n * layer.channels * layer.filters
    forward = _steps(program(recipe.BT)) * (t + n) + t * t + n * n
    back = _steps(program(recipe.AT)) * (n + m) + n * n + m * m * (FINISH + 2)  # multiplied by the inverse, shifted
    return Count(
        name=f"{a.name} mod 2^32",
        products=tiles * each / (BYTE_PRODUCTS * rates.words) / EFFICIENCY,
        inputs=tiles * layer.channels * forward / WORD_LANES,
        outputs=tiles * layer.filters * back / SUM_LANES,
        weight_bytes=2 * each,
        v_bytes=2 * tiles * n * n * layer.channels * 2,
        m_bytes=2 * tiles * n * n * layer.filters * 4,
    )


class Residues(NamedTuple):
    """How many moduli of how many bits, and blocks of channels."""

    moduli: int
    bits: int
    blocks: int


def residue_count(layer: Layer, batch: int, m: int, chosen: Residues, rates: Rates) -> Count:
    """Residues: transforms as products by halves, each stage reduced, digits of mixed radix."""
    n, (moduli, bits, blocks) = m + layer.r - 1, chosen
    speed = BYTE_PRODUCTS * (1 if bits <= 8 else rates.words)
    size = 1 if bits <= 8 else 2
    tiles = batch * (-(-layer.size // m)) ** 2
    each = moduli * n * n * layer.channels * layer.filters
    forward = transform_products(n, n) / speed + 2 * n * n * REDUCTION / SUM_LANES
    back = transform_products(n, m) / speed + (n * n + n * m + m * m) * REDUCTION / SUM_LANES
    digits = m * m * (moduli * (moduli - 1) // 2 * (REDUCTION + 2) + 2 * moduli) / SUM_LANES
    return Count(
        name=f"F({m}, {layer.r}), {moduli} moduli of {bits} bits" + (f", {blocks} blocks" if blocks > 1 else ""),
        products=tiles * each / speed / EFFICIENCY,
        inputs=tiles * layer.channels * moduli * forward,
        outputs=tiles * layer.filters * (blocks * (moduli * back + digits) + m * m * FINISH / SUM_LANES),
        weight_bytes=size * each,
        v_bytes=2 * moduli * tiles * n * n * layer.channels * size,
        m_bytes=2 * moduli * tiles * n * n * layer.filters * blocks * 4,
    )


def counts(layer: Layer, rates: Rates, batch: int = 1) -> list[Count]:
    """Count direct convolution and all exact algorithms that serve a layer; direct first, then the fastest first."""
    recipes = [wraparound(algorithm(name, layer.r), 0, 255) for name in WRAPPING[layer.r]]
    exact = [wrapping_count(layer, batch, recipe, rates) for recipe in recipes]
    exact += [
        residue_count(layer, batch, m, chosen, rates) for m in TILES for chosen in _residues(*layer[1:3], layer.r, m)
    ]
    return [direct_count(layer, batch), *sorted(exact, key=lambda count: count.seconds(rates))]


def fitting_points(m: int, r: int) -> list[Wraparound]:
    """Find all sets of rational points (discovery/points.py has the pool) for which F(m, r) fits wrapping sums.

    Returns
    -------
    list of Wraparound
        For bytes from 0 on: those that lose fewest bits of the sums first, of these those of the cheapest transforms.
    """
    found = []
    for points in candidates(m + r - 2):
        if _norm(points) ** 2 * 255 >= 2**FACTOR:  # values that far apart are at the point at infinity
            continue
        with contextlib.suppress(ValueError):
            found.append(wraparound(toom_cook(m, r, points), 0, 255))
    return sorted(found, key=lambda x: (x.shift, _steps(program(x.BT)) + _steps(program(x.AT))))


def _norm(points: Sequence[Fraction]) -> int:
    """Sum of the absolute coefficients of ``prod (q x - p)`` over the points p/q."""
    coefficients = np.array([1])
    for point in points:
        coefficients = np.convolve(coefficients, [-point.numerator, point.denominator])
    return int(np.abs(coefficients).sum())


@functools.cache
def _residues(channels: int, filters: int, r: int, m: int) -> tuple[Residues, ...]:
    """Return sets of moduli that suffice for Gaussian weights and bytes from 0: few moduli, or few blocks."""
    found = []
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(min(filters, 64), channels, r**2))
    whole = np.round(weight / np.abs(weight).max((1, 2), keepdims=True) * 127).astype(np.int64)
    for bits in RESIDUE_BITS:
        fewest = 99
        for count in range(1, 9):
            blocks = equal_blocks(channels, count)
            if blocks[0].stop > residue_toom_cook(m, r, usable_moduli(m, r, bits)[0]).channels:
                continue
            width = max(reach(whole[:, block], 0, 255).width for block in blocks)
            moduli = len(moduli_for(width, m, r, bits).moduli)
            if moduli < fewest:
                found.append(Residues(moduli, bits, count))
                fewest = moduli
    return tuple(found)


def _steps(transform: Program) -> int:
    return transform.additions + transform.multiplications
