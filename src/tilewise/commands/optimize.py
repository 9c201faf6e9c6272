"""The command that makes a network fast within a loss that is allowed, and proves it out."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common, OwnImages, Source, Unchecked, load_data, plain_model
from tilewise.commands.outputs import Folder
from tilewise.common.limits import usable_threads
from tilewise.optimization.config import OptimizeConfig

if TYPE_CHECKING:
    from tilewise.data import Images, Pairs, Scenes
    from tilewise.engine import Engine
    from tilewise.train import Task


ONNX = "model.onnx"
"""What a folder of a run holds for ONNX Runtime."""


@dataclass(frozen=True, kw_only=True)
class Budget(Unchecked, OptimizeConfig):
    """What may be lost, and how long to look."""

    threads: int = field(default=1, init=False)
    seed: int = field(default=0, init=False)


@dataclass(frozen=True, kw_only=True)
class Optimize:
    """Make a network as fast as this machine can while it loses no more than allowed: a compiled file and a report."""

    model: Annotated[str, tyro.conf.Positional]
    """A file (.onnx, .pt2); package.module:function, which gives a torch.nn.Module; or a network of the zoo."""
    data: str
    """A folder of images or an .npz file, with or without labels (docs/guide/own.md); or a known data set."""
    out: Folder
    """Folder for model.tilewise, specs.json, summary.json and report.html; a run that was stopped goes on there."""
    budget: Budget = field(default_factory=Budget)
    own: OwnImages = field(default_factory=OwnImages)
    data_root: Path | None = None
    """Folder with a known set's original files."""
    weights: Path | None = None
    """Weights of the network: safetensors, or a torch checkpoint."""
    width: float = 1.0
    """Factor on the channels of networks of the zoo that have one."""
    scale: int | None = None
    """Factor of networks of the zoo that enlarge images."""
    images: int = 1000
    """Images to use at most, drawn at random."""
    as_: Annotated[Literal["tilewise", "onnx"], tyro.conf.arg(name="as")] = "tilewise"
    """What to write: model.tilewise, or beside it model.onnx too, which ONNX Runtime runs (docs/guide/serve.md)."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Optimize."""
        import torch

        from tilewise.data import Images, Pairs
        from tilewise.optimization import optimize

        if self.images < 2:
            raise ValueError(f"images is {self.images}; it must be at least 2, one of them to judge by")
        source = Source(
            model=self.model, data=self.data, own=self.own, data_root=self.data_root, weights=self.weights,
            width=self.width, scale=self.scale,
        )  # fmt: skip
        data = load_data(source, "train")
        torch.manual_seed(self.common.seed)
        model = plain_model(source, data).eval()
        data = data.subset(min(self.images, len(data)), seed=self.common.seed)
        unlabelled = isinstance(data, Images) and not _is_labelled(data, model)
        batches = ((x, None) if unlabelled else (x, y) for x, y in data.scoring())
        task: Task | None = None if isinstance(data, Images) else data.task
        metric = self.budget.metric if task is None or self.budget.metric != "auto" else task
        if isinstance(data, Pairs) and metric not in (task, "psnr"):
            raise ValueError(f"metric is {metric}, but {self.data} has images as targets; allowed: auto, psnr")
        found = optimize(
            model, batches, out=self.out, max_drop=self.budget.max_drop, minutes=self.budget.minutes, metric=metric,
            threads=self.common.threads or usable_threads(), seed=self.common.seed, progress=True,
            origin={"command": shlex.join(["tilewise", *sys.argv[1:]]), "model": self.model, "data": self.data,
                    "mean": _of(data, "mean"), "std": _of(data, "std")},
        )  # fmt: skip
        if self.as_ == "onnx":
            write_onnx(found.engine, self.out / ONNX, self.model)
            print(f"wrote {ONNX} to {self.out}")
        print_answer(found.summary)
        print(f"wrote model.tilewise, specs.json, summary.json and report.html to {self.out}")
        return found.summary


def _is_labelled(data: Images, model: Any) -> bool:
    """Whether labels are of the network's classes: a plain folder has none, and one of other classes has others."""
    import torch

    if data.classes < 2:
        return False
    with torch.no_grad():
        outputs = model(next(iter(data.scoring()))[0][:1])
    return isinstance(outputs, torch.Tensor) and outputs.ndim == 2 and outputs.shape[1] == data.classes


def _of(data: Images | Pairs | Scenes, name: str) -> list[float] | None:
    """Return what images were normalized by, where the data says it."""
    values = getattr(data, name, None)
    return None if values is None else list(values)


def write_onnx(engine: Engine, path: Path, model: str) -> None:
    """Write a network for ONNX Runtime; one that an ONNX file gave keeps the names of that file."""
    from tilewise.engine.onnx_programs import to_onnx_runtime

    if not model.endswith(".onnx"):
        to_onnx_runtime(engine, path)
        return
    from tilewise.doors.reading import read_onnx

    graph = read_onnx(Path(model))
    to_onnx_runtime(engine, path, inputs=list(graph.inputs), outputs=graph.outputs)


def print_answer(summary: dict[str, Any]) -> None:
    """Print the winner beside direct int8 and others."""
    result, judged = summary["result"], summary["judged"]
    table = Table("network", "ms", "x direct int8", f"loses, {judged['unit']}", title=summary["machine"])
    rows = [("tilewise: " + result["name"], result)]
    if result["key"] != summary["direct"]["key"]:
        rows.append(("tilewise: direct int8", summary["direct"]))
    for name, row in [*rows, *((other["name"], other) for other in summary["others"])]:
        drop = row["drop"]
        lost = f"{drop['value']:.3g} ({drop['low']:.2g} to {drop['high']:.2g})" if drop else ""
        table.add_row(name, f"{row['milliseconds']:.3f}", f"{row['speedup']:.2f}", lost)
    Console(width=120).print(table)
