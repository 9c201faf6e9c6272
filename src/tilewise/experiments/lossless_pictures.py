"""What exact algorithms can gain by counting, as table and picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tilewise.common.picture import save_picture
from tilewise.experiments.lossless_counts import Count, Layer, Rates, counts

COLOURS = {"products": "#0072B2", "inputs": "#E69F00", "outputs": "#009E73", "weights": "#BBBBBB"}
FAMILY_COLOURS = {"wrapping sums": "#0072B2", "residues": "#D55E00"}
CHANNELS = (16, 32, 64, 96, 128, 192, 256, 384, 512)


def best_of_each(found: Sequence[Count]) -> dict[str, Count]:
    """Return the fastest of each family, from what :func:`tilewise.experiments.lossless_counts.counts` gives."""
    wrapping, residues = ([c for c in found[1:] if ("2^32" in c.name) is wanted] for wanted in (True, False))
    return {"wrapping sums": wrapping[0], "residues": residues[0]}


def table(rows: Mapping[Layer, Sequence[Count]], rates: Rates, title: str) -> Table:
    """Tabulate the fastest of each family against direct int8.

    Parameters
    ----------
    rows : mapping of Layer to sequence of Count
        From :func:`tilewise.experiments.lossless_counts.counts`.
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


def measured_figure(rows: Sequence[Mapping[str, Any]], channels: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw what was measured: stages of the fastest of each family, direct int8 being 1, and gains over channels.

    Parameters
    ----------
    rows : sequence of dict
        Of :mod:`tilewise.experiments.lossless_layers`, several algorithms for each layer.
    channels : sequence of dict
        The same for layers that differ in channels and kernel size only.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = _by_layer(rows)
    fig = Figure(figsize=(14, 0.42 * len(layers) + 1.6), layout="constrained")
    FigureCanvasAgg(fig)
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    stages = {"products": "multiply", "inputs": "input_transform", "outputs": "output_transform"}
    bars = []
    for found in layers.values():
        direct = found["direct"][0]["seconds"]
        named = []
        for row in (best for family in FAMILY_COLOURS for best in found[family][:1]):
            known = sum(row["stages"].values())  # timed in runs of their own
            share = row["seconds"] / direct / known
            named.append((row["algorithm"], {s: row["stages"][key] * share for s, key in stages.items()}))
        bars.append(named)
    _bars(left, [f"{c} -> {k}, {size}x{size}, {r}x{r}" for r, size, c, k in layers], bars)
    sweep = _by_layer(channels)
    for r, style in ((3, "-"), (5, "--")):
        for family, colour in FAMILY_COLOURS.items():
            points = [
                (found["direct"][0]["channels"], found["direct"][0]["seconds"] / found[family][0]["seconds"])
                for found in sweep.values() if found["direct"][0]["r"] == r and found[family]
            ]  # fmt: skip
            right.plot(*zip(*points, strict=True), style, color=colour, marker=".", label=f"{r}x{r}, {family}")
    _over_channels(right, sorted({row["channels"] for row in channels}), "gain over direct int8")
    fig.suptitle("Measured: exact int8 layers against direct int8, one thread", fontsize=10)
    save_picture(fig, path, dpi=110)


def _by_layer(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]]:
    """Sort rows by layer and family, the fastest first."""
    found: dict[tuple[Any, ...], dict[str, list[Mapping[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: float(row["seconds"])):
        name = row["algorithm"]
        family = name if name == "direct" else "residues" if name.startswith("F(") else "wrapping sums"
        families: dict[str, list[Mapping[str, Any]]] = {"direct": [], **{f: [] for f in FAMILY_COLOURS}}
        layer = tuple(row[key] for key in ("r", "size", "channels", "filters"))
        found.setdefault(layer, families)[family].append(row)
    return dict(sorted(found.items(), key=lambda item: (item[0][0], -item[0][1], item[0][2])))


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
    _bars(left, [layer.name for layer in rows], _counted(rows, rates))
    _lines(right, rates, batch)
    fig.suptitle(
        f"Counted, not measured: batch {batch}, int8 at {rates.int8:.0f} GOP/s, int16 at {rates.words:g} of it, "
        f"memory at {rates.memory:.0f} GB/s", fontsize=10,
    )  # fmt: skip
    save_picture(fig, path, dpi=110)


def _counted(rows: Mapping[Layer, Sequence[Count]], rates: Rates) -> list[list[tuple[str, dict[str, float]]]]:
    """Return for each layer name and stages of the fastest of each family."""
    bars = []
    for found in rows.values():
        direct, named = found[0].seconds(rates), []
        for count in best_of_each(found).values():
            pieces = {s: getattr(count, s) / rates.instructions / direct for s in ("products", "inputs", "outputs")}
            pieces["weights"] = max(0.0, count.seconds(rates) / direct - sum(pieces.values()))
            named.append((count.name, pieces))
        bars.append(named)
    return bars


def _bars(axis: Any, layers: Sequence[str], bars: Sequence[Sequence[tuple[str, Mapping[str, float]]]]) -> None:
    """Up to two bars for each layer: wrapping sums above residues; stages by name, direct int8 being 1."""
    for row, named in enumerate(bars):
        for offset, (name, pieces) in zip((0.2, -0.2), named, strict=False):
            place, start = -row + offset, 0.0
            for stage, width in pieces.items():
                axis.barh(place, width, 0.36, left=start, color=COLOURS[stage])
                start += width
            axis.text(
                start + 0.02, place, f"{name}: {1 / start:.2f}x", fontsize=6, va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    labels = dict(zip(COLOURS, ("products", "input transform", "output transform", "waiting for weights"), strict=True))
    for stage in dict.fromkeys(stage for named in bars for _, pieces in named for stage in pieces):
        axis.barh(0, 0, color=COLOURS[stage], label=labels[stage])
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks([-row for row in range(len(layers))], layers, fontsize=7)
    axis.set_ylim(-len(layers) + 0.4, 0.6)
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
    _over_channels(axis, CHANNELS, "bound of the gain over direct int8")


def _over_channels(axis: Any, channels: Sequence[int], what: str) -> None:
    axis.axhline(1, color="black", linewidth=1)
    axis.set_xscale("log", base=2)
    axis.set_xticks(channels, [str(c) for c in channels], fontsize=7)
    axis.set_xlabel("input and output channels, maps of 56x56")
    axis.set_ylabel(what)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
