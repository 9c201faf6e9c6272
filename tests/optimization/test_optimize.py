from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.optimization import climb, outcome, run
from tilewise.optimization.attempts import Bench
from tilewise.optimization.candidates import CANDIDATES


def upscaler() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.PReLU(32),
        nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2),
    )  # fmt: skip


def images(count: int = 7) -> Tensor:
    return torch.rand(count, 3, 20, 24, generator=torch.Generator().manual_seed(1))


class Clockwork:
    """Times that follow from the layers, so that what is chosen follows from the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
        self.seconds, self.told = seconds, []
        monkeypatch.setattr(run, "_keep_silent", self.told.append)
        monkeypatch.setattr("tilewise.optimization.attempts.time_in_turns", self.turns)
        monkeypatch.setattr(outcome, "time_in_turns", self.turns)
        monkeypatch.setattr("tilewise.optimization.attempts._layers", self.layers(
            __import__("tilewise.optimization.attempts", fromlist=["_layers"])._layers))

    def layers(self, real: Any) -> Any:
        def timed(engine: Any, network: Any, image: Any) -> Any:
            rows = real(engine, network, image)
            return [type(row)(**{**vars(row), "seconds": self.of(row)}) for row in rows]

        return timed

    def of(self, row: Any) -> float:
        return next((s for name, s in self.seconds.items() if row.algorithm.endswith(name)), 0.001)

    def turns(self, networks: Any, image: Any) -> dict[str, list[float]]:
        return {name: [self.call(network)] for name, network in networks.items()}

    def call(self, network: Any) -> float:
        if not isinstance(network, tw.Engine):
            return 1.0
        algorithms = [op.get("algorithm") for op in network.program.operations if op["op"] in ("direct", "fast", "wrapping")]
        return sum(self.seconds.get(name or "direct", self.seconds["direct"]) for name in algorithms)
