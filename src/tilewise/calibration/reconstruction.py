"""Gradient descent through a layer's own quantization, on few images and without labels; ranges stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from tilewise.calibration.fitting import LayerPairs
from tilewise.nn import QuantizedConv, WinogradConv2d
from tilewise.quant.fake import Range

IMAGES_PER_STEP = 32
WEIGHT_RATE, TRANSFORM_RATE = 1e-2, 4e-2
"""Peak rates of reconstruction: what a step moves, in units of what is moved."""


class _Units:
    """Tensors of a layer as they start, and how far a move of one takes each.

    Weights are measured in units of their output channel's size, and transforms in units of their tap's, which every
    algorithm is free to scale: so one rate suits all.
    """

    def __init__(self, layer: WinogradConv2d) -> None:
        rates: dict[str, tuple[float, tuple[int, ...]]] = {"weight": (WEIGHT_RATE, (1, 2, 3))}
        if layer.spec.transforms == "learned":
            rates |= {"AT": (TRANSFORM_RATE, (0,)), "G": (TRANSFORM_RATE, (1,)), "BT": (TRANSFORM_RATE, (1,))}
        self.layer = layer
        self.start = {name: getattr(layer, name).detach().clone() for name in rates}
        self.units = {
            name: rate * self.start[name].abs().mean(dims, keepdim=True) for name, (rate, dims) in rates.items()
        }
        self.moves = {name: torch.zeros_like(value, requires_grad=True) for name, value in self.start.items()}

    def moved(self) -> dict[str, Tensor]:
        """Return the tensors as they are by now."""
        return {name: self.start[name] + self.units[name] * move for name, move in self.moves.items()}

    @torch.no_grad()
    def keep(self) -> None:
        """Give them to the layer."""
        for name, value in self.moved().items():
            getattr(self.layer, name).copy_(value)


def reconstruct(layer: WinogradConv2d, sample: LayerPairs, steps: int, seed: int) -> None:
    """Learn a layer's weights and, where they are learned, transforms, so that it gives what is wanted."""
    units = _Units(layer)
    scale = max(1e-30, sum(float(y.square().mean()) for y in sample.wanted) / len(sample.wanted))
    draw = _draws(sample, seed)

    def loss() -> Tensor:
        x, y = next(draw)
        return F.mse_loss(functional_call(layer, units.moved(), (x,)), y) / scale

    with _training_with_fixed_ranges(layer):
        _descend(list(units.moves.values()), loss, steps)
    units.keep()


def _descend(moves: Sequence[Tensor], loss: Callable[[], Tensor], steps: int) -> None:
    """Take steps of Adam, from the full rate down to none by a cosine."""
    optimizer = torch.optim.Adam(moves, lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps))
    for _ in range(steps):
        optimizer.zero_grad()
        found: Any = loss()
        found.backward()
        optimizer.step()
        schedule.step()


def _draws(sample: LayerPairs, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw images of one batch, again and again."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        batch = int(torch.randint(len(sample.inputs), (), generator=generator))
        x, y = sample.inputs[batch], sample.wanted[batch]
        images = torch.randperm(len(x), generator=generator)[:IMAGES_PER_STEP].to(x.device)
        yield x[images], y[images]


@contextmanager
def _training_with_fixed_ranges(layer: QuantizedConv) -> Iterator[None]:
    """Put a layer in training mode, its ranges where they are."""
    ranges = [m for m in layer.children() if isinstance(m, Range)]
    before = [r.frozen for r in ranges]
    for chosen in ranges:
        chosen.frozen = True
    layer.train()
    try:
        yield
    finally:
        layer.eval()
        for chosen, frozen in zip(ranges, before, strict=True):
            chosen.frozen = frozen
