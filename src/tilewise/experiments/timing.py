"""What studies of time share: kernel sets, layers alone in an engine, and the honest baseline of a matrix in memory."""

from __future__ import annotations

import dataclasses
import functools
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tilewise.common.turns import in_turns, stopwatch
from tilewise.engine import Engine
from tilewise.engine.program import Program
from tilewise.latency import Machine
from tilewise.latency.candidates import Candidate
from tilewise.latency.layers import layer_program, served
from tilewise.latency.shapes import LayerShape

PROGRAM_SIZE = 16
"""Height and width that programs are made with at most: a program holds no sizes, and calibrating it takes time."""
MATRIX = "im2row"
"""Algorithm of the baseline: the matrix of all windows is written to memory, then multiplied."""
STORED = {"float32": torch.float32, "int16": torch.int16, "int8": torch.uint8}
SECONDS = 0.003
"""About how long a measurement of the matrix takes in a round."""


def kernel_sets() -> tuple[str, ...]:
    """Return what to measure with: the set that ``TILEWISE_ISA`` names, or the best one and the best of vectors."""
    from tilewise import _native

    if forced := os.environ.get("TILEWISE_ISA"):
        return (forced,)
    supported = [str(entry["name"]) for entry in _native.kernel_sets() if entry["supported"]]
    return tuple(dict.fromkeys((supported[0], next(name for name in supported if name != "amx"))))


def machine(kernel_set: str, threads: int) -> str:
    """Name this machine with the kernel set that was measured."""
    return str(dataclasses.replace(Machine.here(threads), isa=kernel_set))


def square(channels: int, filters: int, size: int, kernel: int = 3) -> LayerShape:
    """Return a convolution of stride 1 that keeps the size of its square map."""
    return LayerShape(
        batch=1, in_channels=channels, out_channels=filters, kernel=(kernel, kernel),
        padding=(kernel // 2, kernel // 2), height=size, width=size,
    )  # fmt: skip


def profiles(
    shape: LayerShape, names: Sequence[str], kernel_set: str, *, rounds: int, threads: int
) -> dict[str, dict[str, Any]]:
    """Measure a layer in all ways that serve it, in turns, each alone in an engine.

    Parameters
    ----------
    shape : LayerShape
        The layer.
    names : sequence of str
        Such as ``"F4 int8"``, ``"F4 learned int8"``, or ``"im2row int8"`` for the baseline. One that does not serve
        the layer, or whose sums of so many channels are not proven, is left out.
    kernel_set : str
        To compute with.
    rounds, threads : int
        Of the measurement.

    Returns
    -------
    dict of str to dict
        By name: the convolution's row of ``Engine.profile``, each number the median over rounds. The baseline's
        seconds are those of the product, as a 1x1 convolution of the engine, and of writing the matrix.
    """
    measurements: dict[str, Any] = {}
    for name in names:
        algorithm, dtype = name.split()[0], name.split()[-1]
        layer = _matrix_shape(shape) if algorithm == MATRIX else shape
        program = _program(layer, Candidate.parse(f"direct {dtype}" if algorithm == MATRIX else name))
        if program is None:
            continue
        measurements[name] = _profile(layer, program, kernel_set, threads)
        if algorithm == MATRIX:
            measurements[f"{name}, matrix"] = stopwatch(_writing(shape, dtype), SECONDS)
    found = in_turns(measurements, rounds)
    result = {name: _medians(rows) for name, rows in found.items() if isinstance(rows[0], dict)}
    for name, row in result.items():
        row["seconds"] += statistics.median(found.get(f"{name}, matrix", [0.0]))
    return result


def milliseconds(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the time of each way."""
    return {name: round(1e3 * row["seconds"], 4) for name, row in found.items()}


@functools.lru_cache(maxsize=32)
def _program(shape: LayerShape, candidate: Candidate) -> Program | None:
    """Return the program of a layer, made once for all kernel sets; None if the candidate does not serve it."""
    if served(shape, candidate) != candidate:
        return None
    height, width = (min(size, PROGRAM_SIZE) for size in (shape.height, shape.width))
    try:
        return layer_program(dataclasses.replace(shape, height=height, width=width), candidate)
    except ValueError:  # sums of so many channels are not proven to fit
        return None


def _profile(shape: LayerShape, program: Program, kernel_set: str, threads: int) -> Any:
    """Return a call that measures a layer."""
    engine = Engine(program.to_bytes(), threads=threads, kernel_set=kernel_set)
    images = np.random.default_rng(0).standard_normal(
        (shape.batch, shape.in_channels, shape.height, shape.width), dtype=np.float32
    )
    engine(images)
    return functools.partial(_convolution, engine, images)


def _convolution(engine: Engine, images: Any) -> dict[str, Any]:
    return engine.profile(images, repeats=1)[1]


def _medians(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    return {
        key: statistics.median(row[key] for row in rows) if isinstance(value, int | float) else value
        for key, value in first.items()
    }


def _matrix_shape(shape: LayerShape) -> LayerShape:
    """Return the 1x1 convolution that multiplies the matrix."""
    rows, cols = shape.out
    channels = shape.in_channels * shape.kernel[0] * shape.kernel[1]
    return LayerShape(
        batch=shape.batch, in_channels=channels, out_channels=shape.out_channels, kernel=(1, 1), height=rows, width=cols
    )


def _writing(shape: LayerShape, dtype: str) -> Any:
    """Return a call that writes the matrix: a row of all channels of its window for each output pixel."""
    (rows, cols), (down, right) = shape.out, shape.kernel
    height, width = rows + down - 1, cols + right - 1
    padded = torch.zeros(shape.batch, height, width, shape.in_channels, dtype=STORED[dtype])
    n, h, w, c = padded.stride()
    windows = padded.as_strided((shape.batch, rows, cols, down, right, shape.in_channels), (n, h, w, h, w, c))
    matrix = torch.empty(windows.shape, dtype=padded.dtype)
    return functools.partial(matrix.copy_, windows)
