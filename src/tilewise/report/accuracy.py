"""Accuracy by algorithm and bit width, as a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from tilewise.common.picture import save_picture
from tilewise.experiments.demo import SWAPPED, WIDTHS, Row

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#009E73")


def table(rows: Sequence[Row], title: str) -> Table:
    """Lay rows out by algorithm, with one column per width and the adapted result last.

    Parameters
    ----------
    rows : sequence of Row
        As the demo measured them.
    title : str
        Above the table.
    """
    out = Table(title=title)
    for column in ("algorithm", "scales"):
        out.add_column(column)
    for column in (
        "32 bits",
        *(f"{b} bits" for b in WIDTHS),
        "8 bits, adapted static",
        "8 bits, adapted learned",
    ):
        out.add_column(column, justify="right")
    for algorithm in SWAPPED:
        for scales in ("tensor", "tap"):
            mine = [r for r in rows if r.algorithm == algorithm and (r.scales == scales or r.bits == 32)]
            if all(r.bits == 32 for r in mine):
                continue
            plain = [_cell(mine, bits, adapted=False, transforms="static") for bits in (32, *WIDTHS)]
            adapted = [_cell(mine, 8, adapted=True, transforms=t) for t in ("static", "learned")]
            out.add_row(algorithm, scales if algorithm != "direct" else "channel", *plain, *adapted)
    return out


def _cell(rows: Sequence[Row], bits: int, *, adapted: bool, transforms: str) -> str:
    found = [r for r in rows if (r.bits, r.adapted, r.transforms) == (bits, adapted, transforms)]
    return f"{found[0].accuracy:.1f}" if found else ""


def figure(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw accuracy against bit width for each algorithm, one panel per kind of scales, adapted results as stars.

    Parameters
    ----------
    rows : sequence of Row
        As the demo measured them.
    title : str
        Above the panels.
    path : Path
        PNG file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(title)
    left, right = fig.subplots(1, 2, sharey=True)
    widths = [32, *WIDTHS]
    for axis, scales in ((left, "tensor"), (right, "tap")):
        for place, (algorithm, colour) in enumerate(zip(SWAPPED, COLOURS, strict=True)):
            shift = 0.05 * (place - 2.5)  # equal accuracies stay visible side by side
            mine = [r for r in rows if r.algorithm == algorithm]
            plain = {
                r.bits: r.accuracy
                for r in mine
                if not r.adapted and (algorithm == "direct" or r.scales == scales or r.bits == 32)
            }
            x = [widths.index(bits) + shift for bits in plain]
            axis.plot(x, list(plain.values()), marker="o", markersize=5, color=colour, label=algorithm)
            for r in mine:
                if r.adapted and r.scales == scales:
                    marker, column = ("*", 3.45) if r.transforms == "learned" else ("P", 3.3)
                    axis.plot(column + shift, r.accuracy, marker, color=colour, markersize=10, markeredgecolor="white")
        axis.set_title(f"one scale per {scales}")
        axis.set_xticks(range(len(widths)), ["float", *(str(b) for b in WIDTHS)])
        axis.set_xlabel("bits")
        axis.set_ylim(0, 102)
        axis.grid(alpha=0.3)
    left.set_ylabel("accuracy, %")
    left.plot([], [], "P", color="grey", markersize=10, label="adapted, static")
    left.plot([], [], "*", color="grey", markersize=12, label="adapted, learned")
    left.legend(loc="lower left", fontsize=8)
    save_picture(fig, path)
