from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_to_run import KilledTraining, Report, training

from tilewise.sweep import Job, execute
from tilewise.sweep.execute import _check_room
from tilewise.train import checkpoint


def job(folder: Path, name: str, command: Any, threads: int = 1) -> Job:
    (folder / name).mkdir()
    return Job(name, command, folder / name, threads)


def result(one: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((one.folder / "result.json").read_text())
    return found


def test_one_after_the_other_and_a_failure_stops_no_other(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "a", Report()), job(tmp_path, "b", Report("depth")), job(tmp_path, "c", Report())]
    assert [(one.name, error) for one, error in execute(jobs)] == [("a", ""), ("b", "KeyError: 'depth'"), ("c", "")]
    assert [(one.folder / "output.txt").read_text() for one in jobs] == ["it ran\n"] * 3
    assert result(jobs[0]) == {"threads": 1, "process": os.getpid(), "place": str(Path.cwd())}
    assert not (jobs[1].folder / "result.json").exists()


@pytest.mark.long(reason="starts Ray and three workers")
def test_over_ray_a_killed_worker_loses_only_its_run_from_the_last_checkpoint_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    jobs = [
        job(tmp_path, "fine", Report(), threads=2),
        job(tmp_path, "wrong", Report("depth")),
        job(tmp_path, "killed", KilledTraining(tmp_path / "killed")),
    ]
    assert {one.name: error for one, error in execute(jobs, workers=2)} == {
        "fine": "", "wrong": "KeyError: 'depth'", "killed": "",
    }  # fmt: skip
    assert result(jobs[0])["threads"] == 2
    assert result(jobs[0])["process"] != os.getpid()
    assert result(jobs[0])["place"] == str(Path.cwd())

    assert (jobs[2].folder / "died").exists()
    assert len(result(jobs[2])["log"]) == 6
    torch.set_num_threads(1)
    training(tmp_path / "whole").run()
    killed, whole = (checkpoint.read(tmp_path / name / "last.safetensors")[0] for name in ("killed", "whole"))
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)


def test_what_can_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(tmp_path, "a", Report())]
    with pytest.raises(ValueError, match="workers is 0; it must be at least 1"):
        list(execute(jobs, workers=0))
    with pytest.raises(ValueError, match="both an address and workers"):
        list(execute(jobs, address="auto", workers=2))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeError, match=r"pip install 'tilewise\[sweep\]'"):
        list(execute(jobs, workers=2))
    assert not (tmp_path / "a" / "result.json").exists()


def test_a_job_larger_than_every_machine_does_not_wait_for_ever() -> None:
    class Cluster:
        def nodes(self) -> list[dict[str, Any]]:
            return [
                {"Alive": True, "Resources": {"CPU": 4.0}},
                {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 1.0}},
            ]

    _check_room(Cluster(), {"a": {"CPU": 4, "GPU": 0}})
    with pytest.raises(ValueError, match="run b needs 8 CPUs and 1 GPUs of one machine, and none has as many"):
        _check_room(Cluster(), {"a": {"CPU": 1, "GPU": 0}, "b": {"CPU": 8, "GPU": 1}})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "nowhere", "host:port"])
def test_a_cluster_that_is_not_there(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match=f"no Ray cluster at {address}: "):
        list(execute([job(tmp_path, "a", Report())], address=address))
