"""The page about the file is what its generator writes from the operations' declarations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

import tilewise as tw
from tilewise.engine.program import schema
from tilewise.engine.reference_page import ABOUT, example, page, text

PAGE = Path(__file__).parents[2] / "docs" / "contracts" / "file.md"


def test_the_page_is_what_the_generator_writes() -> None:
    command = "python -m tilewise.engine.reference_page docs/contracts/file.md"
    assert PAGE.read_text() == page(), f"run {command}"
    for op, fields in schema()["operations"].items():
        section = page().partition(f"### `{op}`")[2].partition("###")[0]
        assert all(f"| `{entry['name']}` |" in section and text(entry["what"]) in section for entry in fields), op


def test_every_sentence_is_of_an_operation() -> None:
    assert ABOUT.keys() <= schema()["operations"].keys()


def test_the_example_runs() -> None:
    program = example()
    x = torch.randint(-100, 100, (2, 3, 5, 7)) * 0.0625
    weight = torch.from_numpy(program.arrays["1.weight"]).permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.conv2d(x * 16, weight, padding=1).relu() * np.float32(0.01)
    assert (tw.Engine(program.to_bytes())(x) == expected).all()
