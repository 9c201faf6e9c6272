"""The .tilewise file: a round trip, and nothing but a ValueError from whatever else a file may hold."""

from __future__ import annotations

import copy
import dataclasses
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
from torch import nn

import tilewise as tw
from tilewise.engine import Program
from tilewise.engine.compiler import make_program
from tilewise.engine.program import CHECKSUM, PROGRAM, _checksum, read_program, schema

VERSION = schema()["version"]
X = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)


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
def program() -> Program:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)
    model = tw.convert(Small(), {"first": tw.Winograd("F4"), "second": tw.Direct()}, skips="quantized")
    return make_program(tw.calibrate(model, [x]), x, normalization=tw.Normalization(mean=[0.5] * 4, deviation=[2] * 4))


@pytest.fixture(scope="module")
def content(program: Program) -> bytes:
    return program.to_bytes()


def write(path: Path, text: Any, arrays: dict[str, Any], **metadata: str) -> Path:
    """A file whose checksum is right, whatever it holds."""
    text = text if isinstance(text, str) else json.dumps(text)
    ordered = {name: arrays[name] for name in sorted(arrays)}
    save_file(arrays, path, {PROGRAM: text, CHECKSUM: _checksum(text, ordered), **metadata})
    return path


def description(program: Program) -> dict[str, Any]:
    values = {"version": VERSION, "tensors": program.tensors, "operations": program.operations}
    result: dict[str, Any] = json.loads(json.dumps(values))
    return result


def test_round_trip(program: Program, tmp_path: Path) -> None:
    engine = tw.Engine(program.to_bytes())
    engine.save(tmp_path / "folder" / "m.tilewise")
    loaded = tw.load(tmp_path / "folder" / "m.tilewise")
    assert loaded.program.tensors == program.tensors
    assert loaded.program.operations == program.operations
    assert loaded.program.arrays.keys() == program.arrays.keys()
    assert all((loaded.program.arrays[k] == v).all() for k, v in program.arrays.items())
    x = np.random.default_rng(0).normal(size=(5, 4, 8, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), engine(x))
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["m.tilewise"]
    loaded.save(tmp_path / "copy.tilewise")
    assert (tmp_path / "copy.tilewise").read_bytes() == program.to_bytes()


def test_other_writers_of_safetensors_do_as_well(program: Program, tmp_path: Path) -> None:
    loaded = tw.load(write(tmp_path / "m.tilewise", description(program), program.arrays))
    np.testing.assert_array_equal(loaded(X), tw.Engine(program.to_bytes())(X))
    assert read_arrays(program.to_bytes()).keys() == program.arrays.keys()


def test_loading_and_running_needs_no_torch(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.tilewise").write_bytes(content)
    code = (
        "import sys, numpy as np, tilewise as tw; e = tw.load(sys.argv[1]); e(np.zeros((1, 4, 8, 8), np.float32));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.tilewise"], check=True)


def test_a_failed_write_leaves_the_old_file(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.tilewise").write_bytes(content)
    monkeypatch.setattr("tilewise.common.files.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        tw.Engine(content).save(tmp_path / "m.tilewise")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("m.tilewise", content)]


def test_missing(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no compiled network at .*nowhere\.tilewise"):
        tw.load(tmp_path / "nowhere.tilewise")
    (tmp_path / "m.tilewise").write_bytes(content)
    engine = tw.load(tmp_path / "m.tilewise")
    (tmp_path / "m.tilewise").unlink()
    assert engine(X).shape == (1, 3)
    with pytest.raises(FileNotFoundError, match=r"no compiled network at .*m\.tilewise"):
        engine.save(tmp_path / "copy.tilewise")


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
    assert _checksum("", loaded.program.arrays) == _checksum("", read_program(content).arrays)


@given(st.integers(0, 10**6))
def test_any_cut_is_found(content: bytes, tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "m.tilewise"
    path.write_bytes(content[: length % len(content)])
    with pytest.raises(ValueError, match=r"m\.tilewise"):
        tw.load(path)


def test_other_files(tmp_path: Path) -> None:
    arrays = {"x": np.zeros(1, np.float32)}
    save_file(arrays, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="no compiled network: it holds no program"):
        tw.load(tmp_path / "weights.safetensors")
    torch.save({"x": torch.zeros(1)}, tmp_path / "m.pt")
    with pytest.raises(ValueError, match="no compiled network: its header would have"):
        tw.load(tmp_path / "m.pt")
    with pytest.raises(ValueError, match="does not match its checksum; the file is damaged"):
        tw.load(write(tmp_path / "a.tilewise", "{}", arrays, **{CHECKSUM: "0"}))
    for text, message in (
        ("{", "JSON"), ("[" * 100_000, "JSON"), ("[]", "the program is .*, must be an object"), ("NaN", "JSON"),
        ("{}", "the program lacks version"), (json.dumps({"version": VERSION}), "the program lacks tensors"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            tw.load(write(tmp_path / "c.tilewise", text, arrays))


def test_other_versions(program: Program, tmp_path: Path) -> None:
    path, whole = tmp_path / "m.tilewise", description(program)
    save_file(program.arrays, path, {"tilewise_plan": json.dumps({"version": 3}), CHECKSUM: "0"})
    with pytest.raises(ValueError, match=r"m\.tilewise: .* version 3 or older; .* version 4: compile the network ag"):
        tw.load(path)
    for version, what in ((VERSION + 1, "update tilewise"), (VERSION - 1, "compile the network again")):
        message = rf"m\.tilewise: it is of version {version}; this release reads version {VERSION}: {what}"
        with pytest.raises(ValueError, match=message):
            tw.load(write(path, {**whole, "version": version, "more": 1}, program.arrays))


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to everything in a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += paths_of(inner, (*path, key))
    return found


HOSTILE = [None, True, -1, 0, 7, 2**40, 2**63, 10**400, 0.5, 1e300, "", "x" * 5000, [], [1], {}, [[1, 2]] * 3]


def run(path: Path) -> None:
    """Load a file and run it on images such as it allows, if it allows any of that size."""
    engine = tw.load(path)
    shapes = [(1, entry.channels, *(s or 8 for s in entry.size)) for entry in engine.inputs]
    with np.errstate(all="ignore"):
        engine(*(np.zeros(shape, np.float32) for shape in shapes))


def test_no_value_in_the_program_does_harm(program: Program, tmp_path: Path) -> None:
    """Every field replaced by every odd value, and left out: a ValueError, or a program that runs."""
    whole = description(program)
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
                run(write(tmp_path / "m.tilewise", changed, program.arrays))
            except ValueError as error:
                messages.append(str(error))
                continue
            survivors += 1
    assert sum("m.tilewise" in message for message in messages) > 0.9 * len(messages)  # the rest is refused by calls
    assert survivors < 0.3 * len(paths_of(whole)) * (len(HOSTILE) + 1)


def test_no_array_does_harm(program: Program, tmp_path: Path) -> None:
    """Every array left out, of another type or size, or full of odd numbers: a ValueError, or a program that runs."""
    rng = np.random.default_rng(0)
    for name, array in program.arrays.items():
        odd = [None, array.astype(np.float64), array[..., :-1], array[None], array * 0, array * 0 - 1]
        if array.dtype == np.float32:
            odd += [np.full_like(array, np.nan), np.full_like(array, np.inf), np.full_like(array, 3e38)]
        else:
            top = np.iinfo(array.dtype).max
            odd += [np.full_like(array, top), rng.integers(-top, top, array.shape).astype(array.dtype)]
        for value in odd:
            arrays = {**program.arrays, name: value}
            arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items() if v is not None}
            try:
                run(write(tmp_path / "m.tilewise", description(program), arrays))
            except ValueError:
                continue
    more = dataclasses.replace(program, arrays={**program.arrays, "99.bias": X})
    with pytest.raises(ValueError, match=r"no place for the array 99\.bias"):
        tw.Engine(more.to_bytes())
