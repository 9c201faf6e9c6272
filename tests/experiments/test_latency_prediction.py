from __future__ import annotations

from pathlib import Path

from tilewise.experiments.latency_prediction import figure


def test_predictions_are_drawn(tmp_path: Path) -> None:
    rows = [{"predicted": 1e-3 * x, "measured": 2e-3, "error": x / 2 - 1} for x in (1, 2, 3)]
    result = {"machine": "here", "within": 0.1, "networks": {"small": {"random": rows, "uniform": rows[:1]}}}
    figure(result, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10000
