"""Results as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from peers.cases import LAYERS
from peers.ratios import Spread, best, call_gops, geometric_mean, gops, speedup
from peers.registry import LEARNED, OURS
from peers.results import DTYPES, Contender, Unit

WRONG = "†"


def report(units: Sequence[Unit], about: dict[str, Any]) -> str:
    """Give the whole text, a section per data type and number of threads."""
    parts = ["# Tilewise against its peers", _about(about, units)]
    for dtype, threads in dict.fromkeys((unit.dtype, unit.threads) for unit in units):
        mine = [unit for unit in units if (unit.dtype, unit.threads) == (dtype, threads)]
        layers, networks = ([u for u in mine if u.kind == kind] for kind in ("layer", "network"))
        parts.append(f"## {dtype}, threads: {threads}")
        parts += _peaks(layers, dtype) if layers else []
        for batch in dict.fromkeys(unit.batch for unit in layers):
            same = [unit for unit in layers if unit.batch == batch]
            parts += [layer_table(same), *_learned(same), ratio_table(same)]
        for batch in dict.fromkeys(unit.batch for unit in networks):
            parts.append(network_table([unit for unit in networks if unit.batch == batch]))
    return "\n\n".join([*parts, *_footnotes(units)]) + "\n"


def _about(about: dict[str, Any], units: Sequence[Unit]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [f"{about['machine']}; {versions}." + (f" Held to {about['isa']}." if about["isa"] else "")]
    lines += [f"Without {name}: {reason}." for name, reason in about["missing"].items()]
    counts = [len(c.call) for unit in units for c in unit.contenders if c.call]
    lines.append(
        f"Medians of {min(counts, default=0)} to {max(counts, default=0)} rounds in turns, "
        f"{about['seconds']:g} s of calls each; in brackets quartiles of ratios of the same round. "
        "What is measured is in docs/guide/benchmarks.md."
    )
    return "\n".join(lines)


def _peaks(layers: list[Unit], dtype: str) -> list[str]:
    name = DTYPES[dtype].peak
    if name is None:
        return []
    peak = statistics.median(unit.peaks[name] for unit in layers) / 1e9
    return [f"Peak of the cores, measured beside it: {peak:.0f} GOP/s."]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _names(units: Sequence[Unit]) -> list[str]:
    """Contenders in the order of their first appearance."""
    return list(dict.fromkeys(c.name for unit in units for c in unit.contenders))


def _find(unit: Unit, name: str) -> Contender | None:
    return next((c for c in unit.contenders if c.name == name and c.call), None)


def _cells(unit: Unit, names: list[str], figure: Callable[[Contender], str]) -> list[str]:
    """Give a figure per contender; the best of ours and of the others are bold, wrong ones marked."""
    bold = [best(unit, ours=True), best(unit, ours=False)]
    cells = []
    for name in names:
        contender = _find(unit, name)
        if contender is None:
            cells.append("-")
            continue
        text = figure(contender) + ("" if unit.counts(contender) else WRONG)
        cells.append(f"**{text}**" if contender in bold else text)
    return cells


def layer_table(layers: list[Unit]) -> str:
    """GOP/s of every contender, and each one's mean against the best of the others."""
    names = _names(layers)
    rows = [[unit.case, *_cells(unit, names, lambda c, unit=unit: f"{gops(unit, c):.0f}")] for unit in layers]  # type: ignore[misc]
    for title, chosen in _groups(layers).items():
        row = []
        for name in names:
            ratios = [speedup(best(unit, ours=False), _counting(unit, name)) for unit in chosen]
            row.append(_times(geometric_mean(ratio and ratio.middle for ratio in ratios)))
        rows.append([f"against the best peer, {title}", *row])
    return f"GOP/s of a direct convolution's operations, batch {layers[0].batch}:\n\n" + _table(["layer", *names], rows)


def _learned(layers: list[Unit]) -> list[str]:
    """Say what learned transforms cost, where all 3x3 layers have both."""
    found = []
    for name in _names(layers):
        static = name.removesuffix(LEARNED)
        for title, chosen in _groups(layers).items():
            ratios = [speedup(_find(unit, name), _find(unit, static)) for unit in chosen]
            middles = [ratio.middle for ratio in ratios if ratio]
            if static != name and len(middles) == len(chosen):
                found.append(
                    f"{name} takes {geometric_mean(middles):.2f} times the time of {static} ({title}; "
                    f"{min(middles):.2f} to {max(middles):.2f})."
                )
    return found


def _counting(unit: Unit, name: str) -> Contender | None:
    contender = _find(unit, name)
    return contender if contender is not None and unit.counts(contender) else None


def _groups(layers: list[Unit]) -> dict[str, list[Unit]]:
    """Sets of layers that means are over; none unless all of them were measured."""
    square = {case: layer for case, layer in LAYERS.items() if layer.kernel == 3}
    found = [unit for unit in layers if unit.case in square]
    if len(found) < len(square):
        return {}
    return {
        "geometric mean of 3x3": found,
        "the same, maps from 7x7 on": [unit for unit in found if square[unit.case].size >= 7],
    }


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _ratio(ratio: Spread | None) -> str:
    return "-" if ratio is None else f"{ratio.middle:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def ratio_table(layers: list[Unit]) -> str:
    """Our best contender against the best peer, the best direct peer, and by whole calls."""
    head = [
        "layer", "best of ours", "best peer", "ours / best peer", "best direct peer", "ours / best direct peer",
        "whole calls: ours, GOP/s", "best peer, GOP/s", "ours / best peer, whole calls",
    ]  # fmt: skip
    rows, ratios = [], []
    for unit in layers:
        ours, peer, direct = best(unit, ours=True), best(unit, ours=False), best(unit, ours=False, direct=True)
        call_ours, call_peer = best(unit, ours=True, call=True), best(unit, ours=False, call=True)
        found = [speedup(peer, ours), speedup(direct, ours), speedup(call_peer, call_ours, call=True)]
        ratios.append(found)
        names = ["-" if c is None else c.name.removeprefix(f"{OURS} ") for c in (ours, peer, direct)]
        calls = ["-" if c is None else f"{call_gops(unit, c):.0f}" for c in (call_ours, call_peer)]
        rows.append(
            [unit.case, names[0], names[1], _ratio(found[0]), names[2], _ratio(found[1]), *calls, _ratio(found[2])]
        )
    for title, chosen in _groups(layers).items():
        those = [found for unit, found in zip(layers, ratios, strict=True) if unit in chosen]
        means = [
            _times(geometric_mean(ratio and ratio.middle for ratio in column)) for column in zip(*those, strict=True)
        ]
        rows.append([title, "", "", means[0], "", means[1], "", "", means[2]])
    return _table(head, rows)


def network_table(networks: list[Unit]) -> str:
    """Milliseconds of every contender, a column per network."""
    head = ["", *(unit.case for unit in networks)]
    rows = []
    columns = [_cells(unit, _names(networks), _milliseconds) for unit in networks]
    for i, name in enumerate(_names(networks)):
        rows.append([name, *(column[i] for column in columns)])
    rows.append(["ours / best peer", *(_ratio(_ours_to_peer(unit)) for unit in networks)])
    return f"Networks, batch {networks[0].batch}, milliseconds per call:\n\n" + _table(head, rows)


def _ours_to_peer(unit: Unit) -> Spread | None:
    return speedup(best(unit, ours=False), best(unit, ours=True))


def _milliseconds(contender: Contender) -> str:
    return f"{statistics.median(contender.call) * 1e3:.3g}"


def _footnotes(units: Sequence[Unit]) -> list[str]:
    """Say what was too inaccurate, and what was not served and why."""
    wrong: dict[str, list[float]] = {}
    failed: dict[str, list[str]] = {}
    for unit in units:
        for contender in unit.contenders:
            name = f"{contender.name} {unit.dtype}"
            if not contender.call:
                failed.setdefault(f"{name}: {contender.note}", []).append(unit.case)
            elif contender.error is not None and not unit.counts(contender):
                wrong.setdefault(name, []).append(contender.error)
    notes = []
    if wrong:
        texts = (f"{name} ({min(e):.2g} to {max(e):.2g} in {len(e)} units)" for name, e in wrong.items())
        notes.append(f"{WRONG} too inaccurate to count, by relative error: {', '.join(texts)}.")
    if failed:
        texts = (f"- {what} (on {', '.join(dict.fromkeys(cases))})" for what, cases in failed.items())
        notes.append("Not served:\n\n" + "\n".join(texts))
    return notes
