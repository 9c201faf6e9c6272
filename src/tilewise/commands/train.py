"""The commands that train networks and score them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tilewise.commands.options import (
    Calibration,
    Common,
    Layers,
    Source,
    Training,
    converted_model,
    layers_summary,
    load_data,
    plain_model,
    print_layers,
)
from tilewise.commands.outputs import TilewiseFile
from tilewise.common.files import file_digest


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Accuracy, mIoU or PSNR on all test images; with an algorithm given, of the post-training swap."""

    source: Source
    layers: Layers
    calibration: Calibration = field(default_factory=Calibration)
    common: Common = field(default_factory=Common)
    out: TilewiseFile | None = None
    """Save the calibrated network's weights, ranges and specs to this file."""
    teacher: Path | None = None
    """Weights of the same network, in float as a rule: the distance from its outputs is measured too."""

    def run(self) -> dict[str, Any]:
        """Evaluate."""
        from tilewise.train import evaluate, save_weights

        test = load_data(self.source, "test")
        model = converted_model(self.source, self.layers, self.common, self.calibration)
        if self.out is not None:
            save_weights(model, self.out)
        device, task = self.common.device, test.task
        teacher = None if self.teacher is None else plain_model(replace(self.source, weights=self.teacher), test)
        scored = test.scoring(device=device)
        score = evaluate(model, scored, task=task, teacher=teacher, device=device, progress=True)
        print_layers(model)
        far = "" if score.distance is None else f", distance from the teacher {score.distance:.4f}"
        print(f"{task.metric} {score.value:.2f} {task.unit} of {score.images} images, loss {score.loss:.4f}{far}")
        return {
            **layers_summary(self.layers),
            "calibration": self.calibration.to_dict(),
            task.metric: score.value,
            "loss": score.loss,
            "images": score.images,
            "distance": score.distance,
        }


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a network, in float or Winograd-aware, from scratch or from weights."""

    source: Source
    training: Training
    layers: Layers
    calibration: Calibration = field(default_factory=Calibration)
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any] | None:
        """Train."""
        return _launch(self.source, self.layers, self.calibration, self.training, self.common)


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Adapt a trained network to an algorithm and bit width: swap, calibrate, train on."""

    source: Source
    training: Training
    layers: Layers
    calibration: Calibration = field(default_factory=Calibration)
    common: Common = field(default_factory=Common)
    distill: bool = False
    """Learn the outputs of the network given by --weights instead of the labels."""

    def run(self) -> dict[str, Any] | None:
        """Adapt."""
        if self.source.weights is None:
            raise ValueError("adapt needs --weights: the trained network to start from")
        if not self.layers.specs():
            raise ValueError("adapt needs --algorithm: what to adapt to, such as F4; or --specs")
        return _launch(self.source, self.layers, self.calibration, self.training, self.common, distill=self.distill)


def _launch(
    source: Source,
    layers: Layers,
    calibration: Calibration,
    training: Training,
    common: Common,
    *,
    distill: bool = False,
) -> dict[str, Any] | None:
    from tilewise.train import launch

    return launch(
        _fit, source, layers, calibration, training, common, distill, devices=training.devices, device=common.device
    )


def _fit(
    source: Source, layers: Layers, calibration: Calibration, training: Training, common: Common, distill: bool
) -> dict[str, Any]:
    from tilewise.common.processes import Processes
    from tilewise.train import evaluate, fit
    from tilewise.train.runs import read_log

    config, processes = training.config(common), Processes.here()
    train, val = load_data(source, "train"), load_data(source, "val")
    model = converted_model(source, layers, common, calibration)
    if processes.first:
        print_layers(model)
    task, scored, before = train.task, val.scoring(device=common.device), None
    if source.weights is not None:
        before = evaluate(model, scored, task=task, device=common.device, progress=True, processes=processes).value
    batches = train.training(training.batch, seed=common.seed, device=common.device)
    teacher = plain_model(source, train) if distill else None
    fit(model, batches, scored, config, task=task, teacher=teacher, origin=_origin(source, layers, calibration))
    if not processes.first:
        return {}
    log = read_log(training.out)
    last = log[-1][task.metric]
    print(f"{task.metric} {last:.2f} {task.unit} after {training.epochs} epochs; weights in {training.out}")
    return {
        **layers_summary(layers), "before": before, task.metric: last, "epochs": training.epochs, "log": log,
    }  # fmt: skip


def _origin(source: Source, layers: Layers, calibration: Calibration) -> dict[str, Any]:
    """Return all options that say what is trained; files by what is in them."""
    files = {"weights": source.weights, "specs_file": layers.specs_file}
    content = {name: None if path is None else file_digest(path) for name, path in files.items()}
    options = {**asdict(source), **asdict(layers), **calibration.to_dict()}
    del options["data_root"]  # the data themselves are compared, wherever they lie
    return {**options, **content}
