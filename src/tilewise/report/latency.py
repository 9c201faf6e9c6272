"""Latency tables as tables and pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tilewise.common.picture import save_picture
from tilewise.engine.engine import measure_peaks
from tilewise.latency import Candidate, Convolution, LatencyTable, LayerShape, Machine, Record
from tilewise.latency.layers import served
from tilewise.latency.models import weight_bytes
from tilewise.latency.operations import ends_bytes
from tilewise.report.profile import COLOURS, STAGES, roofline, stage_bars

PANELS = 6
"""Shapes that the picture of stages shows: those that take longest."""


def table_of_layers(
    table: LatencyTable, layers: Mapping[str, LayerShape], candidates: Sequence[Candidate], title: str
) -> Table:
    """Tabulate what each shape of a network's layers takes as each candidate, the fastest marked.

    Parameters
    ----------
    table : LatencyTable
        Of that network.
    layers : mapping of str to LayerShape
        Of :func:`tilewise.latency.layer_shapes`.
    candidates : sequence of Candidate
        The columns.
    title : str
        The network's name.
    """
    result = Table(title=f"{title}: microseconds, the fastest marked by *", caption=str(table.machine))
    result.add_column("layers", no_wrap=True)
    for candidate in candidates:
        result.add_column(str(candidate), justify="right")
    for shape, count in Counter(layers.values()).items():
        times = [
            table.seconds(shape, c.spec(), c.precision)
            if served(shape, c) == c else None
            for c in candidates
        ]  # fmt: skip
        best = min((t for t in times if t is not None), default=None)
        cells = ["" if t is None else f"{1e6 * t:.1f}{'*' if t == best else ' '}" for t in times]
        result.add_row(f"{count} x {describe(shape)}", *cells)
    return result


def describe(shape: LayerShape) -> str:
    """Name a shape shortly."""
    stride = "" if shape.stride == (1, 1) else f" /{shape.stride[0]}"
    groups = "" if shape.groups == 1 else f" ({shape.groups} groups)"
    kernel = "x".join(map(str, shape.kernel))
    return f"{shape.in_channels}-{shape.out_channels}{groups} {kernel}{stride}, {shape.height}x{shape.width}"


def figures(table: LatencyTable, folder: Path) -> list[Path]:
    """Draw what a table has: latency over channels and resolution of its grid, stages, rooflines.

    Parameters
    ----------
    table : LatencyTable
        With convolutions in it.
    folder : path
        For the PNG files.

    Returns
    -------
    list of path
        The files.

    Raises
    ------
    ValueError
        If it has no convolutions.
    """
    records = [record for record in table if isinstance(record.work, Convolution)]
    if not records:
        raise ValueError("the latency table has no convolutions to draw")
    on_grid = [record for record in records if record.source == "grid"]
    written = []
    if on_grid:
        _grid_figure(on_grid, str(table.machine), folder / "grid.png")
        written.append(folder / "grid.png")
    _stage_figure(records, str(table.machine), folder / "stages.png")
    _roofline_figure(records, table.machine, folder / "roofline.png")
    return [*written, folder / "stages.png", folder / "roofline.png"]


def _grid_figure(records: Sequence[Record], title: str, path: Path) -> None:
    """Draw seconds over channels, K / C being 1 or next to it: a column for each resolution, a row for each type."""
    works = [_convolution(record) for record in records]
    ratios = [work.shape.out_channels / work.shape.in_channels for work in works]
    nearest = min(ratios, key=lambda ratio: abs(ratio - 1))
    square = [(record, work) for record, work, ratio in zip(records, works, ratios, strict=True) if ratio == nearest]
    dtypes = list(dict.fromkeys(work.candidate.dtype for _, work in square))
    sizes = sorted({work.shape.height for _, work in square})
    fig = _figure(3.2 * len(sizes) + 1, 3 * len(dtypes) + 0.6, title)
    axes = fig.subplots(len(dtypes), len(sizes), squeeze=False, sharex=True, sharey="col")
    for row, dtype in zip(axes, dtypes, strict=True):
        for axis, size in zip(row, sizes, strict=True):
            lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
            for record, work in square:
                if (work.candidate.dtype, work.shape.height) == (dtype, size):
                    lines[_label(record)].append((work.shape.in_channels, 1e6 * record.seconds))
            for label, points in lines.items():
                axis.plot(*zip(*sorted(points), strict=True), "o-", label=label, markersize=3, linewidth=1)
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.grid(alpha=0.3)
            axis.set_title(f"{dtype}, {size}x{size}", fontsize=9)
        row[0].set_ylabel("microseconds")
        row[0].legend(fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("input channels")
    save_picture(fig, path)


def _stage_figure(records: Iterable[Record], title: str, path: Path) -> None:
    """Draw the shapes that take longest: a panel each, a bar for each candidate, its stages in it."""
    shapes: dict[LayerShape, dict[str, Record]] = defaultdict(dict)
    for record in records:
        shapes[_convolution(record).shape].setdefault(_label(record), record)
    staged = {shape: rows for shape, rows in shapes.items() if any(r.stages for r in rows.values())} or shapes
    largest = sorted(staged, key=lambda shape: -min(r.seconds for r in staged[shape].values()))[:PANELS]
    columns = min(3, len(largest))
    lines = -(-len(largest) // columns)
    height = 0.2 * max(len(staged[shape]) for shape in largest) + 1.2
    fig = _figure(6 * columns, height * lines + 0.8, title)
    panels = list(fig.subplots(lines, columns, squeeze=False).flat)
    for axis, shape in zip(panels, largest, strict=False):
        stage_bars(axis, [_row(record, label) for label, record in staged[shape].items()])
        axis.set_title(describe(shape), fontsize=9)
    for axis in panels[len(largest) :]:
        axis.set_axis_off()
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS), fontsize=8)
    save_picture(fig, path)


def _roofline_figure(records: Sequence[Record], machine: Machine, path: Path) -> None:
    """Draw a roofline for each type. Ceilings are measured, so a table of another machine has none."""
    dtypes = list(dict.fromkeys(_convolution(record).candidate.dtype for record in records))
    fig = _figure(6.5 * len(dtypes), 5.5, str(machine))
    here = Machine.here(machine.threads) == machine
    peaks = measure_peaks(machine.isa, machine.threads) if here else {}
    for axis, dtype in zip(fig.subplots(1, len(dtypes), squeeze=False)[0], dtypes, strict=True):
        rows = [_row(record, "") for record in records if _convolution(record).candidate.dtype == dtype]
        roofline(axis, rows, peaks)
        axis.set_title(dtype, fontsize=9)
    save_picture(fig, path)


def _row(record: Record, label: str) -> dict[str, Any]:
    """Return a record of a convolution in the form of ``Engine.profile``."""
    work = _convolution(record)
    return {
        **dict.fromkeys(STAGES, 0.0), **record.stages, "name": label, "op": str(work.candidate),
        "seconds": record.seconds, "operations": work.shape.operations, "bytes": ends_bytes(work) + weight_bytes(work),
    }  # fmt: skip


def _label(record: Record) -> str:
    """Name a record's candidate, and whether its float sums have one order."""
    work = _convolution(record)
    return str(work.candidate) + (" in one order" if work.ordered else "")


def _convolution(record: Record) -> Convolution:
    assert isinstance(record.work, Convolution)
    return record.work


def _figure(width: float, height: float, title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(title, fontsize=10)
    return fig
