"""The command line: ``tilewise demo | train | adapt | evaluate | compile | run | algorithms | info``."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.deploy import Compile, Run
from tilewise.options import (
    Common,
    Layers,
    Source,
    Training,
    converted_model,
    layers_summary,
    load_images,
    plain_model,
    print_layers,
)

if TYPE_CHECKING:
    from tilewise.studies.demo import Study


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Accuracy on all test images; with an algorithm given, of the post-training swap."""

    source: Source
    layers: Layers
    common: Common = field(default_factory=Common)
    calibration_images: int = 512
    """Training images to measure ranges on, when an algorithm is given."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from tilewise.data import Batches
        from tilewise.train import evaluate

        test = load_images(self.source, "test")
        model = converted_model(self.source, self.layers, self.common, self.calibration_images)
        score = evaluate(model, Batches(test, 250), device=self.common.device, progress=True)
        print_layers(model)
        print(f"accuracy {score.accuracy:.2f} % of {score.images} images, loss {score.loss:.4f}")
        return {
            **layers_summary(self.layers),
            "accuracy": score.accuracy,
            "loss": score.loss,
            "images": score.images,
        }


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a network, in float or Winograd-aware, from scratch or from weights."""

    source: Source
    training: Training
    layers: Layers
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Train."""
        return _fit(self.source, self.layers, self.training, self.common)


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Adapt a trained network to an algorithm and bit width: swap, calibrate, train on."""

    source: Source
    training: Training
    layers: Layers
    common: Common = field(default_factory=Common)
    distill: bool = False
    """Learn the logits of the network given by --weights instead of the labels."""

    def run(self) -> dict[str, Any]:
        """Adapt."""
        if self.source.weights is None:
            raise ValueError("adapt needs --weights: the trained network to start from")
        if self.layers.algorithm is None:
            raise ValueError("adapt needs --algorithm: what to adapt to, such as F4")
        return _fit(self.source, self.layers, self.training, self.common, distill=self.distill)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """The main job: what a swap at each width does, who survives, what adaptation brings back, and how fast all run."""

    common: Common = field(default_factory=Common)
    data_root: Path | None = None
    """Folder with CIFAR-10 and the pretrained ResNet-20; without it scikit-learn's digits and a small network."""
    out: Path = Path("runs/demo")
    """Folder for summary.json and accuracy.png, speed.json and speed.png."""
    test_images: int | None = None
    """Score on a random part of the test images; all digits, 2000 of CIFAR-10 by default."""

    def run(self) -> dict[str, Any]:
        """Run the demo."""
        from tilewise.report.accuracy import figure, table
        from tilewise.studies.demo import ADAPTED, prepare

        study = prepare(self.data_root, self.test_images, device=self.common.device, seed=self.common.seed)
        print(f"swapping the convolutions of {study.title} ...")
        study.swap()
        for name, scales in ADAPTED:
            for transforms in ("static", "learned"):
                print(f"adapting to {name}, 8 bits, one scale per {scales}, {transforms} transforms ...")
                study.adapt(name, scales, transforms)
        result = {"title": study.title, "rows": [row.to_dict() for row in study.rows]}
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "summary.json").write_text(json.dumps(result, indent=1) + "\n")
        figure(study.rows, study.title, self.out / "accuracy.png")
        Console(width=120).print(table(study.rows, f"Accuracy in %: {study.title}"))
        print(f"wrote {self.out / 'summary.json'} and {self.out / 'accuracy.png'}")
        return {**result, "speed": self._race(study)}

    def _race(self, study: Study) -> dict[str, Any]:
        """Compile, measure and draw. Times differ from run to run, so they have a file of their own."""
        from tilewise.report.speed import figure, table
        from tilewise.studies.speed import machine, race_study

        threads = self.common.threads or 1
        print(f"compiling for this machine, {threads} threads ...")
        networks = race_study(study, threads)
        for title, rows in networks.items():
            Console(width=120).print(table(rows, title))
        figure(networks, machine(threads), self.out / "speed.png")
        speed = {
            "machine": machine(threads),
            **{title: [row.to_dict() for row in rows] for title, rows in networks.items()},
        }
        (self.out / "speed.json").write_text(json.dumps(speed, indent=1) + "\n")
        print(f"wrote {self.out / 'speed.json'} and {self.out / 'speed.png'}")
        return speed


@dataclass(frozen=True, kw_only=True)
class Algorithms:
    """The catalogue: products and reduction factors, proved as they are listed."""

    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """List them."""
        from tilewise.algebra import algorithm, algorithm_names

        table = Table(title="Bilinear algorithms, per two-dimensional tile")
        for column in (
            "kernel",
            "name",
            "outputs",
            "products",
            "direct",
            "reduction",
            "growth of V",
            "integer B",
        ):
            table.add_column(column, justify="left" if column == "name" else "right")
        rows: list[dict[str, Any]] = []
        for r in (3, 5, 7):
            for name in algorithm_names(r):
                a = algorithm(name, r).verify()
                row = {
                    "name": name,
                    "r": r,
                    "m": a.m,
                    "products": a.products**2,
                    "direct_products": (a.m * r) ** 2,
                    "reduction": float(a.multiplication_ratio()),
                    "input_growth": float(a.growth.input),
                }
                rows.append(row)
                table.add_row(
                    f"{r}x{r}", name, f"{a.m}x{a.m}", str(row["products"]), str(row["direct_products"]),
                    f"{row['reduction']:.2f}", f"{row['input_growth']:g}",
                )  # fmt: skip
            table.add_section()
        Console().print(table)
        return {"rows": rows}


@dataclass(frozen=True, kw_only=True)
class Info:
    """Versions, and what this machine has."""

    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Print them."""
        import importlib.metadata
        import importlib.util

        def version(name: str) -> str | None:
            try:
                return importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                return None

        result: dict[str, Any] = {
            "tilewise": version("tilewise"),
            "python": platform.python_version(),
            "torch": version("torch"),
            "machine": platform.machine(),
        }
        for key, value in result.items():
            print(f"{key}: {value}")
        if importlib.util.find_spec("tilewise._native") is None:
            print("the native part is not built: training works, the engine does not")
            return {**result, "kernel_sets": []}
        return {**result, "kernel_sets": self._kernel_sets()}

    def _kernel_sets(self) -> list[dict[str, Any]]:
        """List what this build can compute with, and how fast a core is at it."""
        from tilewise import _native

        table = Table(title="Kernel sets, best first; TILEWISE_ISA=NAME forces one")
        for column in ("name", "here", "int8 GOP/s", "fp32 GOP/s", "cache GB/s", "memory GB/s", "description"):
            table.add_column(column, justify="right" if "/s" in column else "left")
        rows: list[dict[str, Any]] = []
        for kernels in _native.kernel_sets():
            peaks = dict(_native.measure_peaks(kernels["name"])) if kernels["supported"] else {}
            rows.append({**kernels, "peaks": peaks})
            numbers = [f"{value / 1e9:.0f}" if value else "" for value in peaks.values()] or [""] * 4  # type: ignore[operator]
            table.add_row(kernels["name"], "yes" if kernels["supported"] else "no", *numbers, kernels["description"])
        Console(width=150).print(table)
        print(f"operations: {', '.join(rows[0]['kernels'])}")
        return rows


Command = (
    Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Adapt, tyro.conf.subcommand("adapt")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Compile, tyro.conf.subcommand("compile")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Algorithms, tyro.conf.subcommand("algorithms")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)


def _fit(
    source: Source, layers: Layers, training: Training, common: Common, *, distill: bool = False
) -> dict[str, Any]:
    from tilewise.data import Batches
    from tilewise.train import TrainConfig, evaluate, fit

    config = TrainConfig(
        epochs=training.epochs, recipe=training.recipe, lr=training.lr, out=training.out, resume=training.resume,
        freeze_norms=training.freeze_norms,
        device=common.device, seed=common.seed,
    )  # fmt: skip
    train, test = load_images(source, "train"), load_images(source, "test")
    model = converted_model(source, layers, common, 512)
    print_layers(model)
    scored = Batches(test, 250)
    before = None if source.weights is None else evaluate(model, scored, device=common.device, progress=True).accuracy
    batches = Batches(train, training.batch, shuffle=True, augment=True, seed=common.seed, device=common.device)
    teacher = plain_model(source, train.classes, train.images.shape[1]) if distill else None
    fit(model, batches, scored, config, teacher=teacher)
    log = [json.loads(line) for line in (training.out / "log.jsonl").read_text().splitlines()]
    print(f"accuracy {log[-1]['accuracy']:.2f} % after {training.epochs} epochs; weights in {training.out}")
    return {
        **layers_summary(layers), "before": before, "accuracy": log[-1]["accuracy"],
        "epochs": training.epochs, "log": log,
    }  # fmt: skip


def main() -> None:
    """Run a command; bad input ends with one line on the error stream and status 2."""
    command = tyro.cli(
        Command,
        prog="tilewise",
        description="Fast quantized convolution for CNNs.",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    try:
        if command.common.threads is not None:
            import torch

            if command.common.threads < 1:
                raise ValueError(f"threads is {command.common.threads}; it must be at least 1")  # noqa: TRY301
            torch.set_num_threads(command.common.threads)
        result = command.run()
        if command.common.json is not None:
            command.common.json.parent.mkdir(parents=True, exist_ok=True)
            command.common.json.write_text(json.dumps(result, indent=1) + "\n")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; a run with --out continues with --resume", file=sys.stderr)
        sys.exit(130)
