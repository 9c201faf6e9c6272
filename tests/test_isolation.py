"""Without any network: the commands that ask for none work, in a network namespace that is empty."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ISOLATED = ["unshare", "--net", "--map-root-user"]
REACHES = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
SCRIPT = """
import sys
from pathlib import Path
import torch
import tilewise as tw
from tilewise import zoo
from tilewise.cli import main

def cli(*words):
    sys.argv = ["tilewise", *words]
    main()

small = ("--model", "small", "--data", "digits", "--train-images", "64")
cli("train", *small, "--epochs", "1", "--out", "run")
weights = ("--weights", "run/best.safetensors")
cli("evaluate", *small, *weights, "--algorithm", "F4")
cli("compile", *small, *weights, "--algorithm", "F4", "--out", "net.tilewise")
cli("run", "net.tilewise", "--data", "digits")
cli("certify", "net.tilewise", "--threads", "1", "--out", "net.json")
cli("algorithms")
print("all done")
"""


def isolates() -> bool:
    """Whether this machine lets us make a network namespace."""
    return shutil.which("unshare") is not None and not subprocess.run([*ISOLATED, "true"], check=False).returncode


def test_commands_need_no_network(tmp_path: Path) -> None:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*ISOLATED, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine allows no network namespaces")
    reached = subprocess.run([*ISOLATED, sys.executable, "-c", REACHES], check=False, capture_output=True, text=True)
    assert "Network is unreachable" in reached.stderr
    done = subprocess.run(
        [*ISOLATED, sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all done\n")
