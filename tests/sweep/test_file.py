from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tilewise.sweep import Run, read_sweep, summarize

TOML = """
command = "train"
[options]
train_images = 64
freeze-norms = true
[[runs]]
algorithm = "direct"
[[runs]]
algorithm = "F4"
transforms = "learned"
[grid]
seed = [0, 1]
"""


def write(folder: Path, content: Any) -> Path:
    path = folder / "sweep.json"
    path.write_text(json.dumps(content))
    return path


def test_each_listed_run_with_each_combination_of_the_grid(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(TOML)
    plan = read_sweep(path)
    assert plan.command == "train"
    assert [run.name for run in plan.runs] == [
        "algorithm=direct,seed=0", "algorithm=direct,seed=1",
        "algorithm=F4,seed=0,transforms=learned", "algorithm=F4,seed=1,transforms=learned",
    ]  # fmt: skip
    assert plan.runs[0].arguments() == [
        "--train-images", "64", "--freeze-norms", "--algorithm", "direct", "--seed", "0",
    ]  # fmt: skip


def test_a_name_is_a_folder_and_false_is_said(tmp_path: Path) -> None:
    (run,) = read_sweep(write(tmp_path, {"command": "train", "runs": [{"layers": "a/*", "resnet": False}]})).runs
    assert run == Run("layers=a--,resnet=False", {"layers": "a/*", "resnet": False}, {"layers": "a/*", "resnet": False})
    assert run.arguments() == ["--layers", "a/*", "--no-resnet"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"grid": {"seed": [0]}}, "command is None; it must be a name"),
        ({"command": "train"}, "names no runs"),
        ({"command": "train", "runs": []}, r"runs is \[\]; it must be a list"),
        ({"command": "train", "grid": {"seed": []}}, r"grid is {'seed': \[\]}; it must give"),
        ({"command": "train", "grid": {"seed": 1}}, r"grid is {'seed': 1}; it must give"),
        ({"command": "train", "grid": {"seed": [0, 0]}}, "the run seed=0 is there 2 times"),
        ({"command": "train", "runs": [{"lr": 1}, {"lr": 1}]}, "the run lr=1 is there 2 times"),
        ({"command": "train", "runs": [{"lr": 1}], "grid": {"lr": [2]}}, "lr is in runs and in grid"),
        ({"command": "train", "runs": [3]}, "runs is 3; it must be options"),
        ({"command": "train", "runs": [{"lr": None}]}, "lr is None; it must be a string"),
        ({"command": "train", "options": {"out": "x"}, "runs": [{}]}, "out is set by the sweep"),
        ({"command": "train", "grids": {}}, "unknown section 'grids'; allowed: command, options, runs, grid"),
        ([], "holds a list instead of an object"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_sweep(write(tmp_path, content))


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    for name, text, message in (
        ("a.json", "{", "is not JSON"), ("a.toml", "x =", "can not be read"), ("a.yaml", "", "ends in '.yaml'"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=message):
            read_sweep(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_sweep(tmp_path / "none.toml")


def test_mean_and_spread_over_seeds(tmp_path: Path) -> None:
    plan = read_sweep(write(tmp_path, {"command": "train", "grid": {"bits": [4, 8], "seed": [0, 1, 2]}}))
    results = {
        f"bits=4,seed={seed}": {"accuracy": accuracy, "bits": 4, "log": [], "before": None}
        for seed, accuracy in ((0, 90.0), (1, 92.0), (2, 94.0))
    }
    results["bits=8,seed=1"] = {"accuracy": 95.0, "bits": 8}
    errors = {"bits=8,seed=0": "ValueError: x", "bits=8,seed=2": "ValueError: y"}
    summary = summarize(plan, results, errors, options={"bits"})
    assert summary["groups"] == [
        {"settings": {"bits": 4}, "runs": 3, "failed": 0, "numbers": {"accuracy": {"mean": 92.0, "spread": 2.0}}},
        {"settings": {"bits": 8}, "runs": 1, "failed": 2, "numbers": {"accuracy": {"mean": 95.0, "spread": None}}},
    ]
    assert summary["runs"][3] == {
        "name": "bits=8,seed=0", "settings": {"bits": 8, "seed": 0}, "error": "ValueError: x",
    }  # fmt: skip
