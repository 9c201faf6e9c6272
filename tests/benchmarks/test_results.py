from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_units import ABOUT, unit

from peers.results import Results, merged, read


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    first = Results(path, ABOUT)
    first.add(unit())
    again = Results(path, json.loads(json.dumps(ABOUT)))
    assert unit().key in again
    assert unit("128 ch, 16x16").key not in again
    assert unit(launch=1).key not in again
    again.add(unit("128 ch, 16x16"))
    units, about = read(path)
    assert units == [unit(), unit("128 ch, 16x16")]
    assert about == ABOUT
    assert [file.name for file in path.parent.iterdir()] == ["bench.json"]


def test_a_failed_contender_survives_the_file(tmp_path: Path) -> None:
    results = Results(tmp_path / "bench.json", ABOUT)
    results.add(unit())
    failed = read(results.path)[0][0].contenders[-1]
    assert failed.error is None
    assert failed.note == "ValueError: not here"


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    Results(path, ABOUT).add(unit())
    with pytest.raises(ValueError, match="measured with rounds 3, now it is 15; give another --json"):
        Results(path, {**ABOUT, "rounds": 15})


def test_launches_come_together() -> None:
    two = unit(launch=1, ours=3e-3)
    two.peaks = {name: 3 * value for name, value in two.peaks.items()}
    together = merged([unit(), unit("128 ch, 16x16"), two])
    assert [u.case for u in together] == ["64 ch, 32x32", "128 ch, 16x16"]
    assert together[0].contenders[0].node == [1e-3] * 3 + [3e-3] * 3
    assert together[0].peaks["int8_operations"] == 8e11
    assert len(together[1].contenders[0].call) == 3


def test_who_failed_in_one_launch_is_out() -> None:
    broken = unit(launch=1)
    broken.contenders[1].call = []
    broken.contenders[1].note = "its process died"
    found = merged([unit(), broken])[0].contenders[1]
    assert found.call == []
    assert found.note == "its process died"
