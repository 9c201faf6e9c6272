"""Tuning measures candidates, keeps the fastest and changes no result beyond what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.engine import engine as engine_module
from tilewise.engine import tuning

NAMES = [tw.algorithm(name).name for name in tuning.ALGORITHMS]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 16, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    ).eval()  # fmt: skip


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Replace measured times by what the test says: by algorithm of an operation, or by its block of tiles."""
    table: dict[str, float] = {}

    def profile(self: Any, x: Any, *, repeats: int) -> list[dict[str, Any]]:
        del x, repeats
        rows = []
        for operation in self.program.operations:
            key = operation["algorithm"] if operation["op"] == "fast" else operation["op"]
            rows.append({"seconds": table.get(f"{key} {operation.get('block')}", table.get(key, 1.0))})
        return rows

    monkeypatch.setattr(engine_module.Engine, "profile", profile)
    return table


def fast(engine: tw.Engine) -> list[str]:
    return [o["algorithm"] for o in engine.program.operations if o["op"] == "fast"]


def test_the_fastest_algorithm_of_a_float_layer_is_kept(costs: dict[str, float], tmp_path: Path) -> None:
    costs |= {"direct": 1.0} | dict(zip(NAMES, (0.7, 0.5, 0.6), strict=True))
    model, x = network(), torch.randn(1, 3, 12, 12)
    engine = tw.compile(model, x, tune=True)
    names = {algorithm: choice for choice in engine.choices for algorithm in [choice.chosen]}
    assert "F4" in names
    assert len(fast(engine)) == 1
    assert engine.choices[0].seconds.keys() == {"direct", "F2", "F4", "F6"}
    with torch.no_grad():
        torch.testing.assert_close(engine(x), model(x), rtol=1e-4, atol=1e-4)
    engine.save(tmp_path / "a.tilewise")
    again = tw.load(tmp_path / "a.tilewise")
    assert fast(again) == fast(engine)
    assert (again(x) == engine(x)).all()


def test_direct_stays_where_it_is_fastest(costs: dict[str, float]) -> None:
    costs |= {"direct": 0.5}
    assert fast(tw.compile(network(), torch.randn(1, 3, 12, 12), tune=True)) == []


def test_noise_changes_nothing(costs: dict[str, float]) -> None:
    costs |= {"direct": 1.0} | dict.fromkeys(NAMES, 0.99)
    assert fast(tw.compile(network(), torch.randn(1, 3, 12, 12), tune=True)) == []


def test_quantized_layers_keep_algorithm_and_result(costs: dict[str, float]) -> None:
    x = torch.randn(1, 3, 20, 20)
    model = tw.convert(network(), {"*": tw.Winograd("F4")}).eval()
    tw.calibrate(model, [x])
    plain = tw.compile(model, x)
    name = fast(plain)[0]
    costs |= {"direct": 0.01, f"{name} 0": 1.0, f"{name} 24": 0.5}
    engine = tw.compile(model, x, tune=True)
    assert fast(engine) == fast(plain)
    assert [o["block"] for o in engine.program.operations if o["op"] == "fast"] == [24] * len(fast(plain))
    assert (engine(x) == plain(x)).all()


def test_measured_on_this_machine() -> None:
    model, x = network(), torch.randn(2, 3, 12, 12)
    engine = tw.compile(model, x.numpy(), tune=True)
    assert all(set(choice.seconds) >= {choice.chosen} for choice in engine.choices)
    assert all(time > 0 for choice in engine.choices for time in choice.seconds.values())
    with torch.no_grad():
        np.testing.assert_allclose(engine(x), model(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block", tuning.BLOCKS)
def test_blocks_change_no_bit(block: int) -> None:
    x = torch.randn(1, 8, 30, 30)
    model = tw.convert(nn.Sequential(nn.Conv2d(8, 20, 3, padding=1)), {"*": tw.Winograd("F4")}).eval()
    tw.calibrate(model, [x])
    engine = tw.compile(model, x)
    changed = tuning.with_block(engine.program, block)
    assert (tw.Engine(changed.to_bytes())(x) == engine(x)).all()


def test_a_block_out_of_range_is_refused() -> None:
    model = tw.convert(nn.Sequential(nn.Conv2d(8, 20, 3, padding=1)), {"*": tw.Winograd("F4")}).eval()
    x = torch.randn(1, 8, 9, 9)
    tw.calibrate(model, [x])
    program = tw.compile(model, x).program
    with pytest.raises(ValueError, match=r"block is 4097, must be 0\.\.4096"):
        tw.Engine(tuning.with_block(program, 4097).to_bytes())
