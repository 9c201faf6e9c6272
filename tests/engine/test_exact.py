"""Exact layers in the engine: the direct int8 network's very numbers, from other kernels."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tilewise as tw
from tilewise.engine import tuning
from tilewise.engine.exact import exact_fields, with_exact

NAMED = {3: tw.Exact("F4"), 5: tw.Exact("SFC6"), 7: tw.Exact("SFC6")}


def network(r: int = 3, channels: int = 16, *, signed: bool = False) -> nn.Module:
    torch.manual_seed(r)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.Identity() if signed else nn.ReLU(),
        nn.Conv2d(channels, 24, r, padding=r // 2), nn.ReLU(),
        nn.Conv2d(24, 8, 3, stride=2),
    ).eval()  # fmt: skip


def calibrated(model: nn.Module, spec: Any, x: torch.Tensor) -> nn.Module:
    return tw.calibrate(tw.convert(model, {"*": spec}), [x])


def operations(engine: tw.Engine) -> list[str]:
    return [node["op"] for node in engine.plan.nodes if node["op"] in ("direct", "exact", "fast")]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("r", [3, 5, 7])
def test_exact_layers_give_the_numbers_of_direct_ones(r: int, *, signed: bool) -> None:
    x = torch.randn(3, 3, 13, 17)
    engines = [tw.compile(calibrated(network(r, signed=signed), s, x), x) for s in (tw.Direct(), NAMED[r])]
    assert operations(engines[0]) == ["direct"] * 3
    assert operations(engines[1]) == ["direct", "exact", "direct"]  # three input channels, stride 2
    np.testing.assert_array_equal(engines[0](x), engines[1](x))


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(4, 40),
    height=st.integers(1, 15),
    width=st.integers(1, 15),
    r=st.sampled_from([3, 5, 7]),
    seed=st.integers(0, 2**31),
)
def test_any_shape(channels: int, height: int, width: int, r: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(2, 3, height, width)
    model = network(r, channels)[:3]
    results = [tw.compile(calibrated(model, s, x), x)(x) for s in (tw.Direct(), NAMED[r])]
    np.testing.assert_array_equal(*results)


def test_by_itself_only_where_it_is_faster() -> None:
    x = torch.randn(1, 3, 12, 12)
    for channels, wanted in ((16, "direct"), (32, "exact")):
        model = nn.Sequential(nn.Conv2d(3, channels, 1), nn.Conv2d(channels, channels, 3)).eval()
        assert operations(tw.compile(calibrated(model, tw.Exact(), x), x)) == ["direct", wanted]


def test_a_file_keeps_them(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 12, 12)
    engine = tw.compile(calibrated(network(), NAMED[3], x), x)
    engine.save(tmp_path / "exact.tilewise")
    again = tw.load(tmp_path / "exact.tilewise")
    assert operations(again) == operations(engine)
    np.testing.assert_array_equal(again(x), engine(x))


def test_tuning_takes_them_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    def profile(self: Any, x: Any, *, repeats: int) -> list[dict[str, Any]]:
        del x, repeats
        return [{"seconds": 0.5 if node["op"] == "exact" else 1.0} for node in self.plan.nodes]

    x = torch.randn(1, 3, 12, 12)
    model = calibrated(network(), tw.Direct(), x)
    monkeypatch.setattr(tuning.Engine, "profile", profile)
    engine = tw.compile(model, x, tune=True)
    assert operations(engine) == ["direct", "exact", "direct"]
    np.testing.assert_array_equal(engine(x), tw.compile(model, x)(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": lambda g: g + 1}, "must be a convolution times a positive integer"),
        ({"bt": lambda b: b * 400, "g": lambda g: g}, r"the largest value of B\^T q B is \d+, must be 0..32767"),
        ({"g": lambda g: g * 300}, r"a value of G w G\^T is -?\d+, must be -32767..32767"),
        ({"at": lambda a: a * 2**11}, r"sum to \d+, must be at most \d+ for sums below 2\^"),
        ({"weight": lambda w: w[:, :2]}, "the height of weight is 2, must be 3"),
    ],
)
def test_what_would_not_be_exact_is_refused(change: dict[str, Any], message: str) -> None:
    x = torch.randn(1, 3, 12, 12)
    plan = tw.compile(calibrated(network(), NAMED[3], x), x).plan
    i = next(i for i, node in enumerate(plan.nodes) if node["op"] == "exact")
    changed = {f"{i}.{k}": np.ascontiguousarray(f(plan.arrays[f"{i}.{k}"])) for k, f in change.items()}
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(plan, arrays=plan.arrays | changed).native()


def test_layers_that_no_bound_covers_stay_direct() -> None:
    x = torch.rand(1, 8, 9, 9)
    model = nn.Sequential(nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, 4, 3, dilation=2)).eval()
    plan = tw.compile(calibrated(model, tw.Direct(), x), x).plan
    assert [node["op"] for node in with_exact(plan).nodes if node["op"] in ("direct", "exact")] == ["exact", "direct"]
    node = next(node for node in plan.nodes if node["op"] == "direct")
    for channels, served in ((1_000, True), (70_000, False)):  # sums up to 2^28, and beyond 2^29
        heavy = {**node, "weight": np.full((4, 3, 3, channels), 127, np.int8)}
        assert (exact_fields(heavy, plan.tensors[node["x"]], ("F4",)) is not None) == served
