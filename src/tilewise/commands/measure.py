"""The command that measures latency tables."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from tilewise.commands.options import Common, Unchecked, config_of, named_model
from tilewise.commands.outputs import Folder, JsonFile
from tilewise.latency.shapes import ShapeGrid

if TYPE_CHECKING:
    from tilewise.latency import LatencyTable
    from tilewise.latency.timing import Runner


@dataclass(frozen=True, kw_only=True)
class Shapes(Unchecked, ShapeGrid):
    """What --grid measures; --batch is for networks too."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Measure what layers take on this machine, or a remote one, as each algorithm and type: a latency table."""

    out: JsonFile
    """File of the table, JSON lines; what is there already stays, and a grid goes on where it was."""
    model: str | None = None
    """Measure a network's layers, among each other: lenet5, resnet18, resnet18_224, resnet20, small or vgg16; a file
    (.onnx, .pt2), or package.module:function."""
    width: float = 1.0
    """Factor on the channels (resnet18)."""
    size: int = 32
    """Height and width of the images."""
    image_channels: int = 3
    """Channels of the images."""
    grid: bool = False
    """Measure single layers over channels and resolutions: what lies between them is interpolated."""
    shapes: Shapes = field(default_factory=Shapes)
    candidates: tuple[str, ...] | None = None
    """What layers may become, such as "F4 int8" "F4 learned int8" "direct float32"; a common choice by default."""
    rounds: int = 15
    """Runs of each; medians are kept."""
    remote: str | None = None
    """Measure on another machine, user@host as ssh takes it; --threads are its threads (docs/guide/remote.md)."""
    program: Path | None = None
    """With --remote: the program to copy there, built for it (make measure-aarch64)."""
    remote_program: str | None = None
    """With --remote, in place of --program: path of the program there."""
    pictures: Folder | None = None
    """Folder for pictures of the table."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Measure."""
        from tilewise.latency import CANDIDATES, LatencyTable
        from tilewise.report.latency import figures

        if self.model is None and not self.grid:
            raise ValueError("there is nothing to measure; ask for --model NAME, --grid, or both")
        chosen = CANDIDATES if self.candidates is None else self.candidates
        table = LatencyTable()
        with self._runner() as runner:
            options = {"runner": runner, "candidates": chosen, "rounds": self.rounds, "out": self.out}
            if self.grid:
                table = self._measure_grid(options)
            if self.model is not None:
                table = self._measure_model(options)
        print(f"{self.out} has {len(table)} latencies of {table.machine}")
        pictures = [] if self.pictures is None else figures(table, self.pictures)
        for path in pictures:
            print(f"wrote {path}")
        return {
            "file": str(self.out), "records": len(table), "machine": str(table.machine),
            "pictures": [str(path) for path in pictures],
        }  # fmt: skip

    def _runner(self) -> AbstractContextManager[Runner]:
        from tilewise.latency import connect
        from tilewise.latency.timing import Here

        threads = self.common.threads or 1
        if self.remote is not None:
            isa = os.environ.get("TILEWISE_ISA")
            return connect(
                self.remote, program=self.program, remote_program=self.remote_program, threads=threads, isa=isa
            )
        if self.program is not None or self.remote_program is not None:
            raise ValueError("a program is for a remote machine; name it: --remote user@host")
        return nullcontext(Here(threads))

    def _measure_grid(self, options: dict[str, Any]) -> LatencyTable:
        from tilewise.latency.measuring import measure_grid

        return measure_grid(config_of(ShapeGrid, self.shapes), **options)

    def _measure_model(self, options: dict[str, Any]) -> LatencyTable:
        import torch

        from tilewise.latency import layer_shapes, measure
        from tilewise.latency.candidates import check_candidates
        from tilewise.report.latency import table_of_layers

        if min(self.shapes.batch, self.size, self.image_channels) < 1:
            sizes = f"{self.shapes.batch}, {self.size}, {self.image_channels}"
            raise ValueError(f"batch, size and image-channels are {sizes}; they must be at least 1")
        assert self.model is not None
        torch.manual_seed(self.common.seed)
        model = named_model(self.model, classes=10, channels=self.image_channels, width=self.width).eval()
        example = torch.randn(self.shapes.batch, self.image_channels, self.size, self.size)
        table = measure(model, example, seed=self.common.seed, **options)
        candidates = check_candidates(options["candidates"])
        layers = table_of_layers(table, layer_shapes(model, example), candidates, self.model)
        Console(width=36 + 11 * len(candidates)).print(layers)
        return table
