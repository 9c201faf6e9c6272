"""Results as pictures: a roofline, bars per layer, bars per network."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peers.ratios import best, gops
from peers.registry import OURS
from peers.results import DTYPES, Contender, Unit

COLOURS = {
    OURS: "#0072B2", f"{OURS} direct": "#56B4E9", "openvino": "#E69F00", "onnxruntime": "#999999", "litert": "#F0E442",
    "ncnn": "#CC79A7", "torch": "#D55E00", "onednn": "#009E73",
}  # fmt: skip


def draw(units: Sequence[Unit], about: dict[str, Any], folder: Path) -> list[Path]:
    """Write all pictures; give their paths."""
    written = []
    for dtype, threads in dict.fromkeys((unit.dtype, unit.threads) for unit in units):
        mine = [unit for unit in units if (unit.dtype, unit.threads) == (dtype, threads)]
        layers, networks = ([unit for unit in mine if unit.kind == kind] for kind in ("layer", "network"))
        title = f"{dtype}, {about['machine']}, threads: {threads}"
        figures = {}
        for batch in dict.fromkeys(unit.batch for unit in layers):
            same = [unit for unit in layers if unit.batch == batch]
            name = f"{dtype}-{threads}" + (f"-batch-{batch}" if batch > 1 else "")
            if DTYPES[dtype].peak:
                figures[f"roofline-{name}"] = roofline(same, f"batch {batch}, {title}")
            figures[f"layers-{name}"] = layer_bars(same, f"batch {batch}, {title}")
        if networks:
            figures[f"networks-{dtype}-{threads}"] = network_bars(networks, title)
        for name, figure in figures.items():
            written.append(folder / f"{name}.png")
            figure.savefig(written[-1], dpi=110)
    return written


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def roofline(layers: list[Unit], title: str) -> Any:
    """Operations per byte of a direct convolution against GOP/s, under what direct can reach."""
    figure = _figure(8, 5.5)
    axis = figure.subplots()
    peaks = {name: statistics.median(unit.peaks[name] for unit in layers) / 1e9 for name in layers[0].peaks}
    top = peaks[str(DTYPES[layers[0].dtype].peak)]
    points = [unit.operations / unit.bytes for unit in layers]
    left, right = min(points) / 2, max(points) * 2.5
    for memory, style in (("memory_bytes", ":"), ("cache_bytes", "--")):
        knee = min(max(top / peaks[memory], left), right)
        line = [left, knee, right]
        label = f"direct at most, {memory.removesuffix('_bytes')} at {peaks[memory]:.0f} GB/s"
        axis.plot(line, [min(top, peaks[memory] * x) for x in line], "k" + style, linewidth=1, label=label)
    axis.annotate(
        f"peak of the cores: {top:.0f} GOP/s", (right, top), (-4, 4), textcoords="offset points", ha="right", fontsize=8
    )
    for ours, direct, label, marker, colour in (
        (True, False, "ours, best", "o", COLOURS[OURS]),
        (True, True, "ours, direct", "o", COLOURS[f"{OURS} direct"]),
        (False, False, "best peer", "^", COLOURS["onednn"]),
        (False, True, "best direct peer", "^", COLOURS["onnxruntime"]),
    ):
        found = [(x, unit, best(unit, ours=ours, direct=direct)) for x, unit in zip(points, layers, strict=True)]
        shown = [(x, gops(unit, c)) for x, unit, c in found if c is not None]
        if shown:
            axis.scatter(*zip(*shown, strict=True), marker=marker, color=colour, label=label, zorder=3)
    for x, unit in zip(points, layers, strict=True):
        contender = best(unit, ours=True)
        if contender is not None:
            axis.annotate(unit.case, (x, gops(unit, contender)), (4, 4), textcoords="offset points", fontsize=6)
    axis.set(xscale="log", yscale="log", xlim=(left, right))
    axis.set_xlabel("operations per byte of input, output and weights")
    axis.set_ylabel("GOP/s of a direct convolution's operations")
    axis.set_title(f"Single layers, {title}", fontsize=10)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def _champions(unit: Unit) -> dict[str, Contender]:
    """Return the best right variant of each peer, of ours also the best direct one."""
    found = {}
    for peer in dict.fromkeys(c.peer for c in unit.contenders):
        right = [c for c in unit.contenders if c.peer == peer and unit.counts(c)]
        choices = {peer: right, f"{peer} direct": [c for c in right if not c.fast] if peer == OURS else []}
        for name, some in choices.items():
            if some:
                found[name] = min(some, key=lambda c: statistics.median(c.seconds))
    return found


def layer_bars(layers: list[Unit], title: str) -> Any:
    """A group of bars per layer: the best of each peer, of ours also direct."""
    figure = _figure(14, 5)
    axis = figure.subplots()
    champions = [_champions(unit) for unit in layers]
    names = [name for name in COLOURS if any(name in found for found in champions)]
    width = 0.85 / len(names)
    for place, name in enumerate(names):
        bars = [
            (i + (place - (len(names) - 1) / 2) * width, gops(unit, found[name]))
            for i, (unit, found) in enumerate(zip(layers, champions, strict=True))
            if name in found
        ]
        x, height = zip(*bars, strict=True)
        axis.bar(x, height, width=width, color=COLOURS[name], label="tilewise, best" if name == OURS else name)
    for i, found in enumerate(champions):
        if OURS in found:
            top = (i - (len(names) - 1) / 2 * width, gops(layers[i], found[OURS]))
            axis.annotate(found[OURS].variant, top, (0, 2), textcoords="offset points", ha="center", fontsize=7)
    if measured := DTYPES[layers[0].dtype].peak:
        peak = statistics.median(unit.peaks[measured] for unit in layers) / 1e9
        axis.axhline(peak, color="black", linestyle="--", linewidth=1, label=f"peak of the cores, {peak:.0f}")
    axis.set_xticks(range(len(layers)), [unit.case for unit in layers], rotation=20, fontsize=8, ha="right")
    axis.set_ylabel("GOP/s of a direct convolution's operations")
    axis.set_title(f"Single layers, {title}", fontsize=10)
    axis.set_ylim(0, axis.get_ylim()[1] * 1.2)  # room for the legend
    axis.legend(fontsize=8, ncols=5, loc="upper left")
    return figure


def network_bars(networks: list[Unit], title: str) -> Any:
    """A panel per network and batch: milliseconds of the best of each peer."""
    cases, batches = ([*dict.fromkeys(values)] for values in zip(*((u.case, u.batch) for u in networks), strict=True))
    figure = _figure(4.2 * len(cases), 2.6 * len(batches) + 0.5)
    figure.suptitle(f"Whole networks, {title}", fontsize=10)
    panels = figure.subplots(len(batches), len(cases), squeeze=False)
    for row, batch in zip(panels, batches, strict=True):
        for axis, case in zip(row, cases, strict=True):
            unit = next((u for u in networks if (u.case, u.batch) == (case, batch)), None)
            if unit is None:
                axis.set_axis_off()
                continue
            _panel(axis, unit)
    return figure


def _panel(axis: Any, unit: Unit) -> None:
    found = _champions(unit)
    names = [name for name in COLOURS if name in found][::-1]
    times = [statistics.median(found[name].call) * 1e3 for name in names]
    axis.barh(range(len(names)), times, color=[COLOURS[name] for name in names])
    for place, (name, value) in enumerate(zip(names, times, strict=True)):
        variant = found[name].variant
        text = f" {value:.3g}" + ("" if variant in ("default", "direct") else f"  {variant}")
        axis.annotate(text, (value, place), va="center", fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_xlim(0, 1.5 * max(times, default=1))
    axis.set_xlabel("ms per call", fontsize=8)
    axis.set_title(f"{unit.case}, batch {unit.batch}", fontsize=9)
