"""Latency beside accuracy, as table and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from tilewise.common.picture import save_picture
from tilewise.experiments.speed import BASELINE, SpeedRow


def table(rows: Sequence[SpeedRow], title: str) -> Table:
    """Tabulate one network's rows."""
    result = Table(title=title)
    for column in ("", "accuracy, %", "ms per image", "quartiles", f"speed against {BASELINE}"):
        result.add_column(column, justify="left" if not column else "right")
    for row in rows:
        result.add_row(
            row.case,
            "" if row.accuracy is None else f"{row.accuracy:.2f}",
            f"{row.milliseconds:.3f}",
            f"{row.fastest:.3f} to {row.slowest:.3f}",
            f"{row.speedup:.2f}x",
        )
    return result


def figure(networks: Mapping[str, Sequence[SpeedRow]], machine: str, path: Path) -> None:
    """Draw a bar for each row, a panel for each network; accuracy is written on the bars.

    Parameters
    ----------
    networks : mapping of str to rows
        By title.
    machine : str
        What it was measured on.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(6 * len(networks), 3.6), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(f"One call per image; {machine}", fontsize=10)
    panels = fig.subplots(1, len(networks), squeeze=False)[0]
    for axis, (title, rows) in zip(panels, networks.items(), strict=True):
        places = list(range(len(rows), 0, -1))
        spread = [
            [row.milliseconds - row.fastest for row in rows],
            [row.slowest - row.milliseconds for row in rows],
        ]
        colours = ["#999999" if row.case.startswith("direct") else "#0072B2" for row in rows]
        axis.barh(places, [row.milliseconds for row in rows], xerr=spread, color=colours, error_kw={"capsize": 2})
        for place, row in zip(places, rows, strict=True):
            text = f"{row.speedup:.2f}x" + ("" if row.accuracy is None else f", {row.accuracy:.1f} %")
            axis.text(row.slowest, place, f"  {text}", va="center", fontsize=8)
        axis.set_yticks(places, [row.case for row in rows])
        axis.set_xlim(0, 1.35 * max(row.slowest for row in rows))
        axis.set_xlabel("ms per image: median, quartiles")
        axis.set_title(title, fontsize=10)
    save_picture(fig, path)
