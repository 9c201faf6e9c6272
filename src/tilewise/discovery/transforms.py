"""Search of better Toom-Cook transforms: interpolation points and diagonal scalings, by a particle swarm.

After Protsenko et al., "Quantization-Friendly Winograd Transformations", ECCV 2024, who search transforms by a swarm
without data before any training. Their objective, variables and settings are not known to us; those here are our own.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilewise.algebra import Bilinear, toom_cook
from tilewise.algebra.catalogue import textbook_points
from tilewise.algebra.program import program
from tilewise.common.files import write_json
from tilewise.common.progress import bar
from tilewise.discovery.simulation import Precision, Sample, Simulation
from tilewise.discovery.swarm import maximize
from tilewise.quant.quantizer import largest_v
from tilewise.quant.rounding import round_half_up

OVERFLOW_PRICE = 20.0
"""dB for each bit that V has more than it may."""


@dataclass(frozen=True, kw_only=True)
class TransformSearch:
    """What to search for, and how long.

    Parameters
    ----------
    m : int
        Outputs per tile and dimension, from 2; m + r is at most 13.
    r : int
        Filter taps per dimension, from 2.
    precision : Precision
        Of the simulated layer.
    points : {"dyadic", "rational"}
        Whether denominators are powers of two.
    bound : int
        Largest numerator and denominator of a point.
    symmetric : bool
        Whether points come in pairs +-p, whose rows share most of their sums.
    scaled : bool
        Whether rows of ``B^T`` and columns of ``A^T`` are scaled by powers of two. It changes nothing where all scales
        are per tap.
    v_bits : int
        Width that V may have for 8-bit inputs, sign included; or that of the textbook algorithm's, if that is more.
    price : float
        dB for each time that ``B^T`` and ``A^T`` take the operations of the textbook algorithm's once more.
    particles : int
        Of a swarm.
    steps : int
        Moves of each particle.
    restarts : int
        Swarms, one after the other.
    seed : int
        Of all that is random.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    m: int
    r: int
    precision: Precision = field(default_factory=Precision)
    points: Literal["dyadic", "rational"] = "dyadic"
    bound: int = 4
    symmetric: bool = False
    scaled: bool = False
    v_bits: int = 16
    price: float = 5.0
    particles: int = 40
    steps: int = 60
    restarts: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        textbook_points(self.m, self.r)  # refuses what is out of reach
        if self.points not in ("dyadic", "rational"):
            raise ValueError(f"points is {self.points!r}; allowed: dyadic, rational")
        for name in ("v_bits", "particles", "steps", "restarts"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if not (math.isfinite(self.price) and self.price >= 0):
            raise ValueError(f"price is {self.price}; it must be finite and not negative")
        if len(self.pool) < self.m + self.r - 3:
            raise ValueError(
                f"bound is {self.bound}, which leaves {len(self.pool)} {self.points} points; "
                f"F({self.m}, {self.r}) takes {self.m + self.r - 3} beside 0 and infinity"
            )

    @functools.cached_property
    def pool(self) -> tuple[Fraction, ...]:
        """Points to choose from beside 0 and infinity, ascending."""
        numbers = range(1, self.bound + 1)
        denominators = [d for d in numbers if self.points == "rational" or d.bit_count() == 1]
        positive = {Fraction(n, d) for n in numbers for d in denominators}
        return tuple(sorted({s * p for p in positive for s in (1, -1)}))


@dataclass(frozen=True)
class Place:
    """What a particle's position stands for."""

    points: tuple[Fraction, ...]
    """Finite points, 0 first."""
    rows: tuple[int, ...]
    """Exponents of two by which the rows of ``B^T`` are scaled, the smallest 0; empty for none."""
    columns: tuple[int, ...]
    """The same of the columns of ``A^T``."""


@dataclass(frozen=True)
class Found:
    """An algorithm, what it costs and what it keeps."""

    algorithm: Bilinear
    place: Place
    sqnr: float
    """dB on :func:`held_out`."""
    operations: int
    """Additions and shifts of one ``B^T`` and one ``A^T``."""
    search: TransformSearch

    def save(self, path: Path) -> None:
        """Write the algorithm, proved, with all that it came from; :func:`tilewise.algorithm` reads it.

        Raises
        ------
        ValueError
            If the algorithm is not a convolution; then nothing is written.
        """
        self.algorithm.verify()
        write_json(path, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, with all of :meth:`Bilinear.to_dict`."""
        return {
            **self.algorithm.to_dict(),
            "points": [str(p) for p in self.place.points],
            "rows": list(self.place.rows),
            "columns": list(self.place.columns),
            "sqnr": self.sqnr,
            "operations": self.operations,
            "search": asdict(self.search),
        }


def find(search: TransformSearch, sample: Sample | None = None, *, progress: bool = False) -> Found:
    """Find the transforms with the highest simulated SQNR less their price.

    Parameters
    ----------
    search : TransformSearch
        What to search for.
    sample : Sample, optional
        Activations and weights to simulate the layer on; Gaussian ones by default, and others for the result's score.
    progress : bool
        Whether to show a bar.

    Raises
    ------
    ValueError
        If the sample does not fit, or what was found is no convolution.
    """
    if sample is not None and sample.weights.shape[-1] != search.r:
        raise ValueError(f"weights have the shape {sample.weights.shape}; r is {search.r}")
    layer = Simulation(sample or Sample.gaussian(search.r, seed=search.seed), search.m, search.precision)
    score = functools.cache(functools.partial(_score, search, layer))
    size = search.m + search.r - 1
    low = np.concatenate([np.full(size - 2, -1.0), np.full(2 * size if search.scaled else 0, -1.5)])
    best: list[tuple[float, npt.NDArray[np.float64]]] = []
    with bar(enabled=progress) as display:
        task = display.add_task("search of transforms", total=search.restarts * (search.steps + 1))
        for restart in range(search.restarts):
            start = _usual_position(search, len(low)) if restart == 0 else None
            found = maximize(
                lambda position: score(decode(position, search)),
                low,
                -low,
                particles=search.particles,
                steps=search.steps,
                seed=(search.seed, restart),
                start=start,
                on_step=lambda: display.advance(task),
            )
            best.append(found)
    place = decode(max(best, key=lambda pair: pair[0])[1], search)
    algorithm = build(place, search).verify()
    return Found(algorithm, place, held_out(search, sample).sqnr(algorithm), operations(algorithm), search)


def held_out(search: TransformSearch, sample: Sample | None = None) -> Simulation:
    """Give the layer that results are scored on: the given one, or Gaussian data that the search has not seen."""
    unseen = sample or Sample.gaussian(search.r, images=4, seed=search.seed + 1)
    return Simulation(unseen, search.m, search.precision)


def decode(position: npt.NDArray[np.float64], search: TransformSearch) -> Place:
    """Snap a position to points and scalings.

    A point is ``tan(x * pi / 2)`` for a number x between -1 and 1, its angle on the circle on which infinity lies
    opposite 0: points and their reciprocals get equal room. It becomes the nearest point of the pool that is not taken
    yet, so that none repeats.
    """
    size = search.m + search.r - 1
    angles, exponents = position[: size - 2], position[size - 2 :]
    free = {p: math.atan(p) * 2 / math.pi for p in search.pool}
    chosen = [Fraction(0)]
    for angle in angles:
        if len(chosen) == size - 1:
            break
        point = min(free, key=lambda p: abs(free[p] - angle))
        pair = [point, -point] if search.symmetric and len(chosen) < size - 2 else [point]
        for p in pair:
            chosen.append(p)
            del free[p]
    points = (chosen[0], *sorted(chosen[1:]))
    if not search.scaled:
        return Place(points, (), ())
    return Place(points, *_exponents(_balance(_plain(search.m, search.r, points)) + exponents.reshape(2, size)))


def balanced(algorithm: Bilinear) -> Bilinear:
    """Scale an algorithm by powers of two so that all taps of V, U and M are about equally large.

    One step for all taps is then as fine as it can be. For data without correlation, which have a V as large as the
    norm of its row. It is where the search of scalings begins.
    """
    rows, columns = _exponents(_balance(algorithm))
    return algorithm.scaled([2**e for e in rows], [2**e for e in columns], f"{algorithm.name}, balanced")


def _balance(algorithm: Bilinear) -> npt.NDArray[np.float64]:
    """Exponents of two of the rows of ``B^T``, and of the columns of ``A^T``, before rounding."""
    _, g, bt = algorithm.to_float()
    v, u = (np.log2(np.linalg.norm(x, axis=1)) for x in (bt, g))
    return np.stack([-v, v + u])


def _exponents(wanted: npt.NDArray[np.float64]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Round to integers, and let the smallest of each row be 0, so that integer matrices stay so."""
    powers = round_half_up(wanted).astype(int)
    rows, columns = (powers - powers.min(axis=1, keepdims=True)).tolist()
    return tuple(rows), tuple(columns)


@functools.lru_cache(maxsize=4096)
def _plain(m: int, r: int, points: tuple[Fraction, ...]) -> Bilinear:
    return toom_cook(m, r, points)


def _usual_position(search: TransformSearch, size: int) -> npt.NDArray[np.float64]:
    """Position of the textbook points without scalings beyond the balance."""
    points = [Fraction(p) for p in textbook_points(search.m, search.r)[1:]]
    points.sort(key=lambda p: p < 0)  # a pair follows from its positive point
    return np.array([math.atan(p) * 2 / math.pi for p in points] + [0.0] * (size - len(points)))


def build(place: Place, search: TransformSearch) -> Bilinear:
    """Build the algorithm of a place."""
    plain = _plain(search.m, search.r, place.points)
    if not place.rows:
        return plain
    return plain.scaled([2**e for e in place.rows], [2**e for e in place.columns], f"{plain.name}, scaled")


def operations(algorithm: Bilinear) -> int:
    """Additions and shifts of one ``B^T`` and one ``A^T`` as programs.

    A product with an integer takes as many as that has non-zero signed digits: 1 for 4, 2 for 5.
    """
    total = 0
    for matrix in (algorithm.BT, algorithm.AT):
        steps = program([[int(x) for x in row] for row in matrix])
        factors = [abs(c) for step in steps.steps for c, _ in step if abs(c) != 1]
        total += steps.additions + sum((c ^ 3 * c).bit_count() for c in factors)
    return total


def _score(search: TransformSearch, layer: Simulation, place: Place) -> float:
    """SQNR in dB less the prices of operations, and of V's width beyond what is allowed."""
    found = build(place, search)
    usual_operations, usual_bits = _limits(search.m, search.r, search.precision.bits)
    allowed = max(search.v_bits, usual_bits)
    overflow = max(0, largest_v(found, search.precision.bits).bit_length() + 1 - allowed)
    more = max(0.0, operations(found) / usual_operations - 1)
    return layer.sqnr(found) - search.price * more - OVERFLOW_PRICE * overflow


@functools.cache
def _limits(m: int, r: int, bits: int) -> tuple[int, int]:
    """Operations of the textbook algorithm, and the bits of its V."""
    usual = toom_cook(m, r, textbook_points(m, r))
    return operations(usual), largest_v(usual, bits).bit_length() + 1
