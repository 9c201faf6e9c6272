"""The commands that train networks and score them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tilewise.commands.options import (
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
        if not self.layers.specs():
            raise ValueError("adapt needs --algorithm: what to adapt to, such as F4; or --specs")
        return _fit(self.source, self.layers, self.training, self.common, distill=self.distill)


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
