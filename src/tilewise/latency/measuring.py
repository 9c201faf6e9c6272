"""Measuring layers where they stand, in engines of a whole network, or alone, over channels and resolutions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.common.progress import track
from tilewise.conversion import convert
from tilewise.engine.capture import check_tensor
from tilewise.engine.compiler import make_program
from tilewise.latency.candidates import CANDIDATES, Candidate, check_candidates
from tilewise.latency.layers import layer_program, layer_work, move_transforms, with_ranges
from tilewise.latency.operations import SizedProgram, operation_of, operations_of
from tilewise.latency.records import Convolution
from tilewise.latency.shapes import LayerShape, ShapeGrid
from tilewise.latency.table import LatencyTable, open_table
from tilewise.latency.timing import ROUNDS, Here, Runner, Tally, Timed
from tilewise.nn import convolutions
from tilewise.quant import FLOAT_BITS

Layers: TypeAlias = Mapping[str, Candidate]
"""What each convolution of a network becomes, by its name."""

TOGETHER = 2**30
"""Bytes of weights in engines that take turns; there are at least two."""


def measure(
    model: nn.Module,
    example: Any,
    *,
    threads: int = 1,
    runner: Runner | None = None,
    candidates: Iterable[Candidate | str] = CANDIDATES,
    out: str | Path | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> LatencyTable:
    """Measure what each layer of a model takes as each candidate, and all else that a call of its engine does.

    Measured is within engines of the whole network, where a layer's weights and inputs come from where they will come
    from: one engine per candidate in all layers, and as many again in which each layer draws another candidate, so
    that what stands between layers of different types is measured too. Engines take turns, round by round. A layer
    that a candidate does not serve is direct at its width, as :func:`tilewise.convert` makes it.

    Parameters
    ----------
    model : torch.nn.Module
        Any network that can be compiled, converted or not; its weights do not matter.
    example : Tensor or array of shape (N, C, H, W), float32
        Images of the size to serve, N at once.
    threads : int
        How many to run with.
    runner : Runner, optional
        Where to measure, with its own number of threads (:func:`tilewise.latency.connect`); by default here.
    candidates : iterable of Candidate or str
        What to measure, such as ``"F4 int8"``.
    out : path, optional
        File of the table. Networks of which it holds everything are not measured again, so that a killed call
        continues; to measure anew, choose another file.
    rounds : int
        Runs of each engine, at least 1; medians are kept.
    seed : int
        Of noise, and of which layer draws what.

    Returns
    -------
    LatencyTable
        With the file's records, and the new ones.

    Raises
    ------
    ValueError
        If there are no candidates or one is unknown, the file is of another machine, or the network can not be
        compiled.
    """
    chosen, images, tally = check_candidates(candidates), check_tensor("example", example), Tally(rounds)
    runner = runner or Here(threads)
    convs = list(convolutions(model))
    choices = [*uniform(convs, chosen), *shuffled(convs, chosen, seed)]
    with open_table(out, runner.machine) as table:
        for group in groups(model, images, choices, runner, table):
            tally.take(group, "measure")
            for record in tally.records("network", runner, group):
                table.append(record)
    return table


def uniform(convs: Sequence[str], candidates: Sequence[Candidate]) -> list[Layers]:
    """Return a network for each candidate, which all of its layers are."""
    return [dict.fromkeys(convs, candidate) for candidate in candidates]


def shuffled(convs: Sequence[str], candidates: Sequence[Candidate], seed: int) -> list[Layers]:
    """Return networks in which each layer is each candidate once, in an order of its own.

    A network is compiled with one precision of float layers: float32 and bf16 are never in the same one.
    """
    random = np.random.default_rng(seed)
    found: list[Layers] = []
    for dtype, other in (("float32", "bf16"), ("bf16", "float32")):
        group = [c for c in candidates if c.dtype != other]
        if len(group) > 1 and (dtype == "float32" or any(c.dtype == dtype for c in group)):
            orders = [random.permutation(len(group)) for _ in convs]
            found += [
                {name: group[order[i]] for name, order in zip(convs, orders, strict=True)} for i in range(len(group))
            ]
    return found


def converted(model: nn.Module, layers: Layers, example: Tensor) -> nn.Module:
    """Convert a model as chosen, with ranges of noise; learned transforms are moved off their algorithm's zeros."""
    quantized = any(candidate.spec().bits != FLOAT_BITS for candidate in layers.values())
    specs = {name: candidate.spec() for name, candidate in layers.items()}
    result = convert(model, specs, skips="quantized" if quantized else "float").eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        move_transforms(result)
    return with_ranges(result, example)


def precision_of(layers: Layers) -> str:
    """Tell what to compile a network with."""
    return "bf16" if any(candidate.dtype == "bf16" for candidate in layers.values()) else "float32"


def compiled(model: nn.Module, layers: Layers, example: Tensor, runner: Runner) -> Timed:
    """Compile a network as chosen."""
    prepared = converted(model, layers, example)
    program = make_program(prepared, example, precision_of(layers))
    n, c, h, w = example.shape
    sized = SizedProgram.of(program, (n, c, h, w))
    return Timed(runner.load(sized), operations_of(sized, prepared))


def groups(
    model: nn.Module,
    example: Tensor,
    choices: Sequence[Layers],
    runner: Runner,
    known: LatencyTable | None = None,
) -> Iterator[list[Timed]]:
    """Compile the networks, as many at once as memory should hold; leave out those of which a table knows all."""
    group: list[Timed] = []
    size = 0
    for layers in choices:
        network = compiled(model, layers, example, runner)
        if known is not None and all(known.has(work, "network") for work in network.all_works):
            network.loaded.close()
            continue
        group.append(network)
        size += sum(array.nbytes for array in network.loaded.sized.program.arrays.values())
        if size >= TOGETHER and len(group) > 1:
            yield group
            group, size = [], 0
    if group:
        yield group


def measure_grid(
    grid: ShapeGrid,
    *,
    threads: int = 1,
    runner: Runner | None = None,
    candidates: Iterable[Candidate | str] = CANDIDATES,
    out: str | Path | None = None,
    rounds: int = ROUNDS,
) -> LatencyTable:
    """Measure convolutions over a grid of sizes, each alone in an engine.

    The candidates of a shape take turns, so that each finds the caches as the others left them, much as in a network.
    What the table's file has already is left out: a killed run goes on where it was.

    Parameters
    ----------
    grid : ShapeGrid
        The shapes.
    threads, runner, candidates, out, rounds
        As for :func:`tilewise.measure`.

    Returns
    -------
    LatencyTable
        With the file's records, and the new ones.

    Raises
    ------
    ValueError
        As for :func:`tilewise.measure`.
    """
    chosen = check_candidates(candidates)
    runner = runner or Here(threads)
    with open_table(out, runner.machine) as table:
        for shape in track(grid.shapes(), "grid", enabled=True):
            tally = Tally(rounds)
            wanted = [work for work in _wanted(shape, chosen) if not table.has(work, "grid")]
            programs = [_alone(work, runner) for work in wanted]
            tally.take(programs, "")
            for record in tally.records("grid", runner, programs):
                table.append(record)
    return table


def _wanted(shape: LayerShape, candidates: Sequence[Candidate]) -> list[Convolution]:
    """Return what there is to measure: candidates that serve the shape; float sums in both of their orders."""
    works = [layer_work(shape, c, ordered=ordered) for c in candidates for ordered in (False, True)]
    return [work for work in dict.fromkeys(works) if work.candidate in candidates]


def _alone(work: Convolution, runner: Runner) -> Timed:
    program = layer_program(work.shape, work.candidate, ordered=work.ordered)
    shape = (work.shape.batch, work.shape.in_channels, work.shape.height, work.shape.width)
    sized = SizedProgram.of(program, shape)
    return Timed(runner.load(sized), [operation_of(sized, 0), work, operation_of(sized, 2)])
