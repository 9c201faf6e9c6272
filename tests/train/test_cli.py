"""Segmentation and super-resolution from the command line, on tiny sets drawn here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tilewise.commands.options import Source, load_images


@pytest.fixture
def camvid(tmp_path: Path) -> tuple[object, ...]:
    """Two images a split, and the options that name them and a narrow U-Net."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for folder, channels in ((split, 3), (f"{split}annot", 0)):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
            for i in range(2):
                shape = (18, 20, channels) if channels else (18, 20)
                pixels = rng.integers(0, 256 if channels else 12, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "CamVid" / folder / f"{i}.png")
    return "--model", "unet", "--width", 0.25, "--data", "camvid", "--data-root", tmp_path


def test_segmentation_from_training_to_the_engine(cli: Any, camvid: tuple[object, ...], tmp_path: Path) -> None:
    float_, int8 = tmp_path / "float", tmp_path / "int8"
    trained = cli("train", *camvid, "--epochs", 1, "--batch", 2, "--out", float_)
    assert 0 <= trained["miou"] == trained["log"][0]["miou"] <= 100
    options = ("--algorithm", "F4", "--skips", "quantized", "--distill", "--freeze-norms", "--epochs", 1, "--batch", 2)
    adapted = cli("adapt", *camvid, *options, "--weights", float_ / "last.safetensors", "--out", int8)
    assert adapted["before"] >= 0
    weights = ("--weights", int8 / "last.safetensors")
    scored = cli("evaluate", *camvid, *weights)
    assert (scored["images"], scored["distance"]) == (2, None)
    assert cli("evaluate", *camvid, *weights, "--teacher", int8 / "last.safetensors")["distance"] == 0
    assert cli("evaluate", *camvid, *weights, "--teacher", float_ / "last.safetensors")["distance"] > 0
    cli("compile", *camvid, *weights, "--out", tmp_path / "u.tilewise")
    run = cli("run", tmp_path / "u.tilewise", "--data", "camvid", "--data-root", tmp_path)
    assert run["miou"] == scored["miou"]


def test_super_resolution(cli: Any, refusal: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("T91", "Set5"):
        (tmp_path / "SR" / folder).mkdir(parents=True)
        for i in range(2):
            pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "SR" / folder / f"{i}.png")
    on = ("--model", "espcn", "--scale", 3, "--data", "set5", "--data-root", tmp_path)
    trained = cli("train", *on, "--epochs", 1, "--batch", 2, "--out", tmp_path / "float")
    weights = ("--weights", tmp_path / "float" / "last.safetensors")
    assert cli("evaluate", *on, *weights)["psnr"] == trained["psnr"]
    swapped = cli("evaluate", *on, *weights, "--algorithm", "F4")
    assert (swapped["images"], swapped["algorithm"]) == (2, "F4")
    cli("compile", *on, *weights, "--algorithm", "F4", "--out", tmp_path / "e.tilewise")
    run = ("run", tmp_path / "e.tilewise", "--data", "set5", "--data-root", tmp_path)
    assert "set5 has images of many sizes" in refusal(*run)


def test_bad_input_ends_with_one_line(refusal: Any, camvid: tuple[object, ...], tmp_path: Path) -> None:
    root = ("--data-root", tmp_path)
    assert "unknown; allowed are cifar10" in refusal("evaluate", "--model", "unet", "--data", "ade", *root)
    assert "scale is 2, but camvid has no low resolution" in refusal("evaluate", *camvid, "--scale", 2)
    other = ("evaluate", "--model", "small", "--data", "camvid", *root)
    assert "the network gives a tensor of shape (2, 11); the task needs (2, 11, 18, 20)" in refusal(*other)
    with pytest.raises(ValueError, match="camvid is no set of labelled images, which is what this command is for"):
        load_images(Source(model="unet", data="camvid", data_root=tmp_path), "train")
