"""Search problems whose best answer is known, and from how many seeds the search finds it.

python -m tilewise.experiments.known_searches [--seeds 10] [--out docs/results/search/known.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.common.progress import track
from tilewise.conversion import specs_of
from tilewise.latency import LayerShape, layer_shapes
from tilewise.quant import Spec
from tilewise.winas import Architecture, SearchConfig, search
from tilewise.winas.architecture import label

LAYERS, CHANNELS, SIZE, POOL, CLASSES = 3, 8, 12, 4, 10
SPREAD = 4.0


@dataclass(frozen=True, kw_only=True)
class Table:
    """Latencies by the candidate's label, the same for every layer.

    Parameters
    ----------
    by_label : mapping of str to float
        Seconds, such as ``{"F2 int8": 1e-3}``.
    otherwise : float
        Seconds of every other candidate.
    rest : float
        Seconds of what is no convolution.
    """

    by_label: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 1e-3
    rest: float = 0.0

    def seconds(self, shape: LayerShape, spec: Spec) -> float:  # noqa: ARG002 - what a table is asked with
        """Look a candidate up."""
        return self.by_label.get(label(spec), self.otherwise)

    def predict(self, model: nn.Module, example: Tensor) -> float:
        """Add up a network."""
        specs, shapes = specs_of(model), layer_shapes(model, example)
        return self.rest + sum(self.seconds(shapes[name], specs[name]) for name in specs)


class Batches:
    """Noise as images; the labels are a float network's answers, so that it has nothing left to learn."""

    def __init__(self, model: nn.Module, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.images = torch.randn(count, 16, 4, SIZE, SIZE, generator=generator)
        with torch.no_grad():
            self.labels = [model(x).argmax(1) for x in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> object:
        return iter(zip(self.images, self.labels, strict=True))


def network(seed: int) -> nn.Module:
    """Give a small network with random weights."""
    torch.manual_seed(seed)
    widths = [4] + [CHANNELS] * LAYERS
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    classifier = nn.Linear(CHANNELS * (SIZE // POOL) ** 2, CLASSES)
    model = nn.Sequential(*layers, nn.MaxPool2d(POOL), nn.Flatten(), classifier).eval()
    # Logits as spread as a trained network's: otherwise no candidate does any harm.
    with torch.no_grad():
        classifier.weight *= SPREAD / model(torch.randn(64, 4, SIZE, SIZE)).std()
    return model


def solve(table: Table, config: SearchConfig) -> Architecture:
    """Search the small network of the config's seed, taught by itself."""
    model = network(config.seed)
    train, val = (Batches(model, 40, seed=2 * config.seed + part) for part in (0, 1))
    return search(model, train, val, table, config, teacher=model)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A search whose best answer is known.

    Parameters
    ----------
    table : Table
        What candidates take.
    wanted : tuple of str
        Labels of candidates, one of which every layer must end up with.
    settings : mapping
        Of the :class:`SearchConfig`.
    """

    table: Table
    wanted: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def solved(self, seed: int) -> bool:
        """Search from a seed, which the network depends on too, and tell whether the answer is right."""
        found = solve(self.table, SearchConfig(seed=seed, progress=False, **self.settings))
        return all(label(spec) in self.wanted for spec in found.specs.values())


PROBLEMS = {
    "F2 is free": Problem(table=Table(by_label={"F2 int8": 0.0}), wanted=("F2 int8",)),
    "F4 is free": Problem(table=Table(by_label={"F4 int8": 0.0}), wanted=("F4 int8",)),
    "2 bits do harm": Problem(
        table=Table(), wanted=("direct int8", "F2 int8"), settings={"algorithms": ("direct", "F2"), "widths": (8, 2)}
    ),
    "2 bits do harm and save a little": Problem(
        table=Table(by_label={"direct int2": 0.99e-3}),
        wanted=("direct int8",),
        settings={"algorithms": ("direct",), "widths": (8, 2)},
    ),
}


def main() -> None:
    """Solve each problem from each seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    counts = {}
    for name, problem in PROBLEMS.items():
        seeds = track(range(arguments.seeds), name, enabled=True)
        counts[name] = sum(problem.solved(seed) for seed in seeds)
        print(f"{name}: {counts[name]} of {arguments.seeds} seeds")
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"seeds": arguments.seeds, "solved": counts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
