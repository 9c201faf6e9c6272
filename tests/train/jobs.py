"""What test_parallel.py runs in several processes: a module of its own, as they import what they call."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.data import Batches, load
from tilewise.quant.processes import Processes

SPECS = {
    "direct": tw.Direct(),
    "float": tw.Direct(bits=32),
    "native": tw.Winograd("F4", transforms="learned"),
    "paper": tw.Winograd("F2", quantizer="paper", scales="tensor"),
}


class Doubled:
    """Batches in float64, in which rounding is too small to turn an integer."""

    def __init__(self, images: Any, batch: int) -> None:
        self.batches = Batches(images, batch, shuffle=True, augment=True)
        self.set_epoch = self.batches.set_epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return ((x.double(), y) for x, y in self.batches)


def train(
    kind: str, images: int, batch: int, *, double: bool, skips: Any = "float", distill: bool = False, **config: Any
) -> dict[str, Any]:
    """Train a small network; give all of its state, and that the processes agree on it."""
    # The first process's weights and ranges shall be those of all.
    torch.manual_seed(Processes.here().rank)
    model: nn.Module = tw.convert(zoo.small_cnn(), {"*": SPECS[kind]}, skips=skips)
    data, test = load("digits", "train").subset(images), load("digits", "test").subset(61)
    loader: Any = Batches(data, batch, shuffle=True, augment=True)
    val: Any = Batches(test, 20)
    teacher = None
    if distill:
        torch.manual_seed(7)
        teacher = zoo.small_cnn()
    if double:
        model, loader, val = model.double(), Doubled(data, batch), Doubled(test, 20)
        teacher = teacher and teacher.double()
    tw.fit(model, loader, val, tw.TrainConfig(progress=False, **config), teacher=teacher)
    state = dict(model.state_dict())
    everyone = Processes.here()
    assert all((everyone.gather(t.double()) == t.double()).all() for t in state.values())
    assert all(type(m).forward is m.forward.__func__ for m in model.modules())
    return {name: t.numpy() for name, t in state.items()}


def threads() -> tuple[int, int]:
    return torch.get_num_threads(), Processes.here().world


def fail_in_the_second() -> None:
    if not Processes.here().first:
        raise ValueError("something is 3; it must be at least 4")
    Processes.here().sum(torch.zeros(1))


def die_in_the_second(out: Path) -> None:
    if not Processes.here().first:
        os.kill(os.getpid(), signal.SIGKILL)
    train("direct", 64, 32, double=False, epochs=1, out=out)


def frozen() -> Any:
    return dataclasses.asdict(tw.TrainConfig())
