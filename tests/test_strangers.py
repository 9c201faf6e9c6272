"""Files and options from strangers: each that is not what it should be ends with one error, and at once."""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.algebra.catalogue import read_algorithm
from tilewise.commands.certify import read_certificate
from tilewise.commands.options import Calibration, Layers
from tilewise.common import limits
from tilewise.common.files import read_json
from tilewise.data.mnist import read_idx
from tilewise.data.own import load_own
from tilewise.data.pictures import read_picture
from tilewise.latency import LatencyTable
from tilewise.latency.shapes import ShapeGrid
from tilewise.sweep.file import read_sweep
from tilewise.train import checkpoint, load_weights, save_weights
from tilewise.train.tasks import Segmentation
from tilewise.winas.architecture import Architecture, load_specs

F2 = tw.algorithm("F2").to_dict()
JSON_OF_OTHER_TYPES = ("[]", "3", '"x"', "null", "true", "{}", "[" * 100_000, "{", "\xff", '{"specs": 3}', "1e999")


def with_matrix(field: str, value: Any) -> dict[str, Any]:
    return {**F2, field: [[value, *row[1:]] if i == 0 else row for i, row in enumerate(F2[field])]}


ALGORITHMS: dict[str, Any] = {
    "1e80": with_matrix("AT", 1e80),
    "a large integer": with_matrix("AT", 10**80),
    "a large fraction": with_matrix("G", f"1/{10**80}"),
    "an exponent": with_matrix("BT", "1e999999999"),
    "a truth value": with_matrix("BT", True),
    "a list": with_matrix("BT", [1]),
    "another algorithm": with_matrix("BT", 7),
    **{f"m = {m}": {**F2, "m": m} for m in (0, -1, 2.0, 1e300, 10**9, True, None, "2", [2])},
    **{f"AT = {str(a)[:10]}": {**F2, "AT": a} for a in ({}, [], [1], [[]], "11", None, [[1] * 10**6])},
    "a name that is a list": {**F2, "name": [1]},
}


@pytest.mark.parametrize("content", ALGORITHMS.values(), ids=ALGORITHMS)
def test_algorithm_files(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{path} is no file of an algorithm"):
        read_algorithm(str(path))
    path.write_text(json.dumps(F2))
    assert read_algorithm(str(path)) == tw.algorithm("F2")


@pytest.mark.parametrize("content", JSON_OF_OTHER_TYPES, ids=lambda text: text[:8])
@pytest.mark.parametrize("read", [read_algorithm, load_specs, Architecture.load, read_certificate, read_sweep])
def test_json_of_another_type(tmp_path: Path, content: str, read: Callable[[Any], Any]) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(ValueError, match=str(path)):
        read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": True}, {"seconds": "1"}, {"seconds": math.inf}, {"rounds": 1.5}, {"quartiles": [1]},
        {"quartiles": [1, "2"]}, {"source": "hearsay"}, {"versions": {"tilewise": 3}}, {"stages": {"multiply": None}},
        {"date": 5}, {"machine": {"cpu": 1, "isa": "x", "threads": 1}}, {"machine": 3}, {"work": []},
        {"work": {"op": "pool", "inputs": [["uint8", 1, 1]], "output": ["uint8", 1, 1, 1], "batch": 1}},
        {"work": {"op": "pool", "inputs": [], "output": ["uint8", 1, 1, True], "batch": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_latency_records(tmp_path: Path, change: dict[str, Any]) -> None:
    right = {
        "version": 1, "work": {"op": "pool", "inputs": [], "output": ["uint8", 1, 1, 1], "batch": 1}, "seconds": 1,
        "quartiles": [1, 1.5], "rounds": 3, "source": "grid", "machine": {"cpu": "x", "isa": "y", "threads": 1},
    }  # fmt: skip
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(right) + "\n")
    assert len(LatencyTable.load(path, any_machine=True)) == 1
    path.write_text(json.dumps(right | change) + "\n")
    with pytest.raises(ValueError, match=f"{path}, line 1"):
        LatencyTable.load(path, any_machine=True)


@pytest.mark.parametrize(
    "read", [tw.load, read_json, LatencyTable.load, read_sweep, load_specs, lambda p: read_picture(p, colour=True)]
)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, read: Callable[[Path], Any], kind: str) -> None:
    path = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises((ValueError, IsADirectoryError), match=str(path)):
        read(path)


def test_archives_that_unfold_to_more_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        for _ in range(70):
            file.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"a\.gz unfolds to more than"):
        read_idx(tmp_path / "a.gz", ())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", bytes(2**12))
    monkeypatch.setattr(limits, "usable_memory", lambda: 1000)
    with pytest.raises(ValueError, match=r"a\.npz take 4096 bytes of memory; this process may use 1000"):
        load_own(str(tmp_path / "a.npz"), "test")


def test_grids_that_never_end(tmp_path: Path) -> None:
    for ratios in ((math.inf,), (math.nan,), (1e300,), (-1.0,), (400.0,)):
        with pytest.raises(ValueError, match="allowed"):
            ShapeGrid(channels=(256,), ratios=ratios)
    values = list(range(100))
    (tmp_path / "a.json").write_text(json.dumps({"command": "train", "grid": dict.fromkeys("abcde", values)}))
    with pytest.raises(ValueError, match="names 10000000000 runs; allowed: up to 10000"):
        read_sweep(tmp_path / "a.json")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
@pytest.mark.parametrize("suffix", ["th", "safetensors"])
def test_weights_that_are_no_floats(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    model, path = nn.Linear(2, 2), tmp_path / f"a.{suffix}"
    state = {**model.state_dict(), "weight": torch.ones(2, 2, dtype=dtype)}
    if suffix == "th":
        torch.save(state, path)
    else:
        checkpoint.write(path, state, {})
    with pytest.raises(ValueError, match=f"has weight of type {dtype} instead of torch.float32"):
        load_weights(model, path)


def test_weights_that_are_no_plain_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.th"
    for weight in (torch.eye(2).to_sparse(), torch.empty(2, 2, device="meta"), [1.0]):
        torch.save({"weight": weight, "bias": torch.zeros(2)}, path)
        with pytest.raises(ValueError, match=r"holds no state dict of plain tensors|not a readable torch checkpoint"):
            load_weights(nn.Linear(2, 2), path)


def test_damaged_pickles_are_refused(tmp_path: Path) -> None:
    """Whatever a changed byte makes of them: an error that names the file, or weights of the right kind."""
    path, draw = tmp_path / "a.th", random.Random(0)
    for legacy in (True, False):
        torch.save(nn.Linear(2, 2).state_dict(), path, _use_new_zipfile_serialization=not legacy)
        content = path.read_bytes()
        refused = 0
        for _ in range(150):
            changed = bytearray(content)
            for _ in range(draw.randint(1, 3)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            path.write_bytes(changed)
            try:
                load_weights(nn.Linear(2, 2), path)
            except ValueError as error:
                assert str(path) in str(error)  # noqa: PT017 - it may be right, too
                refused += 1
        assert refused > 30


@pytest.mark.parametrize(
    "description",
    [
        {"specs": 3}, {"specs": []}, {"specs": {"a": 3}}, {"specs": {"a": {"kind": []}}}, {"skips": 3}, {"skips": []},
        {"specs": {"a": {"kind": "direct", "version": 1, "bits": 1e80}}},
        {"specs": {"a": {"kind": "winograd", "version": 1, "algorithm": with_matrix("AT", 1e80)}}},
        {"specs": {"a": {"kind": "winograd", "version": 1, "algorithm": 7}}},
        {"specs": {"a": {"kind": "winograd", "version": 1, "algorithm": "F4", "scales": []}}},
    ],
    ids=lambda d: str(d)[:60],
)  # fmt: skip
def test_descriptions_of_weights(tmp_path: Path, description: dict[str, Any]) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, nn.Linear(2, 2).state_dict(), description)
    with pytest.raises(ValueError, match=str(path)):
        load_weights(nn.Linear(2, 2), path)


def test_the_state_of_an_optimizer(tmp_path: Path) -> None:
    model, path = nn.Linear(2, 2), tmp_path / "last.safetensors"
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    right = checkpoint.optimizer_tensors(optimizer, "optimizer")
    checkpoint.load_optimizer(optimizer, right, "optimizer", path)
    first = next(iter(right))
    for wrong in (
        {}, {k: v for k, v in right.items() if k != first}, right | {"optimizer.9.step": torch.zeros(())},
        right | {"optimizer.x": torch.zeros(())}, right | {"optimizer.0.exp_avg": torch.zeros(3)},
        right | {"optimizer.0.exp_avg": torch.full((2, 2), math.nan)},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=str(path)):
            checkpoint.load_optimizer(optimizer, wrong, "optimizer", path)


def test_labels_that_stand_for_nothing() -> None:
    task = Segmentation(classes=2, void=2)
    counts = task.counts(torch.zeros(1, 2, 3, 3), torch.full((1, 3, 3), 2))
    with pytest.raises(ValueError, match="no pixel has a class: all labels are 2"):
        task.score(counts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 4}, "bits is 4, which needs --algorithm"),
        ({"layers": "a*"}, r"layers is a\*, which needs --algorithm"),
        ({"specs_file": Path("a"), "quantizer": "paper"}, "quantizer is paper, which needs --algorithm"),
    ],
)
def test_options_without_effect(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layers(**options).specs()


def test_refinement_without_effect() -> None:
    with pytest.raises(ValueError, match="reconstruct is 5, which needs --refine"):
        Calibration(reconstruct=5).config(0)
    assert Calibration(reconstruct=5, refine=True).config(0) is not None


def test_commands(refusal: Callable[..., str], tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "a.safetensors")
    assert "device is 'cuda:77'; allowed on this machine: cpu" in refusal("info", "--device", "cuda:77")
    assert "device is 'abacus'; allowed" in refusal("info", "--device", "abacus")
    profile = ("run", tmp_path / "none.tilewise", "--data", "digits", "--picture", tmp_path / "a.png")
    assert "nothing is profiled; add --profile" in refusal(*profile)


def test_memory_that_does_not_suffice(refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr("tilewise.commands.inform.Info.run", fail)
    assert refusal("info") == "error: memory does not suffice: Unable to allocate 7 TiB"


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
@pytest.mark.parametrize("seconds", [0.2, 0.8])
def test_signals_while_libraries_load(number: signal.Signals, word: str, seconds: float) -> None:
    script = "from tilewise.cli import main; print('here', flush=True); main()"
    command = [sys.executable, "-c", script, "experiment", "swap", "--scale", "smoke", "--only", "none*"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(seconds)
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    assert errors.splitlines()[-1] == f"{word}; a run with --out continues with --resume"
    assert "Traceback" not in errors


def test_threads_and_memory_of_a_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "GROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    assert limits.usable_threads() == 16
    (tmp_path / "own").write_text("0::/outer/inner\n")
    for group, quota in (("outer", "250000 100000"), ("outer/inner", "max 100000")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "cpu.max").write_text(f"{quota}\n")
        (tmp_path / group / "memory.max").write_text("max\n")
    assert limits.usable_threads() == 3
    (tmp_path / "outer" / "memory.max").write_text("123456\n")
    assert limits.usable_memory() == 123456
    (tmp_path / "own").write_text("5:cpu,cpuacct:/job\n4:memory:/job\n")
    for group, files in (("cpu,cpuacct", {"cpu.cfs_quota_us": "150000", "cpu.cfs_period_us": "100000"}),
                         ("memory", {"memory.limit_in_bytes": "7890"})):  # fmt: skip
        (tmp_path / group / "job").mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / group / "job" / name).write_text(text)
    assert (limits.usable_threads(), limits.usable_memory()) == (2, 7890)


def test_threads_0_are_all_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    conv = nn.Sequential(nn.Conv2d(1, 2, 1))
    content = tw.compile(conv, np.zeros((1, 1, 2, 2), np.float32)).content()
    assert tw.Engine(content, threads=0).threads == limits.usable_threads()
    monkeypatch.setattr("tilewise.common.limits.usable_threads", lambda: 1)
    assert tw.Engine(content, threads=0).threads == 1
