"""One loop that trains, adapts and evaluates; checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise.train.checkpoint import load_weights, save_weights
    from tilewise.train.config import TrainConfig
    from tilewise.train.evaluation import Score, evaluate
    from tilewise.train.loop import fit
    from tilewise.train.parallel import launch
    from tilewise.train.tasks import Classification, Segmentation, SuperResolution, Task

__all__ = [
    "Classification", "Score", "Segmentation", "SuperResolution", "Task", "TrainConfig", "evaluate", "fit", "launch",
    "load_weights", "save_weights",
]  # fmt: skip

__getattr__ = loader(
    __name__,
    {
        "load_weights": "checkpoint",
        "save_weights": "checkpoint",
        "TrainConfig": "config",
        "Score": "evaluation",
        "evaluate": "evaluation",
        "fit": "loop",
        "launch": "parallel",
        "Classification": "tasks",
        "Segmentation": "tasks",
        "SuperResolution": "tasks",
        "Task": "tasks",
    },
)
