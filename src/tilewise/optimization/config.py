"""How to optimize: a frozen config."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

MetricName: TypeAlias = Literal["auto", "accuracy", "miou", "psnr", "agreement"]


class BudgetError(ValueError):
    """Nothing that was tried loses as little as is allowed; what was tried is written all the same."""


@dataclass(frozen=True, kw_only=True)
class OptimizeConfig:
    """What an optimized network has to keep, and how long to look for it.

    Parameters
    ----------
    max_drop : float
        How much of the metric may be lost on the images held back: points of accuracy, mIoU or agreement, or dB.
    minutes : float
        Time to spend. What would take longer is not begun, and what has begun is ended; direct int8 is always tried.
    metric : {"auto", "accuracy", "miou", "psnr", "agreement"}
        ``"accuracy"`` and ``"miou"`` need labels; their drop is from the float network. ``"agreement"``: percent of the
        images, or of their pixels, that are answered as in float. ``"psnr"``: with images as targets, from the float
        network; without, both networks are compared with the float network's outputs, and the drop is from direct int8.
        ``"auto"`` is what labels and outputs allow.
    threads : int
        How many to run with.
    seed : int
        Of which images are held back, and of all training.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    max_drop: float = 0.5
    minutes: float = 10.0
    metric: MetricName = "auto"
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise ValueError(f"max_drop is {self.max_drop}; it must be finite and not negative")
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes is {self.minutes}; it must be positive and finite")
        if self.metric not in get_args(MetricName):
            raise ValueError(f"metric is {self.metric!r}; allowed: {', '.join(get_args(MetricName))}")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it must not be negative")
