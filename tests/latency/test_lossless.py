"""Latencies of exact kernels: measured, named by what runs, asked for by spec, refused by name where they lack."""

from __future__ import annotations

import json
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tilewise as tw
from tilewise.engine.compiler import make_program
from tilewise.engine.lossless import candidates
from tilewise.latency import Candidate, Convolution, LatencyTable, Operation, Record, layer_program, layer_shapes
from tilewise.latency.layers import run_as, served, with_ranges
from tilewise.latency.models import ConvolutionModel, weight_bytes
from tilewise.latency.operations import Shape, SizedProgram, operations_of

from .conftest import record_of, shape_of, work_of

NAMED = {3: tw.Exact("F4"), 5: tw.Exact("SFC6"), 7: tw.Exact("SFC6")}
RESIDUE = tw.Residue(tile=10, residue_bits=13)
NAMES = ("direct int8", "F4 int8", "exact F4 int8", "exact SFC6 int8")


def network(r: int = 3, channels: int = 16) -> nn.Module:
    torch.manual_seed(r)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, channels, r, padding=r // 2), nn.ReLU(),
        nn.Conv2d(channels, 8, 3, stride=2),
    ).eval()  # fmt: skip


MODEL = ConvolutionModel()
X = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@cache
def measured() -> LatencyTable:
    return tw.measure(network(), X, candidates=NAMES, rounds=2)


def convolutions(model: nn.Module, x: torch.Tensor = X, *, tuned: bool = False) -> list[str]:
    """Name what a network's convolutions are as, in their order."""
    model = with_ranges(model, x)
    program = make_program(model, x, "float32")
    program = next(iter(candidates(program).values())) if tuned else program
    works = operations_of(SizedProgram.of(program, extents(x)), model)
    return [str(work.candidate) for work in works if isinstance(work, Convolution)]


def extents(x: torch.Tensor) -> Shape:
    n, c, h, w = x.shape
    return n, c, h, w


@pytest.mark.parametrize("r", NAMED)
def test_what_runs_is_named_as_specs_name_it(r: int) -> None:
    assert convolutions(tw.convert(network(r), {"*": RESIDUE}))[1] == "exact residue-10-13 int8"
    wanted = ["direct int8", f"exact {NAMED[r].algorithm} int8", "direct int8"]
    assert convolutions(tw.convert(network(r), {"*": NAMED[r]})) == wanted
    assert convolutions(tw.convert(network(r), {"*": tw.Direct()}), tuned=True) == wanted
    assert convolutions(tw.convert(network(3), {"*": tw.Exact("F2")}))[1] == "exact F2 int8"


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 40),
    filters=st.integers(1, 40),
    height=st.integers(4, 30),
    width=st.integers(4, 30),
    r=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 1, 1, 2]),
    spec=st.sampled_from([tw.Exact(), tw.Exact("F4"), tw.Exact("SFC6"), RESIDUE, tw.Residue()]),
)
def test_a_spec_is_asked_for_as_what_the_engine_runs(
    channels: int, filters: int, height: int, width: int, r: int, stride: int, spec: tw.Exact
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(channels, filters, r, stride, padding=r // 2)).eval()
    x = torch.randn(1, channels, height, width)
    shape = layer_shapes(model, x)["0"]
    asked = served(shape, Candidate.of(run_as(shape, spec)))
    assert [str(asked)] == convolutions(tw.convert(model, {"*": spec}), x)


def test_exact_layers_are_measured_and_predicted() -> None:
    table = measured()
    shape = layer_shapes(network(), X)["2"]
    times = {name: table.seconds(shape, Candidate.parse(name).spec()) for name in NAMES}
    assert len(set(times.values())) == len(NAMES)
    assert table.seconds(shape, tw.Exact()) == times["direct int8"]  # 16 channels: by itself it would not be exact
    staged = next(r for r in table if isinstance(r.work, Convolution) and str(r.work.candidate) == "exact F4 int8")
    assert staged.stages["multiply"] > 0
    rest = [table.rest(tw.convert(network(), {"*": spec}), X) for spec in (tw.Direct(), tw.Exact("F4"))]
    assert rest[0] == rest[1] > 0
    assert table.predict(tw.convert(network(), {"*": tw.Exact("F4")}), X) > rest[1]


def test_a_prediction_is_the_sum_of_what_runs() -> None:
    model = with_ranges(tw.convert(network(), {"2": tw.Exact("F4"), "*": tw.Direct()}), X)
    kept = [r for r in measured() if r.source == "network"]
    times = {r.work: 2.0**i for i, r in enumerate(kept)}
    works = operations_of(SizedProgram.of(make_program(model, X, "float32"), extents(X)), model)
    call = next(work for work in times if isinstance(work, Operation) and work.op == "call")
    table = LatencyTable(record_of(work, seconds) for work, seconds in times.items())
    assert set(works) <= times.keys()
    assert table.predict(model, X) == sum(times[work] for work in [*works, call])


# A line as tables had them before there were exact candidates.
OLD = (
    '{"version": 1, "work": {"shape": {"batch": 1, "in_channels": 64, "out_channels": 64, "kernel": [3, 3], '
    '"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "height": 8, "width": 8}, "candidate": "%s", '
    '"output": "uint8", "residual": null, "unfused": false}, "seconds": 1e-05, "quartiles": [1e-05, 1e-05], '
    '"rounds": 15, "source": "network", "machine": {"cpu": "x", "isa": "y", "threads": 1}, '
    '"versions": {"tilewise": "0.1.0"}, "date": "2026-11-21T18:52:50+00:00", "stages": {}}'
)


def test_tables_without_them_serve_as_before_and_refuse_them_by_name() -> None:
    table, shape = LatencyTable([Record.from_json(OLD % "direct int8")]), shape_of(64, 8)
    assert table.seconds(shape, tw.Direct()) == 1e-5
    message = (
        r"no entry for exact F4 int8 of 64 -> 64 channels, 3x3, of 8x8, batch 1; "
        r'measure it: tilewise measure --candidates "exact F4 int8" with --model'
    )
    for spec in (tw.Exact(), tw.Exact("F4")):
        with pytest.raises(ValueError, match=message):
            table.seconds(shape, spec)
    without = LatencyTable(
        r for r in measured() if not (isinstance(r.work, Convolution) and r.work.candidate.lossless)
    )  # fmt: skip
    assert without.predict(tw.convert(network(), {"*": tw.Direct()}), X) > 0
    with pytest.raises(ValueError, match="has no entry for exact F4 int8 of 16 -> 16 channels"):
        without.predict(tw.convert(network(), {"*": tw.Exact("F4")}), X)


def test_records_name_them_in_one_word_more() -> None:
    record = record_of(work_of(shape_of(64, 8), "exact F4 int8"), 1e-5)
    assert Record.from_json(record.to_json()) == record
    assert json.loads(record.to_json())["work"]["candidate"] == "exact F4 int8"
    assert Record.from_json(OLD % "exact F4 int8").work == record.work


def test_grids_of_them_are_their_own() -> None:
    works = [work_of(shape_of(c, s, r), "exact F4 int8") for c in (32, 128) for s in (8, 32) for r in (1, 2)]
    table = LatencyTable(record_of(work, 1.5 * MODEL.seconds(work), "grid") for work in works)
    between = work_of(shape_of(48, 12, 1.5), "exact F4 int8")
    assert table.seconds(between.shape, tw.Exact()) == pytest.approx(1.5 * MODEL.seconds(between))
    for spec in (tw.Direct(), tw.Winograd("F4")):
        with pytest.raises(ValueError, match="has no entry"):
            table.seconds(between.shape, spec)
    with pytest.raises(ValueError, match='from 8 to 32; measure it: tilewise measure --candidates "exact F4 int8"'):
        table.seconds(shape_of(64, 64), tw.Exact())


def test_their_factors_have_two_bytes() -> None:
    exact, fast = (work_of(shape_of(256, 56), name) for name in ("exact F4 int8", "F4 int8"))
    assert weight_bytes(exact) == 2 * weight_bytes(fast)
    assert MODEL.seconds(exact) > MODEL.seconds(fast)


def test_layers_too_wide_for_random_weights_are_refused_not_mislabelled() -> None:
    with pytest.raises(ValueError, match=r"exact F4 int8 of 8000 -> 4 channels, .* can not be measured"):
        layer_program(shape_of(8000, 4, 4 / 8000), Candidate.parse("exact F4 int8"))


def test_residues_are_kept_by_tile_and_width() -> None:
    works = [work_of(shape_of(64, 28), f"exact residue-{m}-{bits} int8") for m, bits in ((10, 13), (14, 13), (14, 8))]
    table = LatencyTable(record_of(work, 1e-6 * (i + 1)) for i, work in enumerate(works))
    for work, seconds in zip(works, (1e-6, 2e-6, 3e-6), strict=True):
        assert Record.from_json(record_of(work, 1.0).to_json()).work == work
        assert table.seconds(work.shape, work.candidate.spec()) == seconds
    assert weight_bytes(works[2]) == 3 * 256 * 64 * 64 < weight_bytes(works[1])  # three moduli of bytes, two of words
    operation = layer_program(works[0].shape, works[0].candidate).operations[1]
    assert (operation["op"], operation["m"]) == ("residue", 10)


@pytest.mark.parametrize(
    "text",
    [
        "exact F4 int16",
        "exact direct int8",
        "exact auto int8",
        "exact F4 float32",
        "exact int8",
        "exact F9 int8",
        "exact residue-10-9 int8",
    ],
)
def test_candidates_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"has no kernel|unknown algorithm"):
        Candidate.parse(text)
    with pytest.raises(ValueError, match="'exact F4 learned int8' has no kernel"):
        Candidate("F4", "int8", "learned", lossless=True)
    with pytest.raises(ValueError, match="V of F6 reaches"):
        Candidate.parse("exact F6 int8")
    with pytest.raises(ValueError, match="'exact auto int8' has no kernel"):
        Candidate.of(tw.Exact())
