from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tilewise.cli import main

OPTIONS = {"model": "small", "data": "digits", "train-images": 64, "epochs": 1}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run ``tilewise sweep`` on a file of the given content; give the exit status."""

    def run(out: str = "out", *, command: str = "train", **content: Any) -> int:
        path = tmp_path / "sweep.json"
        path.write_text(json.dumps({"command": command, "options": OPTIONS, **content}))
        arguments = ["sweep", str(path), "--out", str(tmp_path / out), "--json", str(tmp_path / "copy.json")]
        monkeypatch.setattr(sys, "argv", ["tilewise", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(str(stop.code))
        return 0

    return run


def test_failed_runs_are_listed_and_finished_ones_kept(
    sweep: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [{"algorithm": "F9"}, {"algorithm": "direct"}]
    assert sweep(runs=runs) == 2
    shown = capsys.readouterr()
    assert "algorithm=F9 failed: ValueError: unknown algorithm 'F9'" in shown.out
    assert "error: 1 of 2 runs failed" in shown.err
    done, summary = tmp_path / "out" / "algorithm=direct", tmp_path / "out" / "summary.json"
    assert json.loads(summary.read_text())["runs"][0]["error"].startswith("ValueError: unknown algorithm 'F9'")
    first = (done / "result.json").stat()
    assert "accuracy" in (done / "output.txt").read_text()

    assert sweep(runs=[{"algorithm": "F2"}, *runs[1:]]) == 0
    assert (done / "result.json").stat().st_mtime_ns == first.st_mtime_ns
    result = json.loads(summary.read_text())
    assert json.loads((tmp_path / "copy.json").read_text()) == result
    assert [(group["settings"]["algorithm"], group["runs"]) for group in result["groups"]] == [("F2", 1), ("direct", 1)]
    assert all(list(group["numbers"]) == ["accuracy"] for group in result["groups"])

    changed = {"options": {**OPTIONS, "epochs": 2}, "runs": runs[1:]}
    assert sweep(**changed) == 2
    assert "algorithm=direct holds a run with epochs = 1, not 2; choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"runs": [{}], "command": "demo"}, "command is 'demo'; allowed: train, adapt"),
        ({"grid": {"learning": [1]}}, "run learning=1: Unrecognized options: --learning, 1"),
        ({"grid": {"lr": ["high"]}}, "run lr=high: Error parsing --lr: could not convert string to float: 'high'"),
        ({"grid": {"recipe": ["best"]}}, "run recipe=best: invalid choice 'best' for argument '--recipe'"),
        ({"options": {}, "runs": [{"lr": 1}]}, "run lr=1: Missing from tilewise train: --model STR"),
    ],
)
def test_nothing_starts_before_all_runs_are_right(
    sweep: Any, tmp_path: Path, content: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(**content) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
