"""The .tilewise file: a round trip, and nothing but a ValueError from whatever else a file may hold."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save_file
from tilewise.engine.plan import VERSION
from torch import nn

import tilewise as tw
from tilewise.engine import Plan, file
from tilewise.engine.compiler import make_plan


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(8 * 2 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = torch.relu(self.second(x) + x)
        return self.head(nn.functional.avg_pool2d(torch.cat([x[:, :, ::2], x[:, :, 1::2]], 1), 2).flatten(1))


@pytest.fixture(scope="module")
def plan() -> Plan:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)
    model = tw.convert(Small(), {"first": tw.Winograd("F4"), "second": tw.Direct()}, skips="quantized")
    return make_plan(tw.calibrate(model, [x]), x)


@pytest.fixture(scope="module")
def content(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("plan") / "m.tilewise"
    file.save_plan(plan, path)
    return path.read_bytes()


def write(path: Path, text: Any, arrays: dict[str, Any], **metadata: str) -> Path:
    """A file whose checksum is right, whatever it holds."""
    text = text if isinstance(text, str) else json.dumps(text)
    save_file(arrays, path, {"tilewise_plan": text, "tilewise_checksum": file._checksum(text, arrays), **metadata})
    return path


def description(plan: Plan) -> dict[str, Any]:
    values = {name: getattr(plan, name) for name in vars(plan) if name != "arrays"}
    result: dict[str, Any] = json.loads(json.dumps(values))
    return result


def test_round_trip(plan: Plan, tmp_path: Path) -> None:
    engine = tw.Engine(plan)
    engine.save(tmp_path / "folder" / "m.tilewise")
    loaded = tw.load(tmp_path / "folder" / "m.tilewise")
    for name in vars(plan):
        if name != "arrays":
            assert getattr(loaded.plan, name) == getattr(plan, name)
    assert loaded.plan.arrays.keys() == plan.arrays.keys()
    assert all((loaded.plan.arrays[k] == v).all() for k, v in plan.arrays.items())
    x = np.random.default_rng(0).normal(size=(5, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), engine(x))
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["m.tilewise"]


def test_loading_and_running_needs_no_torch(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tilewise").write_bytes(content)
    code = (
        "import sys, numpy as np, tilewise as tw; e = tw.load(sys.argv[1]); e(np.zeros((1, 4, 8, 8), np.float32));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.tilewise"], check=True)


def test_a_failed_write_leaves_the_old_file(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.tilewise").write_bytes(b"old")
    monkeypatch.setattr("tilewise.common.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        file.save_plan(plan, tmp_path / "m.tilewise")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("m.tilewise", b"old")]


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no compiled network at .*nowhere\.tilewise"):
        tw.load(tmp_path / "nowhere.tilewise")


@given(st.data())
def test_any_changed_byte_is_found(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda b: b != content[at]))
    path = tmp_path_factory.mktemp("damaged") / "m.tilewise"
    path.write_bytes(content[:at] + bytes([new]) + content[at + 1 :])
    try:
        loaded = tw.load(path)
    except ValueError:
        return
    # Only the padding and spelling of the outer header may change without being noticed.
    assert file._checksum("", loaded.plan.arrays) == file._checksum("", read_arrays(content))


@given(st.integers(0, 10**6))
def test_any_cut_is_found(content: bytes, tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.tilewise"
    path.write_bytes(content[: length % len(content)])
    with pytest.raises(ValueError, match=r"m\.tilewise"):
        tw.load(path)


def test_other_files(tmp_path: Path) -> None:
    arrays = {"x": np.zeros(1, np.float32)}
    save_file(arrays, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="no compiled network: it holds no plan"):
        tw.load(tmp_path / "weights.safetensors")
    torch.save({"x": torch.zeros(1)}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        tw.load(tmp_path / "m.pt")
    with pytest.raises(ValueError, match="does not match its checksum"):
        tw.load(
            write(tmp_path / "a.tilewise", {**dict.fromkeys(FIELDS), "version": VERSION}, arrays, tilewise_checksum="0")
        )
    for text, message in (
        ("{", "not JSON"), ("[" * 100_000, "not JSON"), ("[]", "does not have the fields"), ("NaN", "not JSON"),
        (json.dumps({"version": VERSION + 1}), f"is of version {VERSION + 1}; this release reads version {VERSION}"),
        (json.dumps({"version": VERSION}), "does not have the fields"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            tw.load(write(tmp_path / "c.tilewise", text, arrays))


FIELDS = ("version", "batch", "arena_bytes", "input_shape", "output_shape", "tensors", "nodes")


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything in a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths_of(inner, (*path, key))
    return found


HOSTILE = [None, True, -1, 0, 7, 2**40, 2**63, 10**400, 0.5, 1e300, "", "x" * 5000, [], [1], {}, [[1, 2]] * 3]


def test_no_value_in_the_plan_does_harm(plan: Plan, tmp_path: Path) -> None:
    """Every field replaced by every odd value, and left out: a ValueError, or a plan that runs."""
    whole = description(plan)
    x = np.zeros((1, *plan.input_shape), np.float32)
    survivors, messages = 0, []
    for path in paths_of(whole):
        for value in (*HOSTILE, KeyError):
            changed = copy.deepcopy(whole)
            inner: Any = changed
            for key in path[:-1]:
                inner = inner[key]
            if value is KeyError:
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            try:
                engine = tw.load(write(tmp_path / "m.tilewise", changed, plan.arrays))
            except ValueError as error:
                messages.append(str(error))
                continue
            survivors += 1
            engine(
                x
                if engine.plan.input_shape == plan.input_shape
                else np.zeros((1, *engine.plan.input_shape), np.float32)
            )
    assert all("m.tilewise" in message for message in messages)
    assert survivors < 0.3 * len(paths_of(whole)) * (len(HOSTILE) + 1)


def test_no_array_does_harm(plan: Plan, tmp_path: Path) -> None:
    """Every array left out, of another type or size, or full of odd numbers: a ValueError, or a plan that runs."""
    x, rng = np.zeros((1, *plan.input_shape), np.float32), np.random.default_rng(0)
    for name, array in plan.arrays.items():
        odd = [None, array.astype(np.float64), array[..., :-1], array[None], array * 0, array * 0 - 1]
        if array.dtype == np.float32:
            odd += [np.full_like(array, np.nan), np.full_like(array, np.inf), np.full_like(array, 3e38)]
        else:
            top = np.iinfo(array.dtype).max
            odd += [np.full_like(array, top), rng.integers(-top, top, array.shape).astype(array.dtype)]
        for value in odd:
            arrays = {**plan.arrays, name: value}
            arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items() if v is not None}
            try:
                engine = tw.load(write(tmp_path / "m.tilewise", description(plan), arrays))
            except ValueError:
                continue
            with np.errstate(all="ignore"):
                engine(x)
    with pytest.raises(ValueError, match=r"no place for the array '99\.bias'"):
        tw.load(write(tmp_path / "m.tilewise", description(plan), {**plan.arrays, "99.bias": x}))
