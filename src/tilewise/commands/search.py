"""The command that searches each layer's algorithm and bit width."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common, Source, load_images, plain_model

if TYPE_CHECKING:
    from torch import nn

    from tilewise.data import Images
    from tilewise.winas import Architecture, Latencies, SearchConfig

HELD_OUT = 0.2
"""Share of the training images that architectures are chosen on."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find each layer's algorithm and bit width for accuracy at a measured latency (wiNAS)."""

    source: Source
    table: Path
    """Latencies of this machine, as `tilewise measure` writes them."""
    out: Path
    """Run folder: checkpoint, log, found architectures (architecture-0.json, ...), pictures."""
    mode: Literal["WA", "WA-Q"] = "WA"
    """WA: algorithms at --bits. WA-Q: widths too, 8, 10 (for int16) and 32 bits."""
    bits: int = 8
    """Width of mode WA."""
    algorithms: tuple[str, ...] = ("direct", "F2", "F4", "F6")
    """Candidates of layers that fast algorithms serve; exact: direct int8 on exact kernels where faster."""
    transforms: Literal["static", "learned"] = "static"
    """Whether the candidates' transform matrices are trained too."""
    lambda2: float = 0.1
    """Price of latency: what the loss may rise for a saving as large as the whole network of first candidates."""
    budget_ms: float | None = None
    """Latency to keep, in milliseconds."""
    pareto: int | None = None
    """Search for that many networks from accurate to fast; adapt, compile and measure each beside uniform ones."""
    epochs: int = 2
    """Passes over the training images; with --pareto at each of its budgets."""
    adapt_epochs: int = 2
    """With --pareto: epochs of adapting each network."""
    lr: float = 2e-4
    """Peak learning rate of weights, in the search and in adapting."""
    arch_lr: float = 0.03
    """Learning rate of the architecture parameters."""
    lambda1: float = 1e-4
    """Weight of the squares of the architecture parameters."""
    batch: int = 64
    """Images per step."""
    freeze_norms: bool = True
    """Keep the statistics of batch normalisation."""
    distill: bool = False
    """Learn the logits of the network given by --weights instead of the labels."""
    resume: bool = False
    """Continue the run in the folder."""
    devices: int = 1
    """Processes that share every batch of the search; the result stays that of one."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any] | None:
        """Search."""
        from tilewise.train import launch

        if self.distill and self.source.weights is None:
            raise ValueError("distill needs --weights: the trained network to learn from")
        found = launch(_find, self, devices=self.devices, device=self.common.device)
        if found is None:
            return None
        print_architectures(found)
        result = {
            "found": [architecture.to_dict() for architecture in found],
            "log": [json.loads(line) for line in (self.out / "log.jsonl").read_text().splitlines()],
        }
        if self.pareto is None:
            return result | {"expected_ms": 1e3 * found[0].expected_seconds}
        return result | self._measure(found)

    def find(self) -> list[Architecture]:
        """Search, in as many processes as call this together."""
        from tilewise.data import Batches
        from tilewise.winas import pareto, search

        config, (table, _) = self._config(), load_table(self.table)
        model, train = self._network()
        shown, held_out = (
            Batches(part, self.batch, shuffle=True, augment=True, seed=self.common.seed, device=self.common.device)
            for part in train.split(HELD_OUT, self.common.seed)
        )
        teacher = model if self.distill else None
        if self.pareto is None:
            return [search(model, shown, held_out, table, config, teacher=teacher)]
        return pareto(model, shown, held_out, table, config, self.pareto, teacher=teacher)

    def _network(self) -> tuple[nn.Module, Images]:
        """Give the plain network, and what it is trained on."""
        import torch

        train = load_images(self.source, "train")
        torch.manual_seed(self.common.seed)
        return plain_model(self.source, train), train

    def _config(self) -> SearchConfig:
        from tilewise.winas import WA_Q, SearchConfig

        return SearchConfig(
            algorithms=self.algorithms, widths=WA_Q if self.mode == "WA-Q" else (self.bits,),
            transforms=self.transforms, epochs=self.epochs, lr=self.lr, arch_lr=self.arch_lr, lambda1=self.lambda1,
            lambda2=self.lambda2, budget_ms=self.budget_ms, freeze_norms=self.freeze_norms, out=self.out,
            resume=self.resume, device=self.common.device, seed=self.common.seed,
        )  # fmt: skip

    def _measure(self, found: list[Architecture]) -> dict[str, Any]:
        """Adapt, score and measure what was found, with the table's threads; write table, JSON and pictures."""
        from tilewise.experiments.front import Recipe, measure
        from tilewise.latency import Machine
        from tilewise.report.front import architecture_figure, figure, table

        (model, train), test = self._network(), load_images(self.source, "test")
        _, threads = load_table(self.table)
        machine = str(Machine.here(threads))
        recipe = Recipe(
            out=self.out / "adapted", epochs=self.adapt_epochs, lr=self.lr, batch=self.batch, threads=threads,
            device=self.common.device, seed=self.common.seed,
        )  # fmt: skip
        rows = measure(model, found, train, test, recipe)
        names = {f"found {index}": architecture for index, architecture in enumerate(found)}
        measured = {row.case: names[row.case] for row in rows if row.case in names}
        title = f"{type(model).__name__} on {len(test)} test images of {test.name}; {machine}"
        Console(width=120).print(table(rows, measured, title))
        figure(rows, title, self.out / "front.png")
        architecture_figure(measured, title, self.out / "architectures.png")
        result = {"machine": machine, "rows": [row.to_dict() for row in rows]}
        (self.out / "front.json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote front.json, front.png and architectures.png to {self.out}")
        return result


def _find(command: Search) -> list[Architecture]:
    return command.find()


def load_table(path: Path) -> tuple[Latencies, int]:
    """Read the latencies of this machine, and the threads that they were measured with."""
    from tilewise.latency import LatencyTable

    table = LatencyTable.load(path)
    return table, table.machine.threads


def print_architectures(found: list[Architecture]) -> None:
    """Print each layer's choice, a column for each architecture."""
    from tilewise.winas.architecture import label

    table = Table("layer", title="found; with expected milliseconds")
    for architecture in found:
        table.add_column(f"{1e3 * architecture.expected_seconds:.3f} ms")
    for layer in found[0].specs:
        table.add_row(layer, *(label(architecture.specs[layer]) for architecture in found))
    Console(width=120).print(table)
