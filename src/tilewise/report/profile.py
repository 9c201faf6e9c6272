"""Where an engine's time goes: by operation and stage, against what the machine can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tilewise.common.picture import save_picture

STAGES = ("input_transform", "requantize", "multiply", "output_transform")
COLOURS = {
    "input_transform": "#E69F00", "requantize": "#D55E00", "multiply": "#0072B2", "output_transform": "#009E73",
    "whole": "#999999",
}  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]], peaks: Mapping[str, float], title: str) -> Table:
    """Tabulate a profile.

    Parameters
    ----------
    rows : sequence of dict
        Of ``Engine.profile``.
    peaks : mapping
        Of ``Engine.peaks``.
    title : str
        Above the table.
    """
    result = Table(title=title, caption="GOP/s count a direct convolution's operations; stages add up over threads")
    for column in ("layer", "kernel", "us", "share", *STAGES, "GOP/s", "of peak", "GB/s", "of memory's"):
        result.add_column(column.replace("_", " "), justify="left" if column in ("layer", "kernel") else "right")
    total = sum(row["seconds"] for row in rows)
    for row in rows:
        stages = [f"{row[s] * 1e6:.1f}" if row[s] else "" for s in STAGES]
        rate = row["operations"] / row["seconds"]
        speed = [f"{rate / 1e9:.0f}", _share(rate, _peak(row, peaks))] if row["operations"] else ["", ""]
        bandwidth = row["bytes"] / row["seconds"]
        result.add_row(
            row["name"], kernel_of(row), f"{row['seconds'] * 1e6:.1f}", f"{row['seconds'] / total:.1%}", *stages,
            *speed, f"{bandwidth / 1e9:.1f}", _share(bandwidth, peaks["memory_bytes"]),
        )  # fmt: skip
    result.add_section()
    result.add_row("all", "", f"{total * 1e6:.1f}")
    return result


def kernel_of(row: Mapping[str, Any]) -> str:
    """Name a row's kernel, with its algorithm."""
    return " ".join(filter(None, (row["op"], row.get("algorithm"))))


def _peak(row: Mapping[str, Any], peaks: Mapping[str, float]) -> float:
    measured = {"int8": "int8_operations", "f32": "float_operations"}
    name = measured.get(row["op"].rpartition("_")[2])
    return peaks[name] if name else 0.0  # of 16 bits none is measured


def _share(value: float, peak: float) -> str:
    return f"{value / peak:.0%}" if peak else ""


def figure(rows: Sequence[Mapping[str, Any]], peaks: Mapping[str, float], title: str, path: Path) -> None:
    """Draw each operation's time by stage, and the convolutions in a roofline with direct convolution's ceiling.

    Parameters
    ----------
    rows, peaks, title
        As for :func:`table`.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(13, max(3.6, 0.2 * len(rows) + 1.2)), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(title, fontsize=10)
    left, right = fig.subplots(1, 2)
    stage_bars(left, [{**row, "name": f"{row['name']} ({kernel_of(row)})"} for row in rows])
    left.legend(fontsize=8)
    roofline(right, [row for row in rows if row["operations"]], peaks)
    save_picture(fig, path)


def stage_bars(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw a bar for each row of a profile, its time shared out to stages."""
    places = range(len(rows), 0, -1)
    for place, row in zip(places, rows, strict=True):
        measured = sum(row[s] for s in STAGES)  # over all threads
        pieces = {s: row["seconds"] * row[s] / measured for s in STAGES if row[s]} or {"whole": row["seconds"]}
        start = 0.0
        for stage, seconds in pieces.items():
            axis.barh(place, seconds * 1e6, left=start, color=COLOURS[stage])
            start += seconds * 1e6
    for stage, colour in COLOURS.items():
        axis.barh(0, 0, color=colour, label=stage.replace("_", " "))
    axis.set_yticks(list(places), [row["name"] for row in rows], fontsize=7)
    axis.set_ylim(0.2, len(rows) + 0.8)
    axis.set_xlabel("microseconds")


def roofline(axis: Any, rows: Sequence[Mapping[str, Any]], peaks: Mapping[str, float]) -> None:
    """Draw convolutions of a profile under direct convolution's ceilings, if there are any."""
    intensity = [row["operations"] / row["bytes"] for row in rows]
    low, high = min(intensity) / 2, max(intensity) * 2
    for name, label in (("int8_operations", "int8 peak"), ("float_operations", "fp32 peak")):
        if not peaks.get(name):
            continue
        peak = peaks[name] / 1e9
        slope = peaks["memory_bytes"] / 1e9
        bend = min(max(peak / slope, low), high)
        axis.plot([low, bend, high], [min(peak, low * slope), min(peak, bend * slope), peak], "k-", linewidth=1)
        axis.text(high, peak, f"{label}, direct  ", ha="right", va="bottom", fontsize=8)
    for kernel in dict.fromkeys(kernel_of(row) for row in rows):
        mine = [row for row in rows if kernel_of(row) == kernel]
        x = [row["operations"] / row["bytes"] for row in mine]
        axis.plot(x, [row["operations"] / row["seconds"] / 1e9 for row in mine], "o", label=kernel, alpha=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("a direct convolution's operations per byte of activations and weights")
    axis.set_ylabel("GOP/s")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
