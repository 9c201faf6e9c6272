"""A process of its own for each peer; ours stands for all, because it needs no further package."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import tilewise
from peers import cases
from peers.driver import Job, Team, isa_settings, variants_of
from peers.runner import Variant
from peers.sample_file import write_sample
from peers.worker import Worker, WorkerError

JOB = Job(
    cases=("64 ch, 32x32", "ResNet-20, 32x32"), dtypes=("int8", "fp32"), peers=("tilewise",), threads=(1,),
    batches=(1, 8), layer_batches=(1,), launches=2, rounds=2, seconds=0.001,
)  # fmt: skip


def test_units_come_case_by_case() -> None:
    keys = list(JOB.keys())
    assert len(keys) == len(set(keys)) == 2 * (2 + 4)
    assert keys[:3] == [
        ("64 ch, 32x32", "int8", 1, 1, 0), ("64 ch, 32x32", "fp32", 1, 1, 0), ("ResNet-20, 32x32", "int8", 1, 1, 0),
    ]  # fmt: skip


def test_batches_of_layers_and_networks() -> None:
    keys = list(replace(JOB, layer_batches=(1, 8), dtypes=("int8",), launches=1).keys())
    assert [(case, batch) for case, _, batch, _, _ in keys] == [
        (case, batch) for case in ("64 ch, 32x32", "ResNet-20, 32x32") for batch in (1, 8)
    ]


def test_instructions_are_spelled_as_each_wants_them() -> None:
    assert isa_settings("") == {}
    assert isa_settings("avx2")["DNNL_MAX_CPU_ISA"] == "AVX2"
    assert isa_settings("avx2")["TILEWISE_ISA"] == "avx2"


def test_a_worker_answers_refuses_and_dies(tmp_path: Path) -> None:
    worker = Worker("tilewise", 1, {}, tmp_path / "log")
    assert worker.ask("version") == tilewise.__version__
    with pytest.raises(WorkerError, match="FileNotFoundError"):
        worker.ask("build", Variant("direct", "int8"), str(tmp_path / "missing"))
    assert worker.alive
    worker.stop()
    with pytest.raises(WorkerError):
        worker.ask("version")
    assert not worker.alive


def test_a_team_measures_and_leaves_out_what_is_refused(tmp_path: Path) -> None:
    write_sample(cases.make("64 ch, 32x32", 1), tmp_path)
    variants = variants_of("tilewise", "int8", layer=True)[:2]
    team = Team(JOB, 1, tmp_path / "log")
    found = team.build("tilewise", [*variants, Variant("F3.5", "int8")], str(tmp_path))
    team.rounds(found)
    team.free()
    team.stop()
    assert [contender.variant for contender in found] == ["direct", "F2", "F3.5"]
    assert [len(contender.call) for contender in found] == [2, 2, 0]
    assert [len(contender.node) for contender in found] == [2, 2, 0]
    assert found[0].error < found[1].error < 0.03
    assert "F3.5" in found[2].note
