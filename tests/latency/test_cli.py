"""``tilewise measure`` from end to end, and its refusals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tilewise.cli import main
from tilewise.latency import LatencyTable
from tilewise.report.latency import figures

from .conftest import ELSEWHERE, record_of, shape_of, work_of

GRID = ("--grid", "--channels", 8, 16, "--resolutions", 6, "--ratios", 1, "--rounds", 1)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tilewise", "measure", *map(str, arguments)])
        main()

    return run


def test_a_network_and_a_grid_in_one_table(cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, summary = tmp_path / "t.jsonl", tmp_path / "s.json"
    common = ("--out", out, "--candidates", "direct int8", "F2 int8", "--json", summary)
    cli(*common, *GRID, "--model", "small", "--size", 16, "--pictures", tmp_path / "p")
    printed = capsys.readouterr().out
    assert "small: microseconds, the fastest marked by *" in printed
    assert "1 x 3-16 3x3, 16x16" in printed
    assert printed.count("*") >= 6
    result = json.loads(summary.read_text())
    assert result["records"] == len(LatencyTable.load(out))
    assert {Path(p).name for p in result["pictures"]} == {"grid.png", "stages.png", "roofline.png"}
    assert all(Path(p).stat().st_size > 10000 for p in result["pictures"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there is nothing to measure; ask for --model NAME, --grid, or both"),
        (("--model", "vgg"), "unknown model 'vgg'"),
        (("--model", "small", "--candidates", "F9 int8"), "unknown algorithm 'F9'"),
        (("--model", "small", "--candidates"), "there are no candidates"),
        (("--model", "small", "--size", 0), "batch, size and image-channels are 1, 0, 3"),
        (("--model", "small", "--rounds", 0), "rounds is 0"),
        (("--model", "small", "--threads", 99), "threads is 99"),
        (("--grid", "--channels", 0), r"channels is (0,)"),
    ],
)
def test_bad_input_ends_with_one_line(
    arguments: Any, message: str, cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli("--out", tmp_path / "t.jsonl", *arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "t.jsonl").exists()


def test_a_table_of_another_machine_is_drawn_without_ceilings(tmp_path: Path) -> None:
    works = [work_of(shape_of(16, 8), name) for name in ("F4 int8", "direct int8", "F2 float32")]
    table = LatencyTable(record_of(work, 1e-5, machine=ELSEWHERE) for work in works)
    assert [path.name for path in figures(table, tmp_path)] == ["stages.png", "roofline.png"]
    with pytest.raises(ValueError, match="no convolutions to draw"):
        figures(LatencyTable(), tmp_path)
