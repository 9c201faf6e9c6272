from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tilewise as tw
from tilewise import zoo
from tilewise.cli import main
from tilewise.experiments import demo, speed


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tilewise", *map(str, arguments)])
        main()

    return run


@pytest.fixture
def refused(cli: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that must fail; give its one line."""

    def run(*arguments: object) -> str:
        with pytest.raises(SystemExit) as stop:
            cli(*arguments)
        assert stop.value.code == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert lines[-1].startswith("error: ")
        return lines[-1]

    return run


SMALL = ("--model", "small", "--data", "digits", "--train-images", 128)


def test_life_of_a_network(cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained, adapted = tmp_path / "fp32", tmp_path / "f4"
    cli("train", *SMALL, "--epochs", 2, "--out", trained, "--lr", 3e-3, "--json", tmp_path / "t.json")
    weights = trained / "last.safetensors"
    cli("evaluate", *SMALL, "--weights", weights, "--json", tmp_path / "e.json")
    first, scored = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("t", "e"))
    assert first["accuracy"] == scored["accuracy"]
    assert scored["images"] == 500

    arguments = ("--algorithm", "F4", "--scales", "tensor", "--json", tmp_path / "s.json")
    cli("evaluate", *SMALL, "--weights", weights, *arguments)
    swapped = json.loads((tmp_path / "s.json").read_text())
    assert (swapped["algorithm"], swapped["bits"], swapped["scales"]) == ("F4", 8, "tensor")
    assert "convs.0 (1 -> 16, 3x3) is direct at 8 bits: it has fewer than 4" in capsys.readouterr().err

    adapt = ("adapt", *SMALL, "--weights", weights, "--algorithm", "F4", "--transforms", "learned", "--out", adapted)
    cli(*adapt, "--epochs", 1, "--json", tmp_path / "a.json")
    result = json.loads((tmp_path / "a.json").read_text())
    assert len(result["log"]) == 1
    assert result["before"] > 0
    cli("evaluate", *SMALL, "--weights", adapted / "last.safetensors", "--json", tmp_path / "e.json")
    assert json.loads((tmp_path / "e.json").read_text())["accuracy"] == result["accuracy"]


def test_layers_pattern_and_paper_quantizer(cli: Any, tmp_path: Path) -> None:
    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    common = ("evaluate", *SMALL, "--weights", tmp_path / "m.safetensors", "--json", tmp_path / "r.json")
    cli(*common, "--algorithm", "F2", "--layers", "convs.[45]", "--quantizer", "paper")
    assert json.loads((tmp_path / "r.json").read_text())["scales"] == "tensor"


def test_algorithms_table(cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli("algorithms", "--json", tmp_path / "a.json")
    rows = {(r["name"], r["r"], r["stride"]): r for r in json.loads((tmp_path / "a.json").read_text())["rows"]}
    assert rows["F4", 3, 1]["reduction"] == 4
    assert rows["F6", 3, 1]["reduction"] == 5.0625
    assert rows["SFC6", 3, 1]["products"] == 144
    assert rows["F4", 5, 1]["reduction"] == 6.25
    assert rows["F4", 3, 2]["products"] == 81
    assert "5.06" in capsys.readouterr().out


def test_algorithms_search_and_score(cli: Any, refused: Any, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    small = ("algorithms", "search", "--m", 2, "--particles", 3, "--steps", 1, "--restarts", 1)
    cli(*small, "--seed", 7, "--out", found, "--json", tmp_path / "s.json")
    assert json.loads(found.read_text())["search"]["seed"] == 7
    assert json.loads((tmp_path / "s.json").read_text()) == json.loads(found.read_text()) | {
        "textbook_sqnr": pytest.approx(33, abs=4)
    }
    cli("algorithms", "score", "F2", found, "--balanced", "--json", tmp_path / "t.json")
    table = json.loads((tmp_path / "t.json").read_text())
    assert [len(row["sqnr"]) for row in table["rows"]] == [len(table["columns"])] * 2

    cli("algorithms", "bases", "F2", "--json", tmp_path / "b.json")
    assert [row["base"] for row in json.loads((tmp_path / "b.json").read_text())["rows"]] == [
        "canonical",
        "Legendre",
    ] * 2

    assert "name must end with .json" in refused(*small, "--out", tmp_path / "found")
    np.save(tmp_path / "x.npy", np.full((1, 2, 8, 8), np.nan))
    np.save(tmp_path / "w.npy", np.ones((2, 2, 3, 3)))
    one = (*small, "--out", tmp_path / "none.json", "--activations", tmp_path / "x.npy")
    assert "a layer takes both" in refused(*one)
    assert "activations has values that are NaN" in refused(*one, "--weights", tmp_path / "w.npy")
    assert not (tmp_path / "none.json").exists()
    assert "out of reach" in refused("algorithms", "search", "--m", 20, "--out", tmp_path / "none.json")


def test_info(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cli("info")
    out = capsys.readouterr().out
    assert all(word in out for word in ("tilewise: ", "portable", "reference", "fast_int8"))


def test_the_version_needs_no_command(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cli("--version")
    assert capsys.readouterr().out == f"tilewise {tw.__version__}\n"


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("arguments", ["--help", "info", "algorithms"])
def test_output_that_nobody_reads_ends_quietly(arguments: str, buffered: bool) -> None:
    """As of ``tilewise ... | head``: by tyro's prints, by our own, and by rich's, at once or at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from tilewise.cli import main; main()", *arguments.split()]
    environment = os.environ | {"PYTHONUNBUFFERED": "" if buffered else "1"}
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, b"")


def test_bad_input_ends_with_one_line(refused: Any, tmp_path: Path) -> None:
    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    known = ("evaluate", "--model", "small", "--data", "digits", "--weights", tmp_path / "m.safetensors")
    assert "unknown algorithm 'F9'" in refused(*known, "--algorithm", "F9")
    assert "bits is 1; allowed" in refused(*known, "--algorithm", "F4", "--bits", 1)
    assert "pattern 'layer*' matches no" in refused(*known, "--algorithm", "F4", "--layers", "layer*")
    assert "calibration-images is 0" in refused(*known, "--algorithm", "F4", "--calibration-images", 0)
    assert "threads is 0" in refused(*known, "--threads", 0)
    assert "unknown model 'vgg'" in refused("evaluate", "--model", "vgg", "--data", "digits")
    assert "'imagenet'" in refused("evaluate", "--model", "small", "--data", "imagenet")
    assert "9999999" in refused(*known, "--algorithm", "F4", "--train-images", 9999999)
    assert "no weights at" in refused("evaluate", *SMALL, "--weights", tmp_path / "none.safetensors")
    assert "adapt needs --weights" in refused("adapt", *SMALL, "--out", tmp_path / "x", "--algorithm", "F4")
    wrong = ("evaluate", "--model", "resnet20", "--data", "digits", "--weights", tmp_path / "m.safetensors")
    assert "does not fit the model: it lacks" in refused(*wrong)
    missing = ("evaluate", "--model", "resnet20", "--data", "cifar10", "--data-root", tmp_path)
    assert str(tmp_path) in refused(*missing)
    assert "cifar10" in refused("demo", "--collapse", "--data-root", tmp_path, "--out", tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def test_demo(cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole recipe on a few images: its numbers mean nothing, its files must be whole."""
    small = {split: tw.data.load("digits", split).subset(64) for split in ("train", "test")}
    monkeypatch.setattr(demo, "load", lambda _, split, __: small[split])
    monkeypatch.setattr(demo, "WIDTHS", (8,))
    monkeypatch.setattr(demo, "ADAPTED", (("F4", "tap"),))
    monkeypatch.setattr(speed, "ROUNDS", 2)
    monkeypatch.setattr(speed, "resnet18", lambda: zoo.resnet18(width=0.125))
    cli("demo", "--collapse", "--out", tmp_path, "--json", tmp_path / "copy.json")
    result = json.loads((tmp_path / "summary.json").read_text())
    fast = json.loads((tmp_path / "speed.json").read_text())
    assert {**result, "speed": fast} == json.loads((tmp_path / "copy.json").read_text())
    cases = [row["case"] for row in fast[result["title"]]]
    assert cases == list(speed.CASES)
    assert all(row["milliseconds"] > 0 and 0 <= row["accuracy"] <= 100 for row in fast[result["title"]])
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    fields = {"algorithm", "bits", "scales", "transforms", "adapted", "accuracy"}
    assert all(fields <= row.keys() and 0 <= row["accuracy"] <= 100 for row in result["rows"])
    assert len(result["rows"]) == 6 + 6 + 5 + 2
    assert {r["transforms"] for r in result["rows"] if r["adapted"]} == {"static", "learned"}
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "F4-textbook" in capsys.readouterr().out
