"""Accuracy over latency, and what the networks on the front are made of, as table and pictures."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tilewise.common.picture import save_picture
from tilewise.experiments.front import UNIFORM, front
from tilewise.experiments.speed import BASELINE, SpeedRow
from tilewise.report.accuracy import COLOURS
from tilewise.winas import Architecture
from tilewise.winas.architecture import algorithm_of, label

FOUND_COLOUR, UNIFORM_COLOUR = "#D55E00", "#0072B2"


def table(rows: Sequence[SpeedRow], expected: Mapping[str, Architecture], title: str) -> Table:
    """Tabulate measured networks; those on the front are marked.

    Parameters
    ----------
    rows : sequence of SpeedRow
        As measured.
    expected : mapping of str to Architecture
        The found ones, by case.
    title : str
        Above the table.
    """
    result = Table(title=title)
    for column in ("", "front", "accuracy, %", "ms per image", "quartiles", "table says", f"against {BASELINE}"):
        result.add_column(column, justify="right" if column else "left")
    best = front(rows)
    for row in sorted(rows, key=lambda r: r.milliseconds):
        said = f"{1e3 * expected[row.case].expected_seconds:.3f}" if row.case in expected else ""
        result.add_row(
            row.case, "*" if row in best else "", f"{row.accuracy:.2f}", f"{row.milliseconds:.3f}",
            f"{row.fastest:.3f} to {row.slowest:.3f}", said, f"{row.speedup:.2f}x",
        )  # fmt: skip
    return result


def figure(rows: Sequence[SpeedRow], title: str, path: Path) -> None:
    """Draw accuracy over milliseconds, with the front as a line.

    What is far below the front would hide it: the axis ends half a point below the least accurate network on it, and
    what lies lower is drawn at the edge with its accuracy.

    Parameters
    ----------
    rows : sequence of SpeedRow
        As measured.
    title : str
        Above the picture.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    fig = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(fig)
    axis = fig.subplots()
    best = front(rows)
    floor = min(row.accuracy or 0.0 for row in best) - 0.5
    axis.step(
        [r.milliseconds for r in best], [r.accuracy or 0.0 for r in best], where="post", color="#999999", label="front"
    )
    for row in rows:
        found = row.case not in UNIFORM
        accuracy = row.accuracy or 0.0
        spread = [[row.milliseconds - row.fastest], [row.slowest - row.milliseconds]]
        axis.errorbar(
            row.milliseconds, max(accuracy, floor), xerr=spread, marker="*" if found else "o",
            markersize=11 if found else 6, color=FOUND_COLOUR if found else UNIFORM_COLOUR, capsize=2,
        )  # fmt: skip
        text = row.case if accuracy >= floor else f"{row.case}: {accuracy:.1f} %"
        # To the left of found ones, to the right of uniform ones, as networks stand close together.
        beside = {"xytext": (-8, -3), "ha": "right"} if found else {"xytext": (3, 6)}
        axis.annotate(text, (row.milliseconds, max(accuracy, floor)), textcoords="offset points", fontsize=8, **beside)
    axis.plot([], [], "*", color=FOUND_COLOUR, markersize=11, label="found")
    axis.plot([], [], "o", color=UNIFORM_COLOUR, label="uniform")
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(ScalarFormatter())
    axis.set_xlabel("ms per image: median, quartiles")
    axis.set_ylabel("accuracy, %")
    axis.set_title(title, fontsize=10, wrap=True)
    axis.grid(alpha=0.3)
    axis.margins(x=0.12, y=0.1)
    axis.legend(fontsize=8)
    save_picture(fig, path)


def architecture_figure(found: Mapping[str, Architecture], title: str, path: Path) -> None:
    """Draw which algorithm and width each layer of each architecture has: layers downwards, as they run.

    Parameters
    ----------
    found : mapping of str to Architecture
        By name.
    title : str
        Above the picture.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = list(next(iter(found.values())).specs)
    others = {algorithm_of(spec) for a in found.values() for spec in a.specs.values()} - {"direct"}
    colours = {"direct": "#E0E0E0"} | dict(zip(sorted(others), itertools.cycle(_light(COLOURS[1:]))))
    fig = Figure(figsize=(2.2 + 1.1 * len(found), 1 + 0.28 * len(layers)), layout="constrained")
    FigureCanvasAgg(fig)
    axis = fig.subplots()
    for column, architecture in enumerate(found.values()):
        for place, layer in enumerate(layers):
            spec = architecture.specs[layer]
            axis.barh(place, 0.94, 0.86, left=column + 0.03, color=colours[algorithm_of(spec)])
            style = "normal" if layer in architecture.probabilities else "italic"  # italic: there was no choice
            axis.text(column + 0.5, place, label(spec), ha="center", va="center", fontsize=8, style=style)
    said = [f"{name}\n{1e3 * a.expected_seconds:.3f} ms" for name, a in found.items()]
    axis.set_xticks([i + 0.5 for i in range(len(found))], said, fontsize=8)
    axis.set_yticks(range(len(layers)), layers, fontsize=8)
    axis.set_xlim(0, len(found))
    axis.set_ylim(len(layers) - 0.4, -0.6)
    axis.tick_params(length=0)
    for side in axis.spines.values():
        side.set_visible(False)
    fig.suptitle(f"{title}\nitalic: no choice; below: what the table says", fontsize=9, wrap=True)
    save_picture(fig, path)


def _light(colours: Sequence[str]) -> list[Any]:
    """Mix colours with white, so that black text on them can be read."""
    from matplotlib.colors import to_rgb

    return [tuple(0.55 + 0.45 * part for part in to_rgb(colour)) for colour in colours]
