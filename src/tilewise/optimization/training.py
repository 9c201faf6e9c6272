"""What brings networks nearer to float without labels: ranges, refinement layer by layer, distillation."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tilewise.calibration import CalibrationConfig, calibrate
from tilewise.calibration.refinement import refine
from tilewise.optimization.metrics import Judge, flat
from tilewise.optimization.sample import SIDE, Sample, Windows, window_side
from tilewise.train import TrainConfig, fit


class Amount(NamedTuple):
    """How much a pass of the float network over some images may take: operations of its convolutions, and pixels."""

    operations: float
    pixels: int


CALIBRATED, LOOKED_AT, REFINED = Amount(1e11, 2**20), Amount(2e10, 2**15), Amount(4e10, 2**17)
"""For ranges, for losses of layers, and for refinement."""
LEAST = 4
"""Images, whatever they take."""
STEP = Amount(1.2e10, 2**15)
"""A step of adaptation."""
MOST_IN_STEP = 64
REFINED_SIDE, REFINED_PIXELS = 32, 2**12
"""Of windows for refinement, and of a step of it."""
REFINEMENT = CalibrationConfig(reconstruct=100)
RATE = 6e-4
"""Of adaptation; refined transforms, whose entries are small, move by a tenth of it."""
LEAST_STEPS, MOST_STEPS, EPOCH = 40, 2000, 20
"""Of adaptation: steps in all, and in an epoch, which ends with a checkpoint."""


class Trainer:
    """Makes networks that are calibrated, refined or adapted on the images shown.

    Parameters
    ----------
    model : torch.nn.Module
        In float, in evaluation mode.
    shown : Sample
        Images; no target is used.
    judge : Judge
        Whose task says what a distance to the float network is.
    operations : float
        Of the network on the first image.
    seed : int
        Of all that is drawn.
    """

    def __init__(self, model: nn.Module, shown: Sample, judge: Judge, operations: float, seed: int) -> None:
        self.model, self.judge, self.seed = model, judge, seed
        self.images = shown.images
        self.side = window_side(model, self.images[0])
        self._per_pixel = operations / self.images[0][0, 0].numel()

    def calibrated(self, network: nn.Module) -> nn.Module:
        """Measure a network's ranges."""
        return calibrate(network, self.images[: self._count(CALIBRATED, None)])

    def looked_at(self) -> list[Tensor]:
        """Return the batches that losses of layers are measured on."""
        return self._batches(LOOKED_AT, LOOKED_AT.pixels // 2, SIDE)

    def refined(self, network: nn.Module) -> nn.Module:
        """Measure a network's ranges, and refine its layers one after another."""
        self.calibrated(network)
        refine(network, self._batches(REFINED, REFINED_PIXELS, REFINED_SIDE), REFINEMENT, progress=False)
        return network

    def can_adapt(self) -> bool:
        """Whether the network's result is one tensor, as distillation needs it."""
        with torch.no_grad():
            return isinstance(self.model(self.images[0]), Tensor)

    def adaptation_steps(self, network: nn.Module, seconds: float) -> int:
        """Return how many steps of adaptation fit into a time: 0 if they are too few to be of use."""
        steps = int(seconds / self._seconds_of_step(network))
        return 0 if steps < LEAST_STEPS else min(MOST_STEPS, steps)

    def adapted(self, network: nn.Module, steps: int, out: Path) -> nn.Module:
        """Teach a refined network the float network's outputs; goes on with the last whole epoch in a folder."""
        epochs = math.ceil(steps / EPOCH)
        config = TrainConfig(
            epochs=epochs, lr=RATE, transform_rate=0.1, freeze_norms=True, freeze_ranges=True, out=out, resume=True,
            seed=self.seed, progress=False,
        )  # fmt: skip
        windows = self._windows(EPOCH)
        return fit(network, windows, self._check(windows), config, task=self.judge.task, teacher=self.model,
                   origin={"network": "refined"})  # fmt: skip

    def _check(self, windows: Windows) -> list[tuple[Tensor, Tensor]]:
        """Return a batch for the log of training, with the float network's outputs as its targets."""
        x, _ = next(iter(windows))
        with torch.no_grad():
            outputs = flat(self.model(x))[0]
        if self.judge.by_labels and self.judge.task.metric in ("accuracy", "miou"):
            return [(x, outputs.argmax(1))]
        return [(x, outputs)]

    def _seconds_of_step(self, network: nn.Module) -> float:
        """Measure a step on a copy."""
        tried = copy.deepcopy(network).train()
        x, _ = next(iter(self._windows(1)))
        with torch.no_grad():
            wanted = self.model(x)
        began = 0.0
        for _ in range(2):  # the first one touches memory
            began = time.perf_counter()
            loss: Any = self.judge.task.distance(tried(x), wanted)
            loss.backward()
        return max(1e-4, time.perf_counter() - began)

    def _count(self, amount: Amount, side: int | None) -> int:
        """Return how many windows, or whole images, an amount is."""
        pixels = self.images[0][0, 0].numel() if side is None else side**2
        return max(LEAST, int(min(amount.operations / max(1.0, self._per_pixel * pixels), amount.pixels / pixels)))

    def _windows(self, steps: int) -> Windows:
        """Return the batches of adaptation."""
        size = min(MOST_IN_STEP, self._count(STEP, self.side))
        return Windows(self.images, self.side, size, steps, self.seed)

    def _batches(self, amount: Amount, step_pixels: int, side: int) -> list[Tensor]:
        """Return batches of windows, or of whole images where the network wants those."""
        cut = side if self.side == SIDE else self.side
        size = min(
            MOST_IN_STEP, max(LEAST, step_pixels // (cut**2 if cut is not None else self.images[0][0, 0].numel()))
        )
        steps = max(1, self._count(amount, cut) // size)
        return [x for x, _ in Windows(self.images, cut, size, steps, self.seed)]
