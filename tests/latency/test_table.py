"""Tables in files: whole lines, one machine, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tilewise as tw
from tilewise.latency import LatencyTable, Operation, Record
from tilewise.latency.table import open_table

from .conftest import ELSEWHERE, record_of, shape_of, work_of

POOL = Operation(op="pool", inputs=(("uint8", 16, 8, 8),), output=("uint8", 16, 4, 4), batch=1)


def records() -> list[Record]:
    works = [work_of(shape_of(16, 8)), work_of(shape_of(16, 8), output="float32", residual="uint8"), POOL]
    return [record_of(work, 1e-5 * i, "network") for i, work in enumerate(works, 1)]


def test_files_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.jsonl"
    LatencyTable(records()).save(path)
    assert list(LatencyTable.load(path)) == records()
    assert all(json.loads(line)["version"] == 1 for line in path.read_text().splitlines())


def test_the_later_record_counts(tmp_path: Path) -> None:
    table = LatencyTable(path=tmp_path / "t.jsonl")
    for seconds in (1.0, 2.0):
        table.append(record_of(POOL, seconds))
    assert len((tmp_path / "t.jsonl").read_text().splitlines()) == 2
    assert [r.seconds for r in LatencyTable.load(tmp_path / "t.jsonl")] == [2.0]
    table.append(record_of(POOL, 3.0, "grid"))
    assert len(table) == 2


def test_a_torn_line_is_left_out_and_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.jsonl"
    LatencyTable(records()).save(path)
    path.write_text(path.read_text()[:-20])
    table = LatencyTable.load(path)
    assert list(table) == records()[:2]
    assert "the last line is incomplete" in capsys.readouterr().err
    table.append(records()[2])
    assert list(LatencyTable.load(path)) == records()
    assert not capsys.readouterr().err
    path.write_text('{"version"')
    assert len(LatencyTable.load(path)) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: "),
        ("[]", "line 2: it is no latency record"),
        ('{"version": 9}', "line 2: it is of version 9; this release reads version 1"),
        ('{"version": 1, "work": {}}', "line 2: it is no latency record: 'shape'"),
        (records()[0].to_json().replace("1e-05", "-1"), "seconds is -1; allowed"),
        (records()[0].to_json().replace("1e-05", "NaN"), "seconds is nan; allowed"),
        (records()[0].to_json().replace("F4 int8", "F4 int3"), "dtype is 'int3'"),
        (records()[0].to_json().replace('"network"', '"hearsay"'), "source is 'hearsay'; allowed: network, grid"),
    ],
)
def test_damaged_lines_are_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(records()[1].to_json() + "\n" + line + "\n")
    with pytest.raises(ValueError, match=message):
        LatencyTable.load(path)


def test_other_machines_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    there = LatencyTable([record_of(POOL, 1.0, machine=ELSEWHERE)])
    there.save(path)
    with pytest.raises(ValueError, match="the latency table is of Elbrus, e2k, threads: 1; this is"):
        LatencyTable.load(path)
    table = LatencyTable.load(path, any_machine=True)
    assert table.machine == ELSEWHERE
    with pytest.raises(ValueError, match="use two tables"):
        table.append(record_of(POOL, 1.0))
    path.write_text(path.read_text() + record_of(POOL, 1.0).to_json() + "\n")
    with pytest.raises(ValueError, match=r"t\.jsonl, line 2: .* use two tables"):
        LatencyTable.load(path, any_machine=True)
    with pytest.raises(ValueError, match="is of Elbrus"):
        tw.measure(tw.zoo.small_cnn(channels=3), _example(), out=_saved(there, tmp_path))


def test_empty_tables_say_so() -> None:
    with pytest.raises(ValueError, match="the latency table is empty; measure it: tilewise measure"):
        _ = LatencyTable().machine
    with pytest.raises(FileNotFoundError):
        LatencyTable.load("nowhere.jsonl")
    with pytest.raises(
        ValueError, match="has no entry for F4 int8 of 16 -> 16 channels, 3x3, of 8x8, batch 1; measure"
    ):
        LatencyTable().seconds(shape_of(16, 8), tw.Winograd("F4"))


def _example() -> object:
    import torch

    return torch.zeros(1, 3, 32, 32)


def _saved(table: LatencyTable, folder: Path) -> Path:
    table.save(folder / "there.jsonl")
    return folder / "there.jsonl"


def test_a_foreign_file_is_left_as_it_is(tmp_path: Path) -> None:
    """One without an end of line, which is not the end that a kill left."""
    path = tmp_path / "t.jsonl"
    for content in ('{"my": "own"}', record_of(POOL, 1.0).to_json() + '\n{"my": "own"}'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"line \d: .*own.* is no latency record"):
            LatencyTable.load(path)
        with pytest.raises(ValueError, match=r"its end: .*own.* is no latency record"):
            LatencyTable(path=path).append(record_of(POOL, 1.0))
        assert path.read_text() == content


def test_one_at_a_time_measures_into_a_file(tmp_path: Path) -> None:
    path, record = tmp_path / "t.jsonl", record_of(POOL, 1.0)
    with open_table(path, record.machine) as table:
        table.append(record)
        with pytest.raises(ValueError, match="in use by process"), open_table(path, record.machine):
            pass
    with open_table(path, record.machine) as table:
        assert list(table) == [record]
