"""Latency tables as tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def prediction_figure(result: Mapping[str, Any], path: Path) -> None:
    """Draw predicted against measured seconds of whole networks, with the band that the table promises.

    Parameters
    ----------
    result : mapping
        As benchmarks/latency_prediction.py writes it.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    networks, within = result["networks"], result["within"]
    fig = Figure(figsize=(5.2 * len(networks), 5), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(result["machine"], fontsize=10)
    for axis, (name, rows) in zip(fig.subplots(1, len(networks), squeeze=False)[0], networks.items(), strict=True):
        both = [*rows["random"], *rows["uniform"]]
        low, high = (f(1e3 * r[k] for r in both for k in ("predicted", "measured")) for f in (min, max))
        ends = [low * 0.9, high * 1.1]
        axis.fill_between(ends, [e * (1 - within) for e in ends], [e * (1 + within) for e in ends], color="#dddddd",
                          label=f"within {within:.0%}")  # fmt: skip
        axis.plot(ends, ends, "k-", linewidth=0.8)
        for kind, marker in (("random", "o"), ("uniform", "^")):
            x, y = ([1e3 * row[key] for row in rows[kind]] for key in ("measured", "predicted"))
            axis.plot(x, y, marker, label=f"{kind} choice of layers", alpha=0.8, markersize=5)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("measured, ms per call")
        axis.set_ylabel("predicted by the table, ms per call")
        good = sum(abs(row["error"]) <= within for row in rows["random"])
        axis.set_title(f"{name}: {good} of {len(rows['random'])} random within {within:.0%}", fontsize=10)
        axis.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=120)
