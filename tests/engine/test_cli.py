"""The commands ``compile`` and ``run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tilewise as tw
from tilewise import zoo

SMALL = ("--model", "small", "--data", "digits", "--train-images", 128)


@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_trained_compiled_and_run(cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], skips: str) -> None:
    compiled = tmp_path / "m.tilewise"
    cli("train", *SMALL, "--epochs", 1, "--out", tmp_path / "r", "--algorithm", "F4", "--skips", skips, "--lr", 3e-3)
    weights = ("--weights", tmp_path / "r" / "last.safetensors")
    expected = cli("evaluate", *SMALL, *weights)["accuracy"]
    made = cli("compile", *SMALL, *weights, "--out", compiled, "--batch", 4)
    assert made["bytes"] == compiled.stat().st_size
    result = cli("run", compiled, "--data", "digits", "--profile", "--threads", 1)
    assert result["images"] == 500
    assert abs(result["accuracy"] - expected) <= 1  # batch norms are folded
    assert result["images_per_second"] > 0
    assert [row["name"] for row in result["profile"]] == [o["name"] for o in tw.load(compiled).program.operations]
    assert "multiply" in capsys.readouterr().out


def test_swapped_after_training(cli: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    known = ("compile", *SMALL, "--weights", tmp_path / "m.safetensors", "--out", tmp_path / "m.tilewise")
    made = cli(*known, "--algorithm", "SFC6", "--skips", "quantized")
    assert (made["algorithm"], made["skips"]) == ("SFC6", "quantized")
    assert "convs.0 (1 -> 16, 3x3) is direct" in capsys.readouterr().err
    program = tw.load(tmp_path / "m.tilewise").program
    assert [o["algorithm"] for o in program.operations if o["op"] == "fast"] == ["SFC6(7, 3)"] * 5
    assert cli(*known)["operations"] > 0  # the float network
    assert "fast" not in [o["op"] for o in tw.load(tmp_path / "m.tilewise").program.operations]
    capsys.readouterr()
    choices = cli(*known, "--tune", "--threads", 1)["choices"]
    assert {"direct", "F2", "F4", "F6"} <= set(choices[0]["seconds"])
    assert "tuned" in capsys.readouterr().out


def test_bad_input_ends_with_one_line(cli: Any, refusal: Any, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "m.tilewise")
    assert "batch is 0" in refusal("compile", *SMALL, *out, "--batch", 0)
    assert "up to 65535 at 16 bits; the engine allows" in refusal(
        "compile", *SMALL, *out, "--algorithm", "F4", "--bits", 16
    )
    assert not (tmp_path / "m.tilewise").exists()
    assert "no compiled network at" in refusal("run", tmp_path / "m.tilewise", "--data", "digits")
    (tmp_path / "m.tilewise").write_bytes(b"damaged")
    assert "it has 7 bytes; a compiled network has more" in refusal("run", tmp_path / "m.tilewise", "--data", "digits")
    (tmp_path / "m.tilewise").unlink()
    cli("compile", "--model", "lenet5", "--data", "digits", *out)
    assert "threads is 9999" in refusal("run", tmp_path / "m.tilewise", "--data", "digits", "--threads", 9999)
    tw.compile(zoo.small_cnn(classes=3), tw.data.load("digits", "test").images[:1].float()).save(
        tmp_path / "m.tilewise"
    )
    assert "gives results of 3 channels; digits needs 10" in refusal("run", tmp_path / "m.tilewise", "--data", "digits")
