"""Shared settings of all tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from hypothesis import settings

from tilewise.cli import main
from tilewise.train import checkpoint, runs

# Derandomized, so that a run that passes here passes there; no deadline, because speed is no test's business.
settings.register_profile("tilewise", deadline=None, derandomize=True, max_examples=40)
settings.load_profile("tilewise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have everything that is left out by default say why."""
    for item in items:
        if (mark := item.get_closest_marker("long")) and not mark.kwargs.get("reason"):
            raise pytest.UsageError(f"{item.nodeid} is marked long without a reason")


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Start(Protocol):
    """Starts a run in a process of its own."""

    def __call__(self, out: Path, *, resume: bool) -> subprocess.Popen[bytes]: ...


@pytest.fixture
def kill_and_resume(tmp_path: Path) -> Callable[[Start, int], tuple[Path, Path]]:
    """Run once as a whole, and once killed after its first checkpoint, before the last of its epochs, and resumed."""

    def both(start: Start, epochs: int) -> tuple[Path, Path]:
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        assert start(whole, resume=False).wait() == 0
        process = start(killed, resume=False)
        while not (killed / runs.LAST).exists():
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert 1 <= len(checkpoint.read(killed / runs.LAST)[1]["log"]) < epochs
        assert start(killed, resume=True).wait() == 0
        return whole, killed

    return both


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run a command; give its result."""

    def run(*arguments: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["tilewise", *map(str, arguments), "--json", str(tmp_path / "result.json")])
        main()
        result: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
        return result

    return run


@pytest.fixture
def refusal(cli: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused; give its one line."""

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            cli(*arguments)
        assert stop.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    return run
