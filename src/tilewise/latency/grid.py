"""Measuring single convolutions over channels and resolutions, for layers between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tilewise.common.progress import track
from tilewise.latency.candidates import CANDIDATES, Candidate, check_candidates
from tilewise.latency.jobs import layer_program, layer_work
from tilewise.latency.networks import open_table
from tilewise.latency.records import Convolution
from tilewise.latency.runners import Here, Runner
from tilewise.latency.shape_grid import ShapeGrid
from tilewise.latency.shapes import LayerShape
from tilewise.latency.table import LatencyTable
from tilewise.latency.timing import ROUNDS, Tally, Timed
from tilewise.latency.works import SizedProgram, operation_of


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
    table = open_table(out, runner.machine)
    for shape in track(grid.shapes(), "grid", enabled=True):
        tally = Tally(rounds)
        wanted = [work for work in _works(shape, chosen) if not table.has(work, "grid")]
        programs = [_alone(work, runner) for work in wanted]
        tally.take(programs, "")
        for record in tally.records("grid", runner, programs):
            table.append(record)
    return table


def _works(shape: LayerShape, candidates: Sequence[Candidate]) -> list[Convolution]:
    """Give what there is to measure: candidates that serve the shape; float sums in both of their orders."""
    works = [layer_work(shape, c, mixed=mixed) for c in candidates for mixed in (False, True)]
    return [work for work in dict.fromkeys(works) if work.candidate in candidates]


def _alone(work: Convolution, runner: Runner) -> Timed:
    program = layer_program(work.shape, work.candidate, mixed=work.unfused)
    shape = (work.shape.batch, work.shape.in_channels, work.shape.height, work.shape.width)
    sized = SizedProgram.of(program, shape)
    return Timed(runner.load(sized), [operation_of(sized, 0), work, operation_of(sized, 2)])
