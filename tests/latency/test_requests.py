"""``tilewise bench``: what a server sees of a compiled network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.common.limits import usable_threads
from tilewise.engine.streams import Streams
from tilewise.latency.requests import serve

X = torch.zeros(1, 3, 8, 8)


class Fixed(nn.Conv2d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        if input.shape[2] > 10 or input.shape[3] > 10:
            raise ValueError
        return super().forward(input)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "net.tilewise"
    tw.compile(nn.Conv2d(3, 8, 3, padding=1), X).save(path)
    return path


def test_every_thread_count_and_batch_is_measured(cli: Any, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = cli("bench", file, "--size", "9x12", "--batch", 1, 3, "--seconds", 0.05)
    assert result["sizes"] == {"input": [9, 12]}
    most, cases = usable_threads(), [(row["threads"], row["batch"], row["in_flight"]) for row in result["rows"]]
    assert {(1, 1, 1), (1, 3, 1), (most, 1, most), (most, 3, 1)} <= set(cases)
    assert len(set(cases)) == len(cases)
    for row in result["rows"]:
        assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"]
        # Each worker measures all the while, so its requests fill the time.
        assert row["images_per_second"] * 0.05 <= row["batch"] * (row["requests"] + row["in_flight"])
    assert "images/s" in capsys.readouterr().out


def test_an_error_of_a_request_ends_all(file: Path) -> None:
    engine, images = tw.load(file), [np.zeros((1, 4, 8, 8), np.float32)]
    with pytest.raises(ValueError, match="allowed: \\(N, 3, H, W\\)"):
        serve(engine, images, Streams(2, 1), 0.05)


def test_bad_input_ends_with_one_line(refusal: Any, file: Path, tmp_path: Path) -> None:
    assert "takes images of many sizes; allowed: --size HEIGHTxWIDTH" in refusal("bench", file)
    size = ("--size", "8x8")
    assert "size is 8; allowed: height x width" in refusal("bench", file, "--size", "8")
    assert "batch is 0; allowed: numbers from 1 on" in refusal("bench", file, *size, "--batch", 0)
    assert "seconds is 0.0; allowed: above 0" in refusal("bench", file, *size, "--seconds", 0)
    assert "threads is 9999; allowed" in refusal("bench", file, *size, "--threads", 9999)
    assert "no compiled network at" in refusal("bench", tmp_path / "none.tilewise")
    tw.compile(Fixed(3, 4, 3), X).save(tmp_path / "fixed.tilewise")
    assert "takes images of one size; allowed: no --size" in refusal("bench", tmp_path / "fixed.tilewise", *size)
