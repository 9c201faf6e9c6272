"""`tilewise search`, and what the other commands do with what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import tilewise as tw
from tilewise import zoo
from tilewise.cli import main
from tilewise.commands import search as command
from tilewise.experiments import front, speed
from tilewise.experiments.known_searches import Table
from tilewise.winas import Architecture

SMALL = ("--model", "small", "--data", "digits", "--train-images", 80, "--threads", 1)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    table = Table(by_label={"F2 int8": 0.5e-3}, rest=1e-3)
    monkeypatch.setattr(command, "load_table", lambda _: (table, 1))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(front, "UNIFORM", {"direct fp32": tw.Direct(bits=32), "direct int8": tw.Direct()})

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tilewise", *map(str, arguments)])
        main()

    return run


def test_a_found_architecture_serves_the_other_commands(
    cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    on = (*SMALL, "--weights", tmp_path / "m.safetensors", "--json", tmp_path / "r.json")
    searching = ("search", *on, "--table", "t.jsonl", "--out", tmp_path / "s", "--epochs", 1, "--distill")
    cli(*searching, "--algorithms", "direct", "F2", "--budget-ms", 4.6)
    found = Architecture.load(tmp_path / "s" / "architecture-0.json")
    assert json.loads((tmp_path / "r.json").read_text())["found"] == [found.to_dict()]
    assert found.expected_seconds == pytest.approx(4.5e-3)  # one image channel: the first of six layers has no choice
    assert [spec.kind for spec in found.specs.values()] == ["direct"] + ["winograd"] * 5
    assert "convs.1" in capsys.readouterr().out

    specs = ("--specs", tmp_path / "s" / "architecture-0.json", "--skips", "quantized")
    cli("evaluate", *on, *specs)
    assert json.loads((tmp_path / "r.json").read_text())["specs"] == found.to_dict()["specs"]
    cli("adapt", *on, *specs, "--epochs", 1, "--out", tmp_path / "a")
    adapted = tw.load_weights(zoo.small_cnn(), tmp_path / "a" / "best.safetensors")
    assert {layer.name: layer.spec for layer in tw.describe(adapted)} == found.specs
    with pytest.raises(SystemExit):
        cli("evaluate", *on, *specs, "--algorithm", "F4")
    assert "both --algorithm F4 and --specs" in capsys.readouterr().err


def test_a_front_is_adapted_compiled_scored_and_drawn(
    cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    on = (*SMALL, "--weights", tmp_path / "m.safetensors", "--json", tmp_path / "r.json", "--resume")
    searching = ("search", *on, "--table", "t.jsonl", "--out", tmp_path / "s", "--epochs", 1, "--adapt-epochs", 1)
    cli(*searching, "--algorithms", "direct", "F2", "--pareto", 2, "--mode", "WA-Q")
    result = json.loads((tmp_path / "s" / "front.json").read_text())
    assert result.items() <= json.loads((tmp_path / "r.json").read_text()).items()
    assert [row["case"] for row in result["rows"]][:2] == ["direct fp32", "direct int8"]
    found = [row["case"] for row in result["rows"] if row["case"].startswith("found")]
    assert found
    assert all(row["milliseconds"] > 0 and 0 <= row["accuracy"] <= 100 for row in result["rows"])
    for picture in ("front.png", "architectures.png"):
        assert (tmp_path / "s" / picture).read_bytes().startswith(b"\x89PNG")
    adapted = [
        tmp_path / "s" / "adapted" / case / "last.safetensors" for case in ("direct-int8", found[-1].replace(" ", "-"))
    ]
    before = [path.read_bytes() for path in adapted]
    cli(*searching, "--algorithms", "direct", "F2", "--pareto", 2, "--mode", "WA-Q")  # nothing is done twice
    assert [path.read_bytes() for path in adapted] == before
    assert len(json.loads((tmp_path / "r.json").read_text())["log"]) == 2
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli("search", *SMALL, "--table", "t.jsonl", "--out", tmp_path / "x", "--distill")
    assert "distill needs --weights" in capsys.readouterr().err


def test_the_front_is_what_nothing_beats() -> None:
    def row(case: str, milliseconds: float, accuracy: float) -> speed.SpeedRow:
        return speed.SpeedRow(
            case=case, milliseconds=milliseconds, fastest=0, slowest=0, speedup=1, accuracy=accuracy
        )  # fmt: skip

    rows = [row("slow", 3, 90), row("best", 2, 91), row("fast", 1, 80), row("same", 1, 79), row("slower", 2.5, 91)]
    assert [r.case for r in front.front(rows)] == ["fast", "best"]
