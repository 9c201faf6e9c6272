"""Data movement and roofline: where a layer is bound by memory, and whether a fast one pays at high resolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilewise.algebra import algorithm
from tilewise.engine.engine import measure_peaks
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim, Column, columns_of
from tilewise.experiments.timing import kernel_sets, machine, milliseconds, profiles, square
from tilewise.latency.shapes import LayerShape

ALGORITHM = "F4"
BYTES = {"float32": 4, "int8": 1}
"""Of an activation, a weight and a number of V; M has four."""
PEAKS = {"float32": "float_operations", "int8": "int8_operations"}
SIZES = (32, 224, 1024)
CHANNELS = (16, 64)
ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Movement:
    """A layer of 3x3, direct and by F4."""

    channels: int
    pixels: int
    dtype: str
    kernel_set: str
    rounds: int

    @property
    def name(self) -> str:
        """Such as ``64-1024x1024-int8-amx``."""
        return f"{self.channels}-{self.pixels}x{self.pixels}-{self.dtype}-{self.kernel_set}"

    def run(self, place: Place) -> dict[str, Any]:
        """Count, measure, and say what the machine's peaks allow."""
        shape = square(self.channels, self.channels, self.pixels)
        names = {"direct": f"direct {self.dtype}", ALGORITHM: f"{ALGORITHM} {self.dtype}"}
        found = profiles(shape, list(names.values()), self.kernel_set, rounds=self.rounds, threads=place.threads)
        times = milliseconds(found)
        counted = counts(shape, self.dtype)
        peaks = measure_peaks(self.kernel_set, place.threads)
        return {
            "machine": machine(self.kernel_set, place.threads),
            "peaks": peaks,
            "counted": counted,
            "engine_bytes": {name: found[way]["bytes"] for name, way in names.items()},
            "milliseconds": {name: times[way] for name, way in names.items()} | bounds(counted, peaks, self.dtype),
            "speedup": round(times[names["direct"]] / times[names[ALGORITHM]], 3),
        }


def counts(shape: LayerShape, dtype: str) -> dict[str, float]:
    """Count operations (two for each multiply-add) and bytes of a layer.

    Returns
    -------
    dict of str to float
        Operations of the direct convolution and of F4's products; bytes of input, output and weights, which both move
        at least (F4's weights are larger), and of V and M, written and read once, where they leave the cache.
    """
    fast, (rows, cols), size = algorithm(ALGORITHM, shape.kernel[0]), shape.out, BYTES[dtype]
    tiles, taps = -(-rows // fast.m) * -(-cols // fast.m), (fast.m + shape.kernel[0] - 1) ** 2
    c, k = shape.in_channels, shape.out_channels
    maps = size * (shape.height * shape.width * c + rows * cols * k)
    return {
        "direct_operations": shape.operations,
        "fast_operations": 2 * tiles * taps * c * k,
        "direct_bytes": maps + size * shape.kernel[0] * shape.kernel[1] * c * k,
        "fast_bytes": maps + size * taps * c * k,
        "between_bytes": 2 * tiles * taps * (size * c + 4 * k),
    }


def bounds(counted: Mapping[str, float], peaks: Mapping[str, float], dtype: str) -> dict[str, float]:
    """Return the milliseconds that no kernel falls below: products at their peak, bytes at memory's."""
    compute, memory = peaks[PEAKS[dtype]] / 1e3, peaks["memory_bytes"] / 1e3
    return {
        "direct, products": counted["direct_operations"] / compute,
        "direct, memory": counted["direct_bytes"] / memory,
        f"{ALGORITHM}, products": counted["fast_operations"] / compute,
        f"{ALGORITHM}, memory": counted["fast_bytes"] / memory,
        f"{ALGORITHM}, V and M in memory": (counted["fast_bytes"] + counted["between_bytes"]) / memory,
    }


def cases(scale: Scale) -> Sequence[Case]:
    """Return all layers."""
    if scale == "smoke":
        return [Movement(channels=16, pixels=size, dtype="int8", kernel_set=kernel_sets()[0], rounds=2)
                for size in (16, 32)]  # fmt: skip
    return [
        Movement(channels=channels, pixels=size, dtype=dtype, kernel_set=kernels, rounds=ROUNDS)
        for kernels in kernel_sets()
        for dtype in BYTES
        for channels in CHANNELS
        for size in SIZES
    ]


STUDY = Study(
    name="movement",
    title="Bytes and operations, counted and measured, from 32 to 1024 pixels: what bounds a layer, whether F4 pays",
    cases=cases,
    columns=(
        *columns_of(
            "milliseconds",
            (
                "direct", ALGORITHM, "direct, products", "direct, memory", f"{ALGORITHM}, products",
                f"{ALGORITHM}, memory", f"{ALGORITHM}, V and M in memory",
            ),
            "ms",
            3,
        ),
        Column(title="F4 is as fast as direct", key="speedup", unit="times"),
    ),
    claims=tuple(
        Claim(
            text=f"F4 {dtype} is faster than direct at {size} pixels.", source="asked by MLSys 2020's reviewers",
            more=f"*-{size}x{size}-{dtype}-{kernels}", less=f"*-{size}x{size}-{dtype}-{kernels}",
            key="milliseconds/direct", less_key=f"milliseconds/{ALGORITHM}",
        )
        for dtype in BYTES
        for size in SIZES
        for kernels in ("amx", "avx512vnni")
    ),
)  # fmt: skip
