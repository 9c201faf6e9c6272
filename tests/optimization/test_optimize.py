from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.common.places import sole_use
from tilewise.optimization import attempts, climb, outcome, training
from tilewise.optimization.attempts import TriedLayer
from tilewise.winas.architecture import load_specs

SECONDS = {"direct": 4.0, "wrapping": 3.5, "SFC6(7, 3)": 3.0, "SFC6-planar(6, 3)": 2.8, "F2": 2.5, "F4": 1.0}


def upscaler() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.PReLU(16),
        nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2),
    )  # fmt: skip


def images(count: int = 6) -> Tensor:
    return torch.rand(count, 3, 16, 20, generator=torch.Generator().manual_seed(1))


def seconds_of(operation: dict[str, Any]) -> float:
    return SECONDS.get(operation["algorithm" if operation["op"] == "fast" else "op"], 0.1)


@pytest.fixture(autouse=True)
def clockwork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that follow from the operations alone, and no other library; training that takes little."""

    def turns(networks: dict[str, Any], _: Tensor) -> dict[str, list[float]]:
        return {
            name: [sum(map(seconds_of, net.program.operations)) if isinstance(net, tw.Engine) else 60.0]
            for name, net in networks.items()
        }

    def layers(engine: tw.Engine, network: nn.Module, _: Tensor) -> list[TriedLayer]:
        known = {report.name: report.algorithm for report in tw.describe(network)}
        return [
            TriedLayer(name=o["name"], op=o["op"], algorithm=known.get(o["name"], ""), seconds=seconds_of(o))
            for o in engine.program.operations
        ]

    monkeypatch.setattr(attempts, "time_in_turns", turns)
    monkeypatch.setattr(outcome, "time_in_turns", turns)
    monkeypatch.setattr(attempts, "_layers", layers)
    monkeypatch.setattr(tw.Engine, "peaks", lambda _: {"int8_operations": 1e9, "cache_bytes": 1e9})
    monkeypatch.setattr("tilewise.optimization.peers._installed", lambda _: False)
    monkeypatch.setattr(training, "REFINEMENT", replace(training.REFINEMENT, reconstruct=2))
    monkeypatch.setattr(training, "REFINED", training.Amount(1e9, 2**10))
    monkeypatch.setattr(training.Trainer, "adaptation_steps", lambda *_: 2)
    monkeypatch.setattr(training, "EPOCH", 1)


@pytest.fixture
def optimized(tmp_path: Path) -> Callable[..., Any]:
    def run(**options: Any) -> Any:
        return tw.optimize(upscaler(), [images()], **{"out": tmp_path / "out", **options})

    return run


def test_all_is_tried_and_the_fastest_that_fits_is_compiled(optimized: Any, tmp_path: Path) -> None:
    found = optimized(max_drop=50)
    summary, out = found.summary, tmp_path / "out"
    tried = {entry["name"]: entry for entry in summary["tried"]}
    assert {"direct int8", "lossless in all layers", "SFC6 in all layers", "F4 in all layers"} <= set(tried)
    assert tried["lossless in all layers"]["drop"]["value"] == 0
    assert summary["result"]["name"] == "F4 in all layers"
    assert summary["result"]["speedup"] == max(entry["speedup"] for entry in tried.values())
    assert found.engine.content() == (out / "model.tilewise").read_bytes()
    assert json.loads((out / "summary.json").read_text()) == summary
    assert found.page == out / "report.html"
    assert "Sequential runs" in found.page.read_text()
    # specs and weights make the very network again
    assert load_specs(out / "specs.json") == found.specs
    again = tw.load_weights(upscaler(), found.weights).eval()
    assert {r.name: r.algorithm for r in tw.describe(again)} == {"0": "direct", "2": "F4", "4": "F4"}
    np.testing.assert_array_equal(tw.compile(again, images(1))(images(1)), found.engine(images(1)))


def test_a_tight_budget_gives_what_loses_nothing(optimized: Any, tmp_path: Path) -> None:
    found = optimized(max_drop=0)
    assert optimized(max_drop=0, out=tmp_path / "again").summary == found.summary  # all follows from the seed
    summary = found.summary
    assert summary["result"]["promise"] in ("lossless", "direct", "adapted", "refined")
    assert summary["result"]["drop"]["value"] <= 0
    assert summary["result"]["speedup"] >= 1
    assert {"refined", "adapted"} <= {entry["promise"] for entry in summary["tried"]}
    # every attempt is judged against direct int8, by the images held back
    assert summary["judged"]["drop_from"] == "direct int8"
    assert (summary["judged"]["shown"], summary["judged"]["held_back"]) == (4, 2)


def test_a_second_call_measures_nothing_again(optimized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = optimized(max_drop=50).summary
    monkeypatch.setattr(attempts, "compile_model", None)
    second = optimized(max_drop=50).summary
    assert first == second


def test_interruption_gives_the_best_so_far_and_a_later_call_goes_on(
    optimized: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real, calls = climb.layer_losses, itertools.count()

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(climb, "layer_losses", interrupted)
    first = optimized(max_drop=50)
    assert first.summary["interrupted"]
    assert (tmp_path / "out" / "model.tilewise").is_file()
    second = optimized(max_drop=50)
    assert not second.summary["interrupted"]
    assert len(second.summary["tried"]) > len(first.summary["tried"])


def test_a_folder_is_of_one_run(optimized: Any, tmp_path: Path) -> None:
    optimized(minutes=1e-6, max_drop=0)
    with pytest.raises(ValueError, match="has seed = 0, not 1; choose another folder"):
        optimized(minutes=1e-6, max_drop=0, seed=1)
    with sole_use(tmp_path / "out"), pytest.raises(ValueError, match="out is in use by process"):
        optimized(minutes=1e-6, max_drop=0)


def test_without_time_there_is_direct(optimized: Any) -> None:
    summary = optimized(minutes=1e-6, max_drop=0).summary
    assert [entry["name"] for entry in summary["tried"]] == ["direct int8"]
    assert summary["result"]["name"] == "direct int8"


def test_what_would_take_longer_is_not_begun(optimized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(climb.Clock, "left", property(lambda _: 1e-3))  # less than any network takes
    assert [entry["name"] for entry in optimized(max_drop=0).summary["tried"]] == ["direct int8"]


def test_what_is_slower_than_direct_is_not_given(optimized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECONDS:
        monkeypatch.setitem(SECONDS, name, 5.0)
    summary = optimized(max_drop=50).summary
    assert summary["result"]["name"] == "direct int8"
    assert summary["result"]["speedup"] == 1


def test_a_budget_that_nothing_keeps_names_the_nearest(
    optimized: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(attempts.Bench, "fits", lambda *_: False)
    with pytest.raises(ValueError, match="which nothing that was tried keeps; the nearest is direct int8"):
        optimized(minutes=1e-6)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["result"] is None
    assert not (tmp_path / "out" / "model.tilewise").exists()
    assert "No network that was tried" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("speeds", "chosen"), [((1.5, 1.3), "sure"), ((1.5, 1.1), "by its mean"), ((0.9, 0.7), "direct int8")]
)
def test_what_is_surely_within_the_budget_comes_first(optimized: Any, speeds: tuple[float, float], chosen: str) -> None:
    bench = object.__new__(attempts.Bench)
    entry = optimized(max_drop=50).summary["tried"][0]
    drops = {"by its mean": (0.4, 0.1, 0.7), "sure": (0.1, 0.0, 0.2), "direct int8": (0.0, 0.0, 0.0)}
    bench.attempts = {
        name: attempts.Attempt.from_dict(
            {**entry, "key": name, "name": name, "speedup": speed}
            | {"drop": dict(zip(("value", "low", "high"), drops[name], strict=True))}
        )
        for name, speed in zip(drops, (*speeds, 1.0), strict=True)
    }
    bench.config = attempts.OptimizeConfig(max_drop=0.5)
    best = bench.best()
    assert best is not None
    assert best.name == chosen


def test_few_images_are_warned_of(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    labelled = [(images(12), torch.zeros(12).long())]
    summary = tw.optimize(net, labelled, out=tmp_path, minutes=1e-6, max_drop=1).summary
    assert summary["judged"]["metric"] == "accuracy"
    assert "4 images held back are too few to be sure" in summary["warnings"][0]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_drop": -1}, "max_drop is -1"),
        ({"minutes": 0}, "minutes is 0"),
        ({"metric": "ssim"}, "metric is 'ssim'; allowed: auto, accuracy, miou, psnr, agreement"),
        ({"metric": "accuracy"}, "needs labels, and the data has none"),
        ({"threads": -1}, "threads is -1"),
    ],
)
def test_bad_arguments_are_refused(optimized: Any, options: dict[str, Any], error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=error):
        optimized(**options)
    assert not (tmp_path / "out").exists()


def test_bad_networks_are_refused(tmp_path: Path) -> None:
    net = upscaler()
    with torch.no_grad():
        net[0].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN or infinity"):
        tw.optimize(net, [images()], out=tmp_path)


def test_a_full_disk_is_one_error_and_loses_nothing(optimized: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tw.Engine.save
    calls = itertools.count()

    def full(engine: tw.Engine, path: Path) -> None:
        if next(calls) == 2:
            raise OSError(28, "No space left on device", str(path))
        real(engine, path)

    monkeypatch.setattr(tw.Engine, "save", full)
    with pytest.raises(OSError, match="No space left"):
        optimized(max_drop=50)
    assert len(optimized(max_drop=50).summary["tried"]) > 3
