from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "footprint.py"


def test_every_library_answers(tmp_path: Path) -> None:
    for library in ("onnxruntime", "openvino"):
        pytest.importorskip(library)
    command = [sys.executable, SCRIPT, "--networks", "resnet20", "--launches", "1", "--json", tmp_path / "found.json"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    table = (tmp_path / "found.md").read_text()
    for library in ("tilewise", "onnxruntime", "openvino"):
        assert f"| resnet20 | {library} | " in table
