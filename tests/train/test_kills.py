"""A run that is killed at any call to the file system resumes to the result of an uninterrupted one, byte for byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kills
import pytest

LAST_CALLS = (-22, -14, -12, -10, -7, -5)
"""Of all calls, counted from the end: some around the last checkpoint's renaming, and of the files that follow it."""


def sweep(command: str, folder: Path, *points: int) -> dict[str, Any]:
    script = [sys.executable, kills.__file__, command, str(folder), *map(str, points)]
    run = subprocess.run(script, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    # Every file is written whole: opened, written, brought to the disk, renamed.
    assert {"open", "write", "fsync", "os.rename", "os.mkdir"} <= set(result["calls"])
    return result


MORE = pytest.mark.long(reason="the same checkpoints, written by other commands")


@pytest.mark.parametrize(
    "command", [command if command == "train" else pytest.param(command, marks=MORE) for command in kills.COMMANDS]
)
def test_killed_while_the_last_epoch_is_kept(command: str, tmp_path: Path) -> None:
    result = sweep(command, tmp_path, *LAST_CALLS)
    assert result["killed"] == len(LAST_CALLS)
    assert not result["failed"]


@pytest.mark.long(reason="kills at every call to the file system, not only at those around the last checkpoint")
@pytest.mark.parametrize("command", kills.COMMANDS)
def test_killed_anywhere(command: str, tmp_path: Path) -> None:
    result = sweep(command, tmp_path)
    assert result["killed"] == len(result["calls"]) > 40
    assert not result["failed"]
