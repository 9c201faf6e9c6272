from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jobs
import numpy as np
import pytest
import torch

import tilewise as tw
from tilewise.train import launch

SCRIPT = "from tilewise.cli import main\nif __name__ == '__main__':\n    main()\n"
SMALL = ("--model", "small", "--data", "digits", "--train-images", "40", "--epochs", "1")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two epochs that one process stopped after the first."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(InterruptedError):
        jobs.train("learned", epochs=2, stop=1, out=folder)
    return folder


@pytest.fixture(scope="module")
def together(stopped: Path) -> dict[str, Any]:
    """Return what two processes came to: started once for all tests, as a start takes seconds."""
    torch.set_num_threads(2)
    found = launch(jobs.everything, stopped, devices=2)
    assert found is not None
    return found


def check_close(one: dict[str, Any], two: dict[str, Any], rtol: float = 1e-8) -> None:
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=rtol, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("case", jobs.CASES)
def test_two_processes_give_the_weights_and_ranges_of_one(case: str, together: dict[str, Any]) -> None:
    check_close(jobs.train(**jobs.CASES[case]), together[case])


def test_two_processes_search_as_one(together: dict[str, Any]) -> None:
    one = jobs.search()
    assert any(abs(share - 1 / 3) > 0.05 for share in one.values())
    check_close(one, together["search"], rtol=1e-6)  # architecture parameters are float32


def test_ranges_are_those_of_the_whole_batch_to_the_bit(together: dict[str, Any]) -> None:
    one, two = jobs.train_natively(), together["native"]
    ranges = [name for name in one if name.endswith(("absmax", "negative", "batches"))]
    assert len(ranges) == 6 * 3 + 5 * 3
    assert all((one[name] == two[name]).all() for name in ranges)
    # A gradient that is nothing but rounding has any sign, and Adam's first step is its sign.
    weights = [name for name in one if name.endswith("weight")]
    assert all((np.abs(one[name] - two[name]) < 1e-5).mean() > 0.9 for name in weights)


def test_two_processes_resume_what_one_began(together: dict[str, Any]) -> None:
    check_close(jobs.train("learned", epochs=2), together["resumed"])


def test_processes_share_the_threads(together: dict[str, Any]) -> None:
    assert together["threads"] == 1


def test_a_batch_smaller_than_the_processes_is_refused(together: dict[str, Any]) -> None:
    assert together["too few"] == "a batch has 1 images, fewer than the 2 processes"


def test_a_process_that_dies_ends_the_others() -> None:
    with pytest.raises(RuntimeError, match=r"SIGKILL; a run with --out continues with --resume"):
        launch(jobs.die_in_the_second, devices=2)


BY_HAND = pytest.mark.long(reason="starts three processes to see the same end by Ctrl-C")


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=BY_HAND)])
def test_processes_speak_on_this_machine_only_and_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    path = [str(Path(__file__).parent), *sys.path]
    script = f"import sys; sys.path[:0] = {path}\nimport jobs\nfrom tilewise.train import launch\n"
    (tmp_path / "wait.py").write_text(
        f"{script}if __name__ == '__main__':\n    launch(jobs.wait_for_ever, {str(tmp_path)!r}, devices=2)\n"
    )
    parent = subprocess.Popen([sys.executable, "wait.py"], cwd=tmp_path)
    try:
        children = jobs.written(tmp_path, 2)
        listening = {pid: jobs.listeners(pid) for pid in children}
        assert any(listening.values())
        for addresses in listening.values():
            assert all(address in jobs.LOOPBACK for address in addresses), listening
    finally:
        parent.send_signal(number)
        parent.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in children):
            return
        time.sleep(0.1)
    pytest.fail("a child lives on")


def test_one_process_needs_nothing() -> None:
    assert launch(divmod, 7, 2) == (3, 1)


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for devices in (0, -1, 5):
        with pytest.raises(ValueError, match=rf"devices is {devices}; this machine has 4 cores, so 1 to 4"):
            launch(divmod, 7, 2, devices=devices)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="devices is 2; this machine has 1 GPUs"):
        launch(divmod, 7, 2, devices=2, device="cuda")
    with pytest.raises(ValueError, match="device is 'meta'; allowed with 2 devices: cpu, cuda"):
        launch(divmod, 7, 2, devices=2, device="meta")


def command_line(folder: Path, *start: str, batch: int, more: tuple[str, ...] = ()) -> Any:
    (folder / "script.py").write_text(SCRIPT)
    options = ("--batch", str(batch), "--out", "run", "--json", "result.json", *more)
    command = [sys.executable, *start, "script.py", "train", *SMALL, *options]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


@pytest.mark.long(reason="starts four processes that only torchrun's own environment sets apart from launch")
def test_under_torchrun_the_first_process_prints_and_writes(tmp_path: Path) -> None:
    run = command_line(
        tmp_path, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", batch=20
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("accuracy") == 1
    assert len(json.loads((tmp_path / "result.json").read_text())["log"]) == 1
    assert tw.load_weights(tw.zoo.small_cnn(), tmp_path / "run" / "best.safetensors")


@pytest.mark.long(reason="starts three processes for an error that launch has already been seen to hand on")
def test_what_goes_wrong_with_devices_is_one_line(tmp_path: Path) -> None:
    run = command_line(tmp_path, batch=39, more=("--devices", "2"))
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1] == "error: ValueError: a batch has 1 images, fewer than the 2 processes"
    assert not (tmp_path / "run" / "last.safetensors").exists()
