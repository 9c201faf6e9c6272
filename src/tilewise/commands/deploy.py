"""The commands that make compiled networks, and run them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.options import (
    Calibration,
    Common,
    Layers,
    OwnImages,
    Source,
    converted_model,
    layers_summary,
    load_data,
    load_set,
    print_layers,
)
from tilewise.commands.outputs import Picture, TilewiseFile
from tilewise.common.limits import usable_threads

if TYPE_CHECKING:
    from torch import Tensor

    from tilewise.engine import Engine
    from tilewise.engine.engine import Choice


@dataclass(frozen=True, kw_only=True)
class Compile:
    """Compile a network for the native engine, into one file."""

    source: Source
    layers: Layers
    out: TilewiseFile
    """File to write, such as resnet20.tilewise."""
    batch: int = 1
    """Images that go through at once; running takes any number."""
    tune: bool = False
    """Measure candidates here, with --threads, and keep the fastest: algorithms of a float network, block sizes."""
    precision: Literal["float32", "bf16"] = "float32"
    """What layers that are not quantized multiply in."""
    calibration: Calibration = field(default_factory=Calibration)
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Compile."""
        import torch

        from tilewise.engine.compiler import compile as compile_model

        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1")
        shape = load_data(self.source, "test").shape
        model = converted_model(self.source, self.layers, self.common, self.calibration)
        print_layers(model)
        threads = self.common.threads or usable_threads()
        example = torch.zeros(self.batch, *shape)
        engine = compile_model(model, example, threads=threads, precision=self.precision, tune=self.tune)
        if self.tune:
            print_choices(engine.choices)
        engine.save(self.out)
        size, operations = self.out.stat().st_size, len(engine.program.operations)
        print(f"wrote {self.out}: {operations} operations, {size / 2**20:.1f} MiB of weights")
        return {
            **layers_summary(self.layers), "file": str(self.out), "bytes": size, "operations": operations,
            "choices": [choice._asdict() for choice in engine.choices],
        }  # fmt: skip


def print_choices(choices: Sequence[Choice]) -> None:
    """Print what tuning chose, and what the first candidate would have taken."""
    table = Table("layer", "chosen", "us", "candidates, us", title="tuned")
    for choice in choices:
        others = ", ".join(f"{name} {1e6 * t:.0f}" for name, t in choice.seconds.items() if name != choice.chosen)
        table.add_row(choice.name, choice.chosen, f"{1e6 * choice.seconds[choice.chosen]:.0f}", others)
    Console(width=120).print(table)


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run a compiled network on all test images: accuracy or mIoU, and speed."""

    file: Annotated[Path, tyro.conf.Positional]
    """File that `tilewise compile` wrote."""
    data: str
    """digits, mnist, cifar10, cifar100 or camvid; a folder of images, or an .npz file."""
    own: OwnImages = field(default_factory=OwnImages)
    data_root: Path | None = None
    """Folder with the set's original files; without it sets of labelled images come from the Hugging Face hub."""
    profile: bool = False
    """Print seconds per layer and stage too, against what this machine can do."""
    picture: Picture | None = None
    """With --profile: PNG to draw them to."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Run."""
        if self.picture is not None and not self.profile:
            raise ValueError(f"picture is {self.picture}, but nothing is profiled; add --profile")
        import torch

        from tilewise.common.progress import track
        from tilewise.data import Pairs
        from tilewise.engine import load as load_engine
        from tilewise.engine.engine import DEFAULT_BATCH

        threads = self.common.threads or usable_threads()
        engine = load_engine(self.file, threads=threads)
        test = load_set(self.data, "test", self.data_root, own=self.own)
        if isinstance(test, Pairs):
            raise ValueError(f"{self.data} has images of many sizes, {self.file} takes those of one; allowed: one size")  # noqa: TRY004
        classes = test.classes
        if [output.channels for output in engine.outputs] != [classes]:
            found = ", ".join(str(output.channels) for output in engine.outputs)
            raise ValueError(f"{self.file} gives results of {found} channels; {self.data} needs {classes}")
        task, seconds = test.task, 0.0
        counts = torch.zeros(task.size, dtype=torch.float64)
        batches = test.scoring()
        engine(next(iter(batches))[0])  # not measured: memory is touched for the first time
        for x, y in track(batches, "run", enabled=True):
            began = time.perf_counter()
            outputs = engine(x)
            seconds += time.perf_counter() - began
            counts += task.counts(outputs, y)
        result = {
            task.metric: task.score(counts), "images": len(test), "images_per_second": len(test) / seconds,
            "threads": engine.threads, "isa": engine.kernel_set,
        }  # fmt: skip
        print(f"{task.metric} {result[task.metric]:.2f} {task.unit} of {len(test)} images")
        print(f"{result['images_per_second']:.0f} images/s, {engine.threads} threads, {engine.kernel_set}")
        if self.profile:
            result["profile"] = self._profile(engine, next(iter(batches))[0][:DEFAULT_BATCH])
        return result

    def _profile(self, engine: Engine, x: Tensor) -> list[dict[str, Any]]:
        from tilewise.report.profile import figure, table

        rows, peaks = engine.profile(x), engine.peaks()
        title = f"{self.file.name}: {len(x)} images, {engine.threads} threads, {engine.kernel_set}"
        Console(width=180).print(table(rows, peaks, title))
        if self.picture is not None:
            figure(rows, peaks, title, self.picture)
            print(f"wrote {self.picture}")
        return rows
