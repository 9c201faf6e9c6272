"""Tuning: of several programs of one network, operation by operation the fastest on this machine.

Measured is within the network, where weights come from where they will come from: a layer that is fast in a loop of
its own may wait for memory between its neighbours.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import nn

from tilewise.conversion import convert
from tilewise.engine.engine import Choice, Engine
from tilewise.engine.lossless import candidates
from tilewise.engine.program import Program
from tilewise.nn import QuantizedConv, convolutions
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd

ALGORITHMS = ("F2", "F4", "F6")
BLOCKS = (12, 24, 48, 96)
BLOCKED = ("fast", "wrapping", "residue")
"""Operations whose tiles go through in blocks."""
ROUNDS = 7
WORTHWHILE = 0.98
"""What replaces the first choice has to take less than this share of its time: below that it is noise."""


def free_layers(model: nn.Module) -> list[str]:
    """Name the float convolutions of a float network: any algorithm computes them, up to float rounding.

    A quantized layer's algorithm is part of what was trained; and where a network has quantized layers, what is
    float keeps its order of rounding.
    """
    convs = convolutions(model)
    if any(isinstance(m, QuantizedConv) and m.spec.bits != FLOAT_BITS for m in convs.values()):
        return []
    return [name for name, m in convs.items() if not isinstance(m, QuantizedConv) or isinstance(m.spec, Direct)]


def tune(
    model: nn.Module,
    images: Sequence[NDArray[np.float32]],
    threads: int,
    make: Callable[[nn.Module], Program],
) -> tuple[Program, list[Choice]]:
    """Choose algorithms of free layers, then the tiles of a block of each fast convolution, by measuring.

    Parameters
    ----------
    model : torch.nn.Module
        As for :func:`tilewise.compile`.
    images : sequence of arrays of shape (N, C, H, W), float32
        What to measure with, one for each input.
    threads : int
        How many to measure with.
    make : callable
        Returns a model's program.

    Returns
    -------
    Program
        With the choices in it: saving it keeps them.
    list of Choice
        One for each operation that had one.
    """
    program, choices = make(model), []
    if free := free_layers(model):
        specs: dict[str, dict[str, Spec]] = {"": {}}
        specs |= {name: dict.fromkeys(free, Winograd(name, bits=FLOAT_BITS)) for name in ALGORITHMS}
        programs = {name or "direct": make(convert(model, spec) if spec else model) for name, spec in specs.items()}
        program, found = _fastest(programs, images, threads)
        choices += found
    if lossless := candidates(program):
        program, found = _fastest({"direct": program, **lossless}, images, threads)
        choices += found
    if any(operation["op"] in BLOCKED for operation in program.operations):
        programs = {"model": program} | {f"{block} tiles": with_block(program, block) for block in BLOCKS}
        program, found = _fastest(programs, images, threads)
        choices += found
    return program, choices


def with_block(program: Program, block: int) -> Program:
    """Return the program with so many tiles in a block of every convolution that goes through in blocks."""
    operations = tuple({**o, "block": block} if o["op"] in BLOCKED else o for o in program.operations)
    return dataclasses.replace(program, operations=operations)


def _fastest(
    programs: Mapping[str, Program],
    images: Sequence[NDArray[np.float32]],
    threads: int,
) -> tuple[Program, list[Choice]]:
    """Compose the fastest program of those that differ in single operations only; the first one is the default."""
    engines = {name: Engine(program.to_bytes(), threads=threads) for name, program in programs.items()}
    seconds: dict[str, list[list[float]]] = {name: [] for name in programs}
    console = Console(stderr=True)
    for _ in track(range(ROUNDS), "tune", console=console, disable=not console.is_terminal, transient=True):
        for name, engine in engines.items():
            seconds[name].append([row["seconds"] for row in engine.profile(*images, repeats=3)])
    default, choices = next(iter(programs)), []
    result = programs[default]
    for i, operation in enumerate(programs[default].operations):
        times = {
            name: statistics.median(row[i] for row in seconds[name])
            for name, program in programs.items()
            if name == default or program.operations[i] != operation
        }
        best = min(times, key=lambda name: times[name])
        chosen = best if times[best] < WORTHWHILE * times[default] else default
        if chosen != default:
            other = programs[chosen]
            result = result.with_operation(i, other.operations[i]["op"], _without_names(other.fields(i)))
        if len(times) > 1:
            choices.append(Choice(operation["name"], chosen, times))
    return result, choices


def _without_names(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("op", "name")}
