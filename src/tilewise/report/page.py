"""The page of an optimization: one file that needs no network, made from its folder."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tilewise.common.files import write_whole
from tilewise.report.html import TEXT, render, svg

PAGE, TEMPLATE = "report.html", "page.html.j2"
PROMISES = {
    "direct": ("#777777", "s"), "lossless": ("#009E73", "D"), "post-training": ("#0072B2", "o"),
    "refined": ("#E69F00", "^"), "adapted": ("#D55E00", "v"),
}  # fmt: skip
METRICS = {"accuracy": "accuracy", "miou": "mean IoU", "psnr": "PSNR", "agreement": "agreement with float"}
OPERATIONS = 8
"""Kinds of operations that the picture of the time tells apart; what takes least goes together."""


def write_page(folder: Path) -> Path:
    """Make the page of an optimization's folder, and return its path.

    Raises
    ------
    FileNotFoundError
        If the folder holds no ``summary.json``.
    ValueError
        If that is not the summary of an optimization.
    RuntimeError
        If Jinja2 or matplotlib is missing.
    """
    summary = read_summary(folder)
    shown = summary["result"] or summary["direct"]
    text = render(
        TEMPLATE, summary=summary, shown=shown, rivals=_rivals(summary, shown), front=front_picture(summary),
        metrics=METRICS, time=time_picture(summary), pictures=_pictures(folder), drop=drop_text,
    )  # fmt: skip
    write_whole(folder / PAGE, text.encode())
    return folder / PAGE


def read_summary(folder: Path) -> dict[str, Any]:
    """Read what an optimization found; errors as :func:`write_page`'s."""
    path = folder / "summary.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; tilewise optimize writes one")
    try:
        summary = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(summary, dict) or not {"tried", "direct", "judged", "layers"} <= summary.keys():
        raise ValueError(f"{path} is no summary of an optimization")
    return summary


def _rivals(summary: Mapping[str, Any], shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return whom the network is compared with: how many times as fast it is as each.

    Direct int8 comes first; where that is what was chosen, the fastest of the others does.
    """
    if shown["key"] == summary["direct"]["key"]:
        others = sorted(summary["others"], key=lambda other: float(other["milliseconds"]))
    else:
        others = [summary["direct"], *summary["others"]]
    return [
        {**{key: other[key] for key in ("name", "milliseconds", "drop")},
         "times": other["milliseconds"] / shown["milliseconds"]}
        for other in others
    ]  # fmt: skip


def drop_text(drop: Mapping[str, float] | None, unit: str) -> str:
    """Return a loss and its interval in words."""
    if drop is None:
        return ""
    return f"{drop['value']:.2f} {unit} ({drop['low']:.2f} to {drop['high']:.2f})"


def front_picture(summary: Mapping[str, Any]) -> str:
    """Draw the loss of all that was tried over its speed, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.8), layout="constrained")
    axes = figure.add_subplot()
    best = summary["result"]
    for promise, (colour, marker) in PROMISES.items():
        mine = [attempt for attempt in summary["tried"] if attempt["promise"] == promise]
        if mine:
            x, y = [a["speedup"] for a in mine], [a["drop"]["value"] for a in mine]
            spans = [[abs(a["drop"]["value"] - a["drop"][end]) for a in mine] for end in ("low", "high")]
            axes.errorbar(x, y, spans, fmt=marker, color=colour, label=promise, capsize=2, elinewidth=0.8)
    if best is not None:
        axes.plot(best["speedup"], best["drop"]["value"], "o", ms=15, mfc="none", mec=TEXT, label="chosen")
    budget, unit = summary["settings"]["max_drop"], summary["judged"]["unit"]
    axes.axhline(budget, color=TEXT, lw=0.8, ls="--", label=f"allowed: {budget:g} {unit}")
    axes.set(xlabel="times as fast as direct int8", ylabel=f"lost, {unit}")
    axes.set_yscale("symlog", linthresh=max(budget, 0.1))
    axes.set_ylim(bottom=min(-0.2 * max(budget, 0.1), *(1.2 * a["drop"]["low"] for a in summary["tried"])))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend(frameon=False, fontsize=8, labelcolor=TEXT)
    return svg(figure, "front")


def time_picture(summary: Mapping[str, Any]) -> str:
    """Draw where the time goes, in direct int8 and in the network that was chosen, as SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.2), layout="constrained")
    axes = figure.add_subplot()
    rows = [("direct int8", _kinds(summary["direct"]["layers"]))]
    if summary["result"] is not None:
        rows.insert(0, ("chosen", _kinds(summary["result"]["layers"])))
    totals: dict[str, float] = {}
    for _, kinds in rows:
        for kind, seconds in kinds.items():
            totals[kind] = max(totals.get(kind, 0.0), seconds)
    order = sorted(totals, key=lambda kind: -totals[kind])[:OPERATIONS]
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999", "#777777")
    left = [0.0] * len(rows)
    for colour, kind in zip(colours, [*order, "others"], strict=False):
        widths = [
            1e3 * (sum(s for k, s in kinds.items() if k not in order) if kind == "others" else kinds.get(kind, 0.0))
            for _, kinds in rows
        ]
        if any(widths):
            axes.barh([name for name, _ in rows], widths, left=left, color=colour, label=kind)
            left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_xlabel("ms")
    axes.legend(frameon=False, fontsize=8, labelcolor=TEXT, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 1.35))
    return svg(figure, "time")


def _kinds(layers: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return seconds by what computes: an algorithm, or an operation that is no convolution."""
    found: dict[str, float] = {}
    for layer in layers:
        kind = layer["algorithm"] or layer["op"]
        found[kind] = found.get(kind, 0.0) + layer["seconds"]
    return found


def _pictures(folder: Path) -> dict[str, str]:
    """Return the pictures of a folder as what a page can hold, by name; none where outputs are no pictures."""
    return {
        path.stem: f"data:image/webp;base64,{base64.b64encode(path.read_bytes()).decode()}"
        for path in sorted((folder / "pictures").glob("*.webp"))
    }
