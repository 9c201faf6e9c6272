from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tilewise.experiments import task_tables

RESULTS = {
    "espcn-set5-float": {"psnr": 31.28}, "espcn-set5-F4": {"psnr": 30.5},
    "espcn-set5-F4-refined": {"psnr": 30.75}, "espcn-set5-F4-adapted": {"psnr": 31.004},
    "unet-camvid-direct": {"miou": 50.0},
}  # fmt: skip


def picture(path: Path, sides: tuple[int, int], value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*sides, 3), value, np.uint8)).save(path)


def test_tables_have_what_was_measured(tmp_path: Path) -> None:
    for folder in ("Set5", "Set14"):
        picture(tmp_path / "SR" / folder / "0.png", (12, 15), 90)
    lines = task_tables.tables(RESULTS, tmp_path)
    assert "| float | 31.28 |  |  |  |  |  |" in lines
    assert "| F4, int8 | 30.50 | 30.75 | 31.00 |  |  |  |" in lines
    assert "| direct, int8 | 50.00 |  |  |" in lines
    assert not any("F6" in line or "edsr" in line for line in lines)


def test_bicubic_keeps_a_flat_image(tmp_path: Path) -> None:
    picture(tmp_path / "SR" / "Set5" / "0.png", (12, 15), 90)
    flat = task_tables.baseline(tmp_path, "set5", 3)
    assert flat > 70  # no error at all, which counts as half a step on one pixel


def test_pictures_need_networks(tmp_path: Path) -> None:
    assert task_tables.enlargements(tmp_path, tmp_path, "espcn") is None
    assert task_tables.segmentations(tmp_path, tmp_path) is None
