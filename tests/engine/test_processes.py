"""Engines and processes: forks, calls from many threads, and the end of the interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tilewise as tw

PRELUDE = """
import os, sys, threading, time
import numpy as np
import tilewise as tw
engine = tw.load(sys.argv[1], threads=len(os.sched_getaffinity(0)))
x = np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype=np.float32)
expected = engine(x)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def calls():
    for _ in range(3):
        assert np.array_equal(engine(x), expected)
"""
SCRIPTS = {
    "a child calls": "assert child(calls) == 0; calls()",
    "a child's child calls": "assert child(lambda: calls() or os._exit(child(calls))) == 0; calls()",
    "a child drops the engine": "def drop():\n    global engine\n    del engine\nassert child(drop) == 0; calls()",
    "a child loads another": """
def another():
    global engine
    engine = tw.load(sys.argv[1], threads=len(os.sched_getaffinity(0)))
    calls()
assert child(another) == 0
""",
    "a child exits as Python does": """
pid = os.fork()
if pid == 0:
    calls()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
""",
    "a fork while others call": """
stop = False
def work():
    while not stop:
        calls()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
codes = [child(calls) for _ in range(20)]
stop = True
for thread in threads: thread.join()
assert codes == [0] * 20, codes
""",
    "exit while others call": """
def work():
    while True:
        engine(x)
for _ in range(4): threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
""",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))
    network = tw.calibrate(tw.convert(model, {"*": tw.Winograd("F4", bits=8)}), [torch.randn(2, 3, 32, 32)])
    path = tmp_path_factory.mktemp("processes") / "small.tilewise"
    tw.compile(network, torch.zeros(1, 3, 32, 32)).save(path)
    return path


@pytest.mark.parametrize("name", SCRIPTS)
def test_processes(file: Path, name: str) -> None:
    for _ in range(5 if name == "exit while others call" else 1):
        ended = subprocess.run(
            [sys.executable, "-c", PRELUDE + SCRIPTS[name], str(file)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (ended.returncode, ended.stderr) == (0, "")
