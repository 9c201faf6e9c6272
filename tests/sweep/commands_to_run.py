"""Commands for test_execute.py: a module of its own, as Ray's workers import it."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tilewise.commands.options import Layers, Source, Training
from tilewise.commands.train import Train


@dataclass(frozen=True)
class Report:
    """Tells where it ran; may fail."""

    error: str = ""

    def run(self) -> dict[str, Any]:
        print("it ran")
        if self.error:
            raise KeyError(self.error)
        return {"threads": torch.get_num_threads(), "process": os.getpid(), "place": str(Path.cwd())}


def training(out: Path) -> Train:
    return Train(
        source=Source(model="small", data="digits", train_images=64),
        training=Training(out=out, epochs=6, resume=True),
        layers=Layers(algorithm="direct"),
    )


@dataclass(frozen=True)
class KilledTraining:
    """Trains; the first time it is killed once it has a checkpoint, as by a machine that dies."""

    out: Path

    def run(self) -> dict[str, Any] | None:
        died = self.out / "died"
        if not died.exists():
            threading.Thread(target=self._die, daemon=True).start()
        return training(self.out).run()

    def _die(self) -> None:
        while not (self.out / "last.safetensors").exists():
            time.sleep(0.001)
        (self.out / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
