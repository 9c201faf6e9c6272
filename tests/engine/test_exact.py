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
from tilewise.engine.exact import as_exact, by_itself, candidates, exact_node, in_order
from torch import nn

import tilewise as tw
from tilewise.engine import tuning

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
    return [node["op"] for node in engine.plan.nodes if node["op"] in ("direct", "exact", "residue", "fast")]


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


def test_what_an_open_spec_comes_to() -> None:
    residues, wrapping = by_itself(tw.Exact(), 5, 256, 56 * 56)
    assert (residues, wrapping) == (tw.Residue(tile=14, residue_bits=13), tw.Exact())
    assert by_itself(tw.Exact(), 5, 128, 56 * 56) == (tw.Exact(),)
    assert by_itself(tw.Exact(), 3, 31, 56 * 56) == by_itself(tw.Exact(), 1, 256, 56 * 56) == ()
    assert by_itself(tw.Exact("F2"), 3, 4, 1) == (tw.Exact("F2"),)
    for pixels, wanted in (((56, 56), "SFC6(7)"), ((112, 112), "SFC6"), ((10, 15), "SFC6(5)")):
        assert in_order(tw.Exact(), 5, pixels)[0] == wanted


def test_a_file_keeps_them(tmp_path: Path) -> None:
    x = torch.randn(1, 3, 12, 12)
    engine = tw.compile(calibrated(network(), NAMED[3], x), x)
    engine.save(tmp_path / "exact.tilewise")
    again = tw.load(tmp_path / "exact.tilewise")
    assert operations(again) == operations(engine)
    np.testing.assert_array_equal(again(x), engine(x))


@pytest.mark.parametrize(("r", "wanted"), [(3, "exact"), (5, "exact"), (5, "residue")])
def test_tuning_takes_them_where_they_are_faster(monkeypatch: pytest.MonkeyPatch, r: int, wanted: str) -> None:
    def profile(self: Any, x: Any, *, repeats: int) -> list[dict[str, Any]]:
        del x, repeats
        return [{"seconds": 0.5 if node["op"] == wanted else 1.0} for node in self.plan.nodes]

    x = torch.randn(1, 3, 12, 12)
    model = calibrated(network(r), tw.Direct(), x)
    monkeypatch.setattr(tuning.Engine, "profile", profile)
    engine = tw.compile(model, x, tune=True)
    assert operations(engine) == ["direct", wanted, "direct"]
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
    (only,) = candidates(plan).values()
    assert [node["op"] for node in only.nodes if node["op"] in ("direct", "exact")] == ["exact", "direct"]
    node = next(node for node in plan.nodes if node["op"] == "direct")
    x_tensor, y_tensor = (plan.tensors[node[role]] for role in ("x", "y"))
    words = tw.Residue(residue_bits=13)
    for spec, channels, served in (
        (tw.Exact("F4"), 1_000, True), (tw.Exact("F4"), 70_000, False),  # sums up to 2^28, and beyond 2^29
        (tw.Residue(), 1_000, True), (words, 1_000, True), (tw.Residue(), 70_000, False), (words, 70_000, False),
    ):  # fmt: skip
        heavy = {**node, "weight": np.full((4, 3, 3, channels), 127, np.int8)}
        assert (exact_node(heavy, x_tensor, y_tensor, spec) is not None) == served


RESIDUES = {
    3: (tw.Residue(), tw.Residue(tile=8, residue_bits=13), tw.Residue(tile=4, moduli=(4093, 4091))),
    5: (tw.Residue(tile=14), tw.Residue(residue_bits=13), tw.Residue(tile=2, moduli=(251, 241, 239, 233))),
    7: (tw.Residue(tile=12, residue_bits=13),),
}


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(4, 40),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    choice=st.sampled_from([(r, spec) for r, specs in RESIDUES.items() for spec in specs]),
    signed=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_residues_give_the_numbers_of_direct_layers(
    channels: int, height: int, width: int, choice: tuple[int, tw.Residue], seed: int, *, signed: bool
) -> None:
    torch.manual_seed(seed)
    (r, spec), x = choice, torch.randn(2, 3, height, width)
    model = network(r, channels, signed=signed)[:3]
    engines = [tw.compile(calibrated(model, s, x), x) for s in (tw.Direct(), spec)]
    assert operations(engines[1]) == ["direct", "residue"]
    np.testing.assert_array_equal(*(engine(x) for engine in engines))


def residue_plan() -> tuple[Any, int]:
    x = torch.randn(1, 3, 12, 12)
    plan = tw.compile(calibrated(network(5), tw.Residue(tile=10, residue_bits=13), x), x).plan
    return plan, next(i for i, node in enumerate(plan.nodes) if node["op"] == "residue")


def test_a_file_keeps_residues(tmp_path: Path) -> None:
    plan, _ = residue_plan()
    tw.Engine(plan).save(tmp_path / "residue.tilewise")
    x = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)
    np.testing.assert_array_equal(tw.load(tmp_path / "residue.tilewise")(x), tw.Engine(plan)(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"m": 9}, "m is 9, must be even"),
        ({"m": 16}, r"the inputs of a tile, m \+ r - 1, is 20, must be 6..18"),
        ({"moduli": [8191]}, "the number of moduli is 1, must be 2..4"),
        ({"moduli": [8191, 8190]}, "a modulus is 8190, must be odd"),
        ({"moduli": [8191, 8193]}, "a modulus is 8193, must be 63..8191"),
        ({"moduli": [323, 391]}, "the modulus 391 has a factor of another one"),
        ({"moduli": [8191, 7105]}, "modulo a factor of 7105 two points of a tile of 14 are the same"),
        ({"moduli": [101, 103]}, r"sums of output channel \d+ reach \d+, must be at most 4875"),
        ({"moduli": [8191, 8189, 8179, 8171]}, "the product of all moduli but the last"),
    ],
)
def test_residues_that_would_not_be_exact_are_refused(change: dict[str, Any], message: str) -> None:
    plan, i = residue_plan()
    arrays = {f"{i}.{k}": np.array(v, np.int64) for k, v in change.items() if k == "moduli"}
    fields = {k: v for k, v in change.items() if k != "moduli"}
    nodes = tuple({**node, **fields} if n == i else node for n, node in enumerate(plan.nodes))
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(plan, nodes=nodes, arrays=plan.arrays | arrays).native()


def test_the_widest_sums_that_residues_take() -> None:
    """Weights and inputs that reach the bound of two moduli, and one unit more."""
    x = torch.rand(1, 8, 9, 9)
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)).eval()
    nn.init.ones_(model[0].weight)
    plan = tw.compile(calibrated(model, tw.Direct(), x), x).plan
    i = [i for i, node in enumerate(plan.nodes) if node["op"] == "direct"][1]
    most = 97 * 101 * 103 // 32 * 15
    for extra, served in ((0, True), (1, False)):
        weight = np.zeros((4, 3, 3, 8), np.int8)
        weight.reshape(4, -1)[:, : most // 255 // 127] = 127
        weight[0, 2, 2, 7] = most // 255 - 127 * (most // 255 // 127) + extra
        changed = dataclasses.replace(plan, arrays=plan.arrays | {f"{i}.weight": weight})
        spec = tw.Residue(tile=4, moduli=(97, 101, 103))
        exact = as_exact(changed, i, spec)
        assert (exact is not None) == served
        if exact is not None:
            bright = np.full((1, 8, 9, 9), 10.0, np.float32)  # all bytes become 255
            np.testing.assert_array_equal(tw.Engine(exact)(bright), tw.Engine(changed)(bright))
