"""Exact kernels in the search: direct int8's branch, at the faster one's price and by its name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.cli import main
from tilewise.commands import search as command
from tilewise.conversion import specs_of
from tilewise.experiments import known_searches
from tilewise.latency import LayerShape, layer_shapes
from tilewise.quant import Spec
from tilewise.winas import Architecture, SearchConfig, search
from tilewise.winas.architecture import label
from tilewise.winas.prices import Prices
from tilewise.winas.supernet import SuperNet

ALGORITHMS = ("direct", "exact", "F4")
MILLI = 1e-3


class ByChannels:
    """Latencies by input channels and label."""

    def __init__(self, times: dict[tuple[int, str], float], rest: float = MILLI) -> None:
        self.times, self.rest = times, rest

    def seconds(self, shape: LayerShape, spec: Spec) -> float:
        return self.times[shape.in_channels, label(spec)]

    def predict(self, model: nn.Module, example: torch.Tensor) -> float:
        specs, shapes = specs_of(model), layer_shapes(model, example)
        return self.rest + sum(self.seconds(shapes[name], specs[name]) for name in specs)


def widths() -> nn.Module:
    """Give a network whose layers can be told apart: 4, 8 and 12 channels; the last one has no choice."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.Conv2d(12, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip


X = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
TIMES = st.tuples(*[st.sampled_from([MILLI, 2 * MILLI, 3 * MILLI])] * 3)


@settings(max_examples=20, deadline=None)
@given(st.tuples(TIMES, TIMES, TIMES))
def test_a_candidate_is_the_faster_of_two_ways(times: tuple[tuple[float, ...], ...]) -> None:
    names = ("direct int8", "exact int8", "F4-barabasz int8")
    by = {(c, n): t for c, row in zip((4, 8, 12), times, strict=True) for n, t in zip(names, row, strict=True)}
    table, model = ByChannels(by | {(12, "residue int8"): 9 * MILLI}), widths()
    net = SuperNet(model, SearchConfig(algorithms=("direct", "exact", "F4-barabasz")))
    prices = Prices(net, model, table, X)
    assert prices.seconds.keys() == {"0", "2"}  # 5x5 is direct, or exact
    first = prices.picked({})
    for name, channels in (("0", 4), ("2", 8), ("4", 12)):
        direct, exact = by[channels, "direct int8"], by[channels, "exact int8"]
        named = tw.Exact("SFC6" if name == "4" else "F4")  # the first of those of one label
        assert first[name] == (named if exact < direct else tw.Direct())
        if name in prices.seconds:
            assert prices.seconds[name].tolist() == [min(direct, exact), by[channels, "F4-barabasz int8"]]
    chosen = {"0": 1, "2": 0}
    mixed = tw.calibrate(tw.convert(model, prices.picked(chosen)), [X])
    assert prices.total(chosen) == pytest.approx(table.predict(mixed, X))


def test_the_found_network_runs_as_direct_does_and_takes_what_the_table_says(tmp_path: Path, config: Any) -> None:
    model = known_searches.network(0)
    train, val = (known_searches.Batches(model, 3, seed=seed) for seed in (0, 1))
    example = train.images[0, :1]
    by = {(c, n): t for c in (4, 8) for n, t in (("direct int8", 2.0), ("exact int8", 1.0), ("F4 int8", 9.0))}
    table = ByChannels({key: value * MILLI for key, value in by.items()} | {(4, "exact int8"): 3 * MILLI})
    found = search(model, train, val, table, config(algorithms=ALGORITHMS, budget_ms=5.0, out=tmp_path))
    assert found.specs == {"0": tw.Direct(), "2": tw.Exact("F4"), "4": tw.Exact("F4")}
    assert found.expected_seconds == found.baseline_seconds == pytest.approx(5 * MILLI)
    assert [list(shares) for shares in found.probabilities.values()] == [
        ["direct int8", "F4 int8"], ["exact int8", "F4 int8"], ["exact int8", "F4 int8"],
    ]  # fmt: skip
    again = Architecture.load(tmp_path / "architecture-0.json")
    assert again == found
    engines = [
        tw.compile(tw.calibrate(tw.convert(model, specs, skips="quantized"), [example]), example)
        for specs in (again.specs, {"*": tw.Direct()})
    ]
    convs = [node["op"] for node in engines[0].plan.nodes if node["name"] in found.specs]
    assert convs == ["direct", "exact", "exact"]
    np.testing.assert_array_equal(*(engine(train.images[1, :1]) for engine in engines))


def test_a_measured_table_prices_what_it_has_and_refuses_what_it_lacks(config: Any) -> None:
    model = known_searches.network(0)
    train, val = (known_searches.Batches(model, 2, seed=seed) for seed in (0, 1))
    example = train.images[0, :1]
    table = tw.measure(model, example, candidates=["direct int8", "F4 int8", "exact F4 int8"], rounds=2)
    found = search(model, train, val, table, config(algorithms=ALGORITHMS))
    for name, shape in layer_shapes(model, example).items():
        ways = [table.seconds(shape, spec) for spec in (tw.Direct(), tw.Exact("F4"))]
        kind = "exact int8" if ways[1] < ways[0] else "direct int8"
        assert list(found.probabilities[name]) == [kind, "F4 int8"]
    old = tw.LatencyTable(r for r in table if "exact" not in r.to_json())
    assert search(model, train, val, old, config(algorithms=("direct", "F4"))).specs
    with pytest.raises(ValueError, match=r'no entry for exact F4 int8 of 4 -> 8 .* --candidates "exact F4 int8"'):
        search(model, train, val, old, config(algorithms=ALGORITHMS))


@pytest.mark.parametrize(
    ("algorithms", "bits"), [(("exact",), (8,)), (("exact", "F4"), (8,)), (("direct", "exact", "F4"), (10, 32))]
)
def test_exact_without_direct_int8_is_refused(algorithms: tuple[str, ...], bits: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="but exact has the numbers of direct at 8 bits; allowed with it: direct"):
        SearchConfig(algorithms=algorithms, widths=bits)


def test_the_command_line_searches_compiles_and_profiles_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = known_searches.Table(by_label={"exact int8": 0.5e-3}, rest=1e-3)
    monkeypatch.setattr(command, "load_table", lambda _: (table, 1))

    def cli(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["tilewise", *map(str, arguments)])
        main()

    tw.save_weights(zoo.small_cnn(), tmp_path / "m.safetensors")
    digits = ("--data", "digits", "--threads", 1)
    on = (*digits, "--model", "small", "--train-images", 80, "--weights", tmp_path / "m.safetensors")
    cli("search", *on, "--table", "t", "--out", tmp_path / "s", "--epochs", 1, "--algorithms", "direct", "exact", "F2",
        "--budget-ms", 4.6)  # fmt: skip
    kinds = [spec.kind for spec in Architecture.load(tmp_path / "s" / "architecture-0.json").specs.values()]
    assert kinds == ["direct", *["exact"] * 5]  # one image channel
    assert "exact int8" in capsys.readouterr().out
    specs = ("--specs", tmp_path / "s" / "architecture-0.json", "--skips", "quantized")
    cli("compile", *on, *specs, "--out", tmp_path / "n.tilewise")
    cli("run", tmp_path / "n.tilewise", *digits, "--profile")
    assert "exact" in capsys.readouterr().out
    engine = tw.load(tmp_path / "n.tilewise")
    assert [node["op"] for node in engine.plan.nodes].count("exact") == 5
