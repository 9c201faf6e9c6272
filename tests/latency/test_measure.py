"""Measuring for function: every operation has a time, predictions add them up, a killed grid goes on."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.engine import Engine
from tilewise.latency import (
    CANDIDATES,
    Candidate,
    Convolution,
    LatencyTable,
    Operation,
    layer_program,
    layer_shapes,
    measuring,
)
from tilewise.latency.layers import layer_work, with_ranges
from tilewise.latency.measuring import compiled, converted, measure_grid, precision_of, shuffled, uniform
from tilewise.latency.operations import SizedProgram, operation_of
from tilewise.latency.shapes import ShapeGrid
from tilewise.latency.timing import Here, Tally

from .conftest import record_of, shape_of

NAMES = ("direct float32", "F2 float32", "direct int8", "F4 int8", "F2 learned int8")
X = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    """A skip connection and a strided convolution, so that all kinds of ends occur."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second, self.third = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(2))
        self.fourth = nn.Conv2d(8, 16, 3, stride=2)
        self.linear = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = (x + self.third(self.second(x).relu())).relu()
        y: torch.Tensor = self.linear(self.fourth(x).relu().mean((2, 3)))
        return y


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture(scope="module")
def table(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> LatencyTable:
    path = tmp_path_factory.mktemp("latency") / "table.jsonl"
    measured = tw.measure(model, X, candidates=NAMES, out=path, rounds=3)
    assert list(LatencyTable.load(path)) == list(measured)
    return measured


def test_every_layer_is_measured_as_every_candidate(model: nn.Module, table: LatencyTable) -> None:
    for shape in layer_shapes(model, X).values():
        for name in NAMES:
            assert table.seconds(shape, Candidate.parse(name).spec()) > 0
    staged = [r for r in table if isinstance(r.work, Convolution) and r.work.candidate.algorithm != "direct"]
    assert staged
    assert all(r.stages["multiply"] > 0 for r in staged)
    assert all(r.quartiles[0] <= r.seconds <= r.quartiles[1] and r.rounds == 3 for r in table)
    assert {r.work.op for r in table if isinstance(r.work, Operation)} >= {"input", "output", "adaptive_pool", "call"}


def test_a_killed_measurement_goes_on_where_it_was(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two networks at a time; the second two are killed."""
    monkeypatch.setattr(measuring, "TOGETHER", 1)
    taken: list[int] = []
    take = Tally.take

    def note(self: Tally, programs: Any, title: str) -> None:
        taken.append(len(programs))
        if len(taken) == 2:
            raise KeyboardInterrupt
        take(self, programs, title)

    monkeypatch.setattr(Tally, "take", note)
    options: Any = {"candidates": ("direct int8", "F2 float32"), "out": tmp_path / "table.jsonl", "rounds": 1}
    with pytest.raises(KeyboardInterrupt):
        tw.measure(model, X, **options)
    kept = len(LatencyTable.load(options["out"]))
    table = tw.measure(model, X, **options)
    assert 0 < kept < len(table)
    assert list(tw.measure(model, X, **options)) == list(table)
    assert taken == [2, 2, 2]  # the second two again, and then nothing


def test_any_choice_is_predicted(model: nn.Module, table: LatencyTable) -> None:
    names = list(layer_shapes(model, X))
    candidates = [Candidate.parse(name) for name in NAMES]
    for layers in [*uniform(names, candidates), *shuffled(names, candidates, seed=99)]:
        specs = {name: candidate.spec() for name, candidate in layers.items()}
        network = tw.convert(model, specs, skips="quantized")  # without ranges yet
        predicted = table.predict(network, X)
        timed = compiled(model, layers, X, Here(1))
        assert predicted == pytest.approx(table.total(timed.all_works))
        convs = sum(table.seconds_of(w) for w in timed.works[:-2] if isinstance(w, Convolution))
        assert predicted > convs
        assert 0 < table.rest(network, X) < predicted


def test_predictions_are_sums_of_records(model: nn.Module) -> None:
    layers = dict.fromkeys(layer_shapes(model, X), Candidate.parse("F4 int8"))
    network = converted(model, layers, X)
    timed = compiled(model, layers, X, Here(1))
    works = dict.fromkeys(timed.all_works)
    times = {work: 2.0**i for i, work in enumerate(works)}
    table = LatencyTable(record_of(work, seconds) for work, seconds in times.items())
    assert table.predict(network, X) == sum(times[w] for w in timed.all_works)
    operations = timed.loaded.sized.program.operations
    convs = [w for w, node in zip(timed.works, operations, strict=True) if node["name"] in layers]
    assert table.predict(network, X) - table.rest(network, X) == sum(times[w] for w in convs)
    alone = [work for work in works if isinstance(work, Operation) and work.op in ("input", "adaptive_pool", "call")]
    first = next(work for work in works if isinstance(work, Convolution))
    for work in [*alone, first]:
        lacking = LatencyTable(record_of(w, s) for w, s in times.items() if w != work)
        with pytest.raises(ValueError, match="has no entry for"):
            lacking.predict(network, X)


def test_ends_cost_what_bytes_take_on_this_machine() -> None:
    """Fitted to convolutions that were measured between several types, of whatever kind; of one alone, nothing."""
    f4, f2 = (Candidate(name, "int8") for name in ("F4", "F2"))
    base = Convolution(shape=shape_of(16, 8), candidate=f4, output="uint8")
    wide, more = replace(base, output="float32"), 3 * 16 * 8**2
    table = LatencyTable([record_of(base, 1e-5)])
    assert table.seconds_of(wide) == 1e-5
    for i, place in enumerate((shape_of(32, 4), shape_of(16, 4))):
        for output, size in (("uint8", 1), ("int16", 2), ("float32", 4)):
            work = Convolution(shape=place, candidate=f2, output=output)
            table.append(record_of(work, 1e-6 * (i + 1) + 2e-9 * size * place.out_channels * 4**2))
    assert table.seconds_of(wide) == pytest.approx(1e-5 + 2e-9 * more)


def test_ends_never_save_time() -> None:
    shape = shape_of(16, 8)
    base, wide, wider = (
        Convolution(shape=shape, candidate=Candidate("F4", "int8"), output=output, residual=residual)
        for output, residual in (("uint8", None), ("float32", None), ("float32", "float32"))
    )
    table = LatencyTable([record_of(base, 2e-5), record_of(wide, 1e-5)])
    assert table.seconds_of(wider) == 1e-5


def pool(size: int) -> Operation:
    return Operation(op="adaptive_pool", inputs=(("uint8", 16, size, size),), output=("uint8", 16, 1, 1), batch=1)


def test_light_operations_go_by_bytes() -> None:
    table = LatencyTable(record_of(pool(size), 1e-6 + 1e-9 * 16 * (size**2 + 1), "grid") for size in (2, 4, 8))
    assert table.seconds_of(pool(6)) == pytest.approx(1e-6 + 1e-9 * 16 * 37)
    with pytest.raises(ValueError, match="moves 1616 bytes; of adaptive_pool 80 to 1040 were measured"):
        table.seconds_of(pool(10))
    flat = LatencyTable(record_of(pool(size), seconds) for size, seconds in ((2, 3e-6), (4, 2e-6), (8, 1e-6)))
    assert flat.seconds_of(pool(6)) == 2e-6


def test_shuffled_networks_give_each_layer_all_candidates() -> None:
    candidates = [Candidate.parse(name) for name in (*NAMES, "F2 bf16")]
    networks = shuffled(["a", "b", "c"], candidates, seed=0)
    assert all(len({c.dtype for c in layers.values()} & {"bf16", "float32"}) < 2 for layers in networks)
    for layer in "abc":
        assert {layers[layer] for layers in networks} == set(candidates)
    assert [precision_of(layers) for layers in networks].count("bf16") > 0
    assert shuffled(["a"], candidates[:1], seed=0) == []


def test_a_model_with_ranges_stays_as_it_is(model: nn.Module) -> None:
    network = tw.convert(model, {"*": tw.Direct(bits=8)})
    ready = with_ranges(network, X)
    assert ready is not network
    assert with_ranges(ready, X) is ready
    assert with_ranges(model, X) is model


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_a_layer_alone_writes_what_the_next_one_reads(candidate: Candidate) -> None:
    shape = shape_of(8, 9, 2)
    program = layer_program(shape, candidate, ordered=True)
    assert [operation["op"] for operation in program.operations][::2] == ["input", "output"]
    assert program.tensors[1]["dtype"] == candidate.stored
    assert layer_work(shape, candidate).candidate == candidate
    assert Engine(program.to_bytes())(torch.zeros(1, 8, 9, 9)).shape == (1, 16, 9, 9)
    sized = SizedProgram.of(program, (1, 8, 9, 9))
    assert operation_of(sized, 0).output == (program.tensors[0]["dtype"], 8, 9, 9)
    assert operation_of(sized, 2).inputs == ((candidate.stored, 16, 9, 9),)


def test_what_is_not_served_is_direct() -> None:
    strided = shape_of(8, 9, stride=(2, 2))
    assert layer_work(strided, Candidate("F4", "int8")).candidate == Candidate("direct", "int8")
    assert layer_program(strided, Candidate("F4", "int8")).operations[1]["op"] == "direct"


def test_a_grid_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "grid.jsonl"
    grid = ShapeGrid(channels=(8, 16), resolutions=(6, 8), ratios=(1,))
    names = ("direct float32", "F2 int8")
    table = measure_grid(grid, candidates=names, out=path, rounds=1)
    lines = path.read_text().splitlines()
    assert table.seconds(shape_of(12, 7), tw.Winograd("F2")) > 0
    assert {r.source for r in table} == {"grid"}
    made: list[Any] = []
    make = layer_program
    monkeypatch.setattr("tilewise.latency.measuring.layer_program", lambda *a, **k: made.append(a) or make(*a, **k))
    assert list(measure_grid(grid, candidates=names, out=path, rounds=1)) == list(table)
    assert made == []
    path.write_text("\n".join(line for line in lines if '"in_channels": 16' not in line) + "\n")
    measure_grid(grid, candidates=names, out=path, rounds=1)
    assert {shape.in_channels for shape, *_ in made} == {16}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"candidates": []}, "there are no candidates"),
        ({"candidates": ["F3 int8"]}, "unknown algorithm 'F3'"),
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"threads": -1}, "threads is -1; allowed"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], message: str, model: nn.Module) -> None:
    with pytest.raises(ValueError, match=message):
        tw.measure(model, X, **{"candidates": ["direct int8"], **arguments})


def test_bad_grids_are_refused() -> None:
    for name in ("channels", "resolutions", "ratios"):
        with pytest.raises(ValueError, match=rf"{name} is \(\); allowed: numbers above 0"):
            ShapeGrid(**{name: ()})
    with pytest.raises(ValueError, match="stride is 0"):
        ShapeGrid(stride=0)
    assert statistics.mean(s.out[0] for s in ShapeGrid(stride=2, resolutions=(8,)).shapes()) == 4
