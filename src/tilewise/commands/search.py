"""The command that searches each layer's algorithm and bit width."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common, Source, Unchecked, config_of, load_images, plain_model
from tilewise.commands.outputs import Folder
from tilewise.common.files import write_json
from tilewise.winas.config import WA_Q, SearchConfig

if TYPE_CHECKING:
    from torch import nn

    from tilewise.data import Images
    from tilewise.winas import Architecture, Latencies

HELD_OUT = 0.2
"""Share of the training images that architectures are chosen on."""


@dataclass(frozen=True, kw_only=True)
class Searching(Unchecked, SearchConfig):
    """How to search."""

    out: Folder = field()
    """Run folder: checkpoint, log, found architectures (architecture-0.json, ...), pictures."""
    widths: tuple[int, ...] = field(default=(8,), init=False)
    device: str = field(default="cpu", init=False)
    seed: int = field(default=0, init=False)
    progress: bool = field(default=True, init=False)


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find each layer's algorithm and bit width for accuracy at a measured latency (wiNAS)."""

    source: Source
    table: Path
    """Latencies of this machine, as `tilewise measure` writes them."""
    searching: Searching
    mode: Literal["WA", "WA-Q"] = "WA"
    """WA: algorithms at --bits. WA-Q: widths too, 8, 10 (for int16) and 32 bits."""
    bits: int = 8
    """Width of mode WA."""
    pareto: int | None = None
    """Search for that many networks from accurate to fast; adapt, compile and measure each beside uniform ones."""
    adapt_epochs: int = 2
    """With --pareto: epochs of adapting each network."""
    batch: int = 64
    """Images per step."""
    distill: bool = False
    """Learn the logits of the network given by --weights instead of the labels."""
    devices: int = 1
    """Processes that share every batch of the search; the result stays that of one."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any] | None:
        """Search."""
        from tilewise.train import launch
        from tilewise.train.runs import read_log

        if self.pareto is None and self.adapt_epochs != Search.adapt_epochs:
            raise ValueError(f"adapt-epochs is {self.adapt_epochs}, which needs --pareto")
        if self.distill and self.source.weights is None:
            raise ValueError("distill needs --weights: the trained network to learn from")
        found = launch(_find, self, devices=self.devices, device=self.common.device)
        if found is None:
            return None
        print_architectures(found)
        result = {
            "found": [architecture.to_dict() for architecture in found],
            "log": read_log(self.searching.out),
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
        """Return the plain network, and what it is trained on."""
        import torch

        train = load_images(self.source, "train")
        torch.manual_seed(self.common.seed)
        return plain_model(self.source, train), train

    def _config(self) -> SearchConfig:
        return config_of(
            SearchConfig, self.searching, widths=WA_Q if self.mode == "WA-Q" else (self.bits,),
            device=self.common.device, seed=self.common.seed,
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
            out=self.searching.out / "adapted", epochs=self.adapt_epochs, lr=self.searching.lr, batch=self.batch,
            threads=threads, device=self.common.device, seed=self.common.seed,
        )  # fmt: skip
        rows = measure(model, found, train, test, recipe)
        names = {f"found {index}": architecture for index, architecture in enumerate(found)}
        measured = {row.case: names[row.case] for row in rows if row.case in names}
        title = f"{type(model).__name__} on {len(test)} test images of {test.name}; {machine}"
        Console(width=120).print(table(rows, measured, title))
        figure(rows, title, self.searching.out / "front.png")
        architecture_figure(measured, title, self.searching.out / "architectures.png")
        result = {"machine": machine, "rows": [row.to_dict() for row in rows]}
        write_json(self.searching.out / "front.json", result)
        print(f"wrote front.json, front.png and architectures.png to {self.searching.out}")
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
