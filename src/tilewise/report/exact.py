"""What exact algorithms can gain by counting, as table and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tilewise.studies.exact import Count, Layer, Rates, counts

COLOURS = {"products": "#0072B2", "inputs": "#E69F00", "outputs": "#009E73", "weights": "#BBBBBB"}
FAMILY_COLOURS = {"wrapping sums": "#0072B2", "residues": "#D55E00"}
CHANNELS = (16, 32, 64, 96, 128, 192, 256, 384, 512)


def best_of_each(found: Sequence[Count]) -> dict[str, Count]:
    """Give the fastest of each family, from what :func:`tilewise.studies.exact.counts` gives."""
    wrapping, residues = ([c for c in found[1:] if ("2^32" in c.name) is wanted] for wanted in (True, False))
    return {"wrapping sums": wrapping[0], "residues": residues[0]}


def table(rows: Mapping[Layer, Sequence[Count]], rates: Rates, title: str) -> Table:
    """Tabulate the fastest of each family against direct int8.

    Parameters
    ----------
    rows : mapping of Layer to sequence of Count
        From :func:`tilewise.studies.exact.counts`.
    rates : Rates
        What they are timed by.
    title : str
        Above the table.
    """
    result = Table(title=title)
    for column in ("", "layer"):
        result.add_column(column)
    for family in FAMILY_COLOURS:
        result.add_column(family)
        for column in ("bound", "transforms", "weights, MB", "V and M, MB"):
            result.add_column(column, justify="right")
    for layer, found in rows.items():
        direct = found[0].seconds(rates)
        cells = [layer.network, layer.name]
        for count in best_of_each(found).values():
            instructions = count.products + count.inputs + count.outputs
            cells += [
                count.name, f"{direct / count.seconds(rates):.2f}x", f"{1 - count.products / instructions:.0%}",
                f"{count.weight_bytes / 1e6:.1f}", f"{(count.v_bytes + count.m_bytes) / 1e6:.1f}",
            ]  # fmt: skip
        result.add_row(*cells)
    return result


def figure(rows: Mapping[Layer, Sequence[Count]], rates: Rates, batch: int, path: Path) -> None:
    """Draw where the time goes, direct int8 being 1, and from how many channels on it pays.

    Parameters
    ----------
    rows, rates
        As for :func:`table`.
    batch : int
        Images of a call.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(14, 0.42 * len(rows) + 1.6), layout="constrained")
    FigureCanvasAgg(fig)
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    _bars(left, rows, rates)
    _lines(right, rates, batch)
    fig.suptitle(
        f"Counted, not measured: batch {batch}, int8 at {rates.int8 / 1e9:.0f} GOP/s, int16 at {rates.words:g} of it, "
        f"memory at {rates.memory / 1e9:.0f} GB/s", fontsize=10,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)


def _bars(axis: Any, rows: Mapping[Layer, Sequence[Count]], rates: Rates) -> None:
    """Two bars for each layer: wrapping sums above residues."""
    for row, found in enumerate(rows.values()):
        direct = found[0].seconds(rates)
        for offset, count in zip((0.2, -0.2), best_of_each(found).values(), strict=True):
            place, start = -row + offset, 0.0
            pieces = {s: getattr(count, s) / rates.instructions / direct for s in ("products", "inputs", "outputs")}
            pieces["weights"] = max(0.0, count.seconds(rates) / direct - sum(pieces.values()))
            for stage, width in pieces.items():
                axis.barh(place, width, 0.36, left=start, color=COLOURS[stage])
                start += width
            axis.text(
                start + 0.02, place, f"{count.name}: {1 / start:.2f}x", fontsize=6, va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    labels = dict(zip(COLOURS, ("products", "input transform", "output transform", "waiting for weights"), strict=True))
    for stage, colour in COLOURS.items():
        axis.barh(0, 0, color=colour, label=labels[stage])
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks([-row for row in range(len(rows))], [layer.name for layer in rows], fontsize=7)
    axis.set_ylim(-len(rows) + 0.4, 0.6)
    axis.set_xlim(0, 1.4 * axis.get_xlim()[1])
    axis.set_xlabel("time, direct int8 = 1")
    axis.legend(fontsize=7, loc="lower right")


def _lines(axis: Any, rates: Rates, batch: int) -> None:
    """Draw the gain over the number of channels on maps of 56x56."""
    for r, style in ((3, "-"), (5, "--")):
        found = [counts(Layer("", c, c, 56, r), rates, batch) for c in CHANNELS]
        for family, colour in FAMILY_COLOURS.items():
            gains = [f[0].seconds(rates) / best_of_each(f)[family].seconds(rates) for f in found]
            axis.plot(CHANNELS, gains, style, color=colour, marker=".", label=f"{r}x{r}, {family}")
    axis.axhline(1, color="black", linewidth=1)
    axis.set_xscale("log", base=2)
    axis.set_xticks(CHANNELS, [str(c) for c in CHANNELS], fontsize=7)
    axis.set_xlabel("input and output channels, maps of 56x56")
    axis.set_ylabel("bound of the gain over direct int8")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
