from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

import tilewise as tw

MODULE = """
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hold pictures, and a module with a network; the current folder."""
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        pixels = random.integers(0, 256, (12, 16, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    (tmp_path / "their_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(tw.Engine, "peaks", lambda _: {"int8_operations": 1e9, "cache_bytes": 1e9})
    monkeypatch.setattr("tilewise.optimization.peers._installed", lambda _: False)
    return tmp_path


def test_one_command(cli: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--minutes", "0.0001", "--mean", "0", "0", "0", "--std", "1", "1", "1", "--as", "onnx")
    result = cli("optimize", "their_nets:net", "--data", "pictures", "--out", "fast", *options)
    assert result["result"]["name"] == "direct int8"
    assert result["judged"]["metric"] == "psnr"
    assert result["origin"]["data"] == "pictures"
    assert json.loads((folder / "fast" / "summary.json").read_text()) == result
    assert tw.load(folder / "fast" / "model.tilewise")(np.zeros((1, 3, 12, 16), np.float32)).shape == (1, 3, 24, 32)
    graph = onnx.load(folder / "fast" / "model.onnx").graph
    (node,) = graph.node
    assert (node.domain, node.op_type) == ("ai.tilewise", "Program")
    assert node.attribute[0].s == (folder / "fast" / "model.tilewise").read_bytes()
    page = (folder / "fast" / "report.html").read_bytes()
    (folder / "fast" / "report.html").unlink()
    cli("report", "fast")
    assert (folder / "fast" / "report.html").read_bytes() == page
    out, err = capsys.readouterr()
    assert "direct int8" in out
    assert "trying direct int8" in err


def test_bad_folders_are_one_line(refusal: Callable[..., str], folder: Path) -> None:
    (folder / "empty").mkdir()
    command = ("optimize", "their_nets:net", "--out", "fast", "--data")
    assert "there is no image" in refusal(*command, "empty")
    assert "needs labels, and the data has none" in refusal(*command, "pictures", "--metric", "accuracy")
    assert "images is 1; it must be at least 2" in refusal(*command, "pictures", "--images", "1")
    Image.new("RGB", (9, 9)).save(folder / "pictures" / "other.png")
    assert "all have to be alike, or --image-size given" in refusal(*command, "pictures")
    (folder / "pictures" / "other.png").write_bytes(b"no picture")
    assert "other.png is not a readable image" in refusal(*command, "pictures")
    assert not (folder / "fast").exists()
    assert "there is no nowhere/summary.json; tilewise optimize writes one" in refusal("report", "nowhere")
