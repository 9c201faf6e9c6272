"""Where commands write is looked at before they begin: no work is lost, no foreign file, no run that is going on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tilewise.cli import main
from tilewise.common.places import sole_use

NETWORK = ("--model", "small", "--data", "digits")
FOREIGN = b"dear diary"
FILES = {
    "compile": ("compile", *NETWORK, "--out"),
    "evaluate": ("evaluate", *NETWORK, "--out"),
    "doctor": ("doctor", *NETWORK, "--out"),
    "measure": ("measure", "--model", "small", "--out"),
    "algorithms": ("algorithms", "search", "--out"),
    "exact": ("algorithms", "exact", "--picture"),
    "run": ("run", "none.tilewise", "--data", "digits", "--profile", "--picture"),
    "json": ("info", "--json"),
}
FOLDERS = {
    "optimize": ("optimize", "small", "--data", "digits", "--out"),
    "train": ("train", *NETWORK, "--out"),
    "adapt": ("adapt", *NETWORK, "--out"),
    "search": ("search", *NETWORK, "--table", "none.jsonl", "--out"),
    "sweep": ("sweep", "none.toml", "--out"),
    "experiment": ("experiment", "swap", "--out"),
    "demo": ("demo", "--out"),
    "pictures": ("measure", "--model", "small", "--out", "none.jsonl", "--pictures"),
}
Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must fail at once; give its one line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["tilewise", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    return run


@pytest.mark.parametrize("command", FILES)
def test_foreign_files_folders_and_devices_stay(refused: Refused, tmp_path: Path, command: str) -> None:
    foreign = tmp_path / "diary.json"
    foreign.write_bytes(FOREIGN)
    assert f"{foreign} is a file of another kind already" in refused(*FILES[command], foreign)
    assert f"{tmp_path} is no file" in refused(*FILES[command], tmp_path)
    assert "/dev/null is no file" in refused(*FILES[command], "/dev/null")
    assert foreign.read_bytes() == FOREIGN
    assert [path.name for path in tmp_path.iterdir()] == [foreign.name]


@pytest.mark.parametrize("command", FOLDERS)
def test_folders_are_folders_and_nobody_elses(refused: Refused, tmp_path: Path, command: str) -> None:
    foreign, used = tmp_path / "diary", tmp_path / "used"
    foreign.write_bytes(FOREIGN)
    assert f"{foreign} is no folder" in refused(*FOLDERS[command], foreign)
    with sole_use(used):
        assert f"{used} is in use by process {os.getpid()}" in refused(*FOLDERS[command], used)
    assert foreign.read_bytes() == FOREIGN
    assert not used.exists()


@pytest.mark.parametrize("command", FILES | FOLDERS)
def test_folders_that_take_no_files_are_found_at_once(refused: Refused, command: str) -> None:
    assert "/proc/1/a.json can not be written" in refused(*(FILES | FOLDERS)[command], "/proc/1/a.json")
