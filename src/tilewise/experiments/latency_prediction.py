"""How well a latency table predicts whole networks: random choices per layer, predicted and measured.

    python -m tilewise.experiments.latency_prediction --out prediction.json --picture prediction.png [--choices 40]

For each network a table is measured (or read from --tables, where a former run left it), then networks in which each
layer draws its algorithm and type at random; they take turns, and the median of their calls is held against the sum
that the table gives. On a machine that others use too, tables and networks meet it in different states: with --passes 3
all is measured three times, one after another. The drawn networks are not those that the table was measured with.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tilewise import zoo
from tilewise.common.picture import save_picture
from tilewise.common.turns import in_turns
from tilewise.latency import Candidate, LatencyTable, Machine, measure
from tilewise.latency.measuring import Layers, groups, uniform
from tilewise.latency.timing import Here

CANDIDATES = tuple(f"{name} {dtype}" for dtype in ("int8", "float32") for name in ("direct", "F2", "F4", "F6", "SFC6"))
WITHIN = 0.10
TICKS = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 3, 5)]
"""Milliseconds that the picture may name."""


def random_choices(convs: list[str], candidates: list[Candidate], count: int, seed: int) -> list[Layers]:
    """Draw a candidate for each layer of each network."""
    random = np.random.default_rng([seed, 1])
    return [{name: candidates[random.integers(len(candidates))] for name in convs} for _ in range(count)]


def compare(
    model: nn.Module, example: torch.Tensor, table: LatencyTable, choices: list[Layers], rounds: int
) -> list[dict[str, Any]]:
    """Measure each choice; give predicted and measured seconds: medians, and of the quietest quarter of rounds."""
    rows: list[dict[str, Any]] = []
    quiet = LatencyTable(dataclasses.replace(record, seconds=record.quartiles[0]) for record in table)
    for group in groups(model, example, choices, Here(table.machine.threads)):
        calls = in_turns({n: network.loaded.call for n, network in enumerate(group)}, rounds, progress="compare")
        for network, seconds in zip(group, calls.values(), strict=True):
            low, middle, high = statistics.quantiles(seconds, n=4)
            predicted, predicted_low = table.total(network.all_works), quiet.total(network.all_works)
            layers = {name: str(candidate) for name, candidate in choices[len(rows)].items()}
            rows.append(
                {"predicted": predicted, "measured": middle, "error": predicted / middle - 1, "quartiles": [low, high],
                 "error_of_quartiles": predicted_low / low - 1, "layers": layers}
            )  # fmt: skip
    return rows


def medians(passes: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return each network's medians over passes; the error is that of the medians."""
    rows = []
    for row in zip(*passes, strict=True):
        predicted, measured, quartiles = (
            statistics.median(r[key] for r in row) for key in ("predicted", "measured", "error_of_quartiles")
        )
        rows.append(
            {**row[0], "predicted": predicted, "measured": measured, "error": predicted / measured - 1,
             "quartiles": [statistics.median(r["quartiles"][i] for r in row) for i in (0, 1)],
             "error_of_quartiles": quartiles}
        )  # fmt: skip
    return rows


def describe(row: dict[str, Any]) -> str:
    """Say what was predicted and measured."""
    errors = f"{row['error']:+.1%}, quartiles {row['error_of_quartiles']:+.1%}"
    return f"predicted {1e3 * row['predicted']:.3f} ms, measured {1e3 * row['measured']:.3f} ms: {errors}"


def figure(result: Mapping[str, Any], path: Path) -> None:
    """Draw predicted against measured seconds of whole networks, with the band that the table promises.

    Parameters
    ----------
    result : mapping
        As :func:`main` writes it.
    path : path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

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
        ticks = [tick for tick in TICKS if ends[0] <= tick <= ends[1]]
        for scale, ticked in ((axis.set_xscale, axis.xaxis), (axis.set_yscale, axis.yaxis)):
            scale("log")
            ticked.set_minor_locator(NullLocator())
            ticked.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.grid(alpha=0.3)
        axis.set_xlabel("measured, ms per call")
        axis.set_ylabel("predicted by the table, ms per call")
        good = sum(abs(row["error"]) <= within for row in rows["random"])
        axis.set_title(f"{name}: {good} of {len(rows['random'])} random within {within:.0%}", fontsize=10)
        axis.legend(fontsize=8)
    save_picture(fig, path)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet20", "resnet18"])
    parser.add_argument("--candidates", nargs="+", default=CANDIDATES)
    parser.add_argument("--choices", type=int, default=40, help="random networks of each model")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--passes", type=int, default=1, help="tables and comparisons; medians over them are compared")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", type=Path, help="folder for the tables; one that is there is used again")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    candidates = [Candidate.parse(text) for text in options.candidates]
    result: dict[str, Any] = {"machine": str(Machine.here(options.threads)), "within": WITHIN, "networks": {}}
    for name in options.models:
        torch.manual_seed(options.seed)
        model, example = zoo.build(name, classes=10, channels=3).eval(), torch.randn(1, 3, 32, 32)
        convs = [layer for layer, module in model.named_modules() if isinstance(module, nn.Conv2d)]
        choices = random_choices(convs, candidates, options.choices, options.seed)
        passes = []
        for number in range(1, options.passes + 1):
            path = options.tables / f"{name}-{number}.jsonl" if options.tables else None
            if path is not None and path.exists():
                table = LatencyTable.load(path)
            else:
                table = measure(
                    model, example, threads=options.threads, candidates=candidates, out=path, rounds=options.rounds,
                    seed=options.seed,
                )  # fmt: skip
            passes.append(compare(model, example, table, [*choices, *uniform(convs, candidates)], options.rounds))
        rows = medians(passes)
        drawn, alike = rows[: len(choices)], rows[len(choices) :]
        for key in ("error", "error_of_quartiles"):
            errors = [row[key] for row in drawn]
            good = sum(abs(error) <= WITHIN for error in errors)
            print(f"{name}, {key}: {good} of {len(drawn)} random networks within {WITHIN:.0%}; from {min(errors):+.1%} "
                  f"to {max(errors):+.1%}, median {statistics.median(errors):+.1%}", flush=True)  # fmt: skip
        for row in sorted(drawn, key=lambda r: float(r["error"])):
            print(f"  {describe(row)}")
        for row in alike:
            print(f"  all {next(iter(row['layers'].values()))}: {describe(row)}")
        result["networks"][name] = {"random": drawn, "uniform": alike}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.picture is not None:
        figure(result, options.picture)


if __name__ == "__main__":
    main()
