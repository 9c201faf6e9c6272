"""One loop that trains, adapts and evaluates; calibration; checkpoints."""

from __future__ import annotations

from tilewise.train.calibration import calibrate
from tilewise.train.checkpoint import load_weights, save_weights
from tilewise.train.config import CalibrationConfig, TrainConfig
from tilewise.train.evaluation import Score, evaluate
from tilewise.train.loop import fit
from tilewise.train.parallel import launch
from tilewise.train.tasks import Classification, Segmentation, SuperResolution, Task

__all__ = [
    "CalibrationConfig", "Classification", "Score", "Segmentation", "SuperResolution", "Task", "TrainConfig",
    "calibrate", "evaluate", "fit", "launch", "load_weights", "save_weights",
]  # fmt: skip
