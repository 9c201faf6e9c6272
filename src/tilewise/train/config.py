"""How to train: a frozen config, and the recipes it names."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch
    from torch import nn

CLIP_NORM = 5.0
WARMUP_SHARE = 0.05


TRANSFORMS = ("AT", "G", "BT", "points", "row_exponents", "column_exponents")
"""Parameters of learned transforms."""
_IDENTITY = ("epochs", "recipe", "lr", "transform_rate", "freeze_norms", "freeze_ranges", "mix", "seed")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run.

    Parameters
    ----------
    epochs : int
        Passes over the training images, at least 1.
    recipe : {"modern", "paper"}
        ``"paper"``: Adam with weight decay 4e-5, rate divided by 10 at 3/5 and 4/5 of the epochs.
        ``"modern"``: AdamW, warm-up and cosine by step, no decay on vectors and transforms, gradient norm clipped.
    lr : float
        Peak learning rate.
    transform_rate : float
        Of learned transforms, as a share of ``lr``: 1 for those that start from an algorithm's own matrices, whose
        entries are whole numbers and fractions; less for refined ones, which have small entries and gain little by
        long ways (docs/decisions/training.md), and for F6 of 5x5 kernels. With the modern recipe.
    freeze_norms : bool
        Keep the statistics of batch normalisation as they are. For adapting a trained network: statistics of the last
        few batches alone cost ResNet-20 0.3 points (docs/decisions/training.md).
    freeze_ranges : bool
        Keep the ranges of quantization as they are. For adapting a refined network, whose ranges were chosen with
        care: those of training follow the largest values of single batches (docs/decisions/calibration.md).
    mix : bool
        With a teacher: train on weighted means of pairs of images (mixup: Zhang et al., ICLR 2018; for distillation
        Beyer et al., CVPR 2022). It has learned the images themselves by heart, and says little about them.
    out : path, optional
        Run folder for ``last.safetensors`` (to resume), ``best.safetensors`` (weights) and ``log.jsonl``.
        None keeps nothing.
    resume : bool
        Continue from ``out/last.safetensors``; start afresh if there is none.
    device : str
        Such as ``"cpu"`` or ``"cuda"``.
    seed : int
        Of order, augmentation and whatever randomness the model has.
    progress : bool
        Show a progress bar.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    epochs: int = 20
    recipe: Literal["modern", "paper"] = "modern"
    lr: float = 1e-3
    transform_rate: float = 1.0
    freeze_norms: bool = False
    freeze_ranges: bool = False
    mix: bool = False
    out: str | Path | None = None
    resume: bool = False
    device: str = "cpu"
    seed: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ValueError(f"epochs is {self.epochs}; it must be at least 1")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr is {self.lr}; it must be positive and finite")
        if not 0 <= self.transform_rate <= 1:
            raise ValueError(f"transform_rate is {self.transform_rate}; allowed: 0 to 1")
        if self.transform_rate != 1 and self.recipe != "modern":
            raise ValueError(f"transform_rate is {self.transform_rate}; the {self.recipe} recipe has one rate for all")
        if self.recipe not in ("modern", "paper"):
            raise ValueError(f"recipe is {self.recipe!r}; allowed: modern, paper")
        if self.resume and self.out is None:
            raise ValueError("resume is set but out is not; give the folder of the run to resume")

    def identity(self) -> dict[str, Any]:
        """What must agree for one run to be the continuation of another."""
        return {k: v for k, v in asdict(self).items() if k in _IDENTITY}

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Make the recipe's optimizer for all trainable parameters of the model."""
        import torch

        parameters = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        if not parameters:
            raise ValueError("the model has no trainable parameters")
        if self.recipe == "paper":
            return torch.optim.Adam([p for _, p in parameters], lr=self.lr, weight_decay=4e-5)
        decayed = [p for n, p in parameters if p.ndim > 1 and n.rpartition(".")[2] == "weight"]
        slow = [p for n, p in parameters if n.rpartition(".")[2] in TRANSFORMS] if self.transform_rate != 1 else []
        apart = {id(p) for p in (*decayed, *slow)}
        groups = [
            {"params": decayed, "weight_decay": 1e-2, "rate": 1.0},
            {"params": [p for _, p in parameters if id(p) not in apart], "weight_decay": 0.0, "rate": 1.0},
            {"params": slow, "weight_decay": 0.0, "rate": self.transform_rate},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=self.lr)

    def lr_at(self, epoch: int, step: int, steps: int) -> float:
        """Learning rate of a step, as a pure function, so that resuming needs no scheduler state."""
        if self.recipe == "paper":
            passed = sum(epoch >= self.epochs * share // 5 for share in (3, 4))
            return self.lr * 0.1**passed
        total, now = self.epochs * steps, epoch * steps + step
        warmup = max(1, int(WARMUP_SHARE * total))
        if now < warmup:
            return self.lr * (now + 1) / warmup
        return self.lr * 0.5 * (1 + math.cos(math.pi * (now - warmup) / max(1, total - warmup)))
