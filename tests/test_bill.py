"""The bill of materials of a wheel: its files, what it needs, and the versions that it is tested with."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "sbom.py"
METADATA = """Metadata-Version: 2.4
Name: tilewise
Version: 0.1.0
License-Expression: Apache-2.0
Requires-Dist: numpy>=2.0
Requires-Dist: ray>=2.60; extra == "sweep"
Requires-Dist: unheard-of
"""


def test_a_wheel(tmp_path: Path) -> None:
    wheel = tmp_path / "tilewise-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tilewise/__init__.py", "x = 1\n")
        archive.writestr("tilewise-0.1.0.dist-info/METADATA", METADATA)
    runs = [subprocess.run([sys.executable, SCRIPT, wheel], check=True, capture_output=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout
    bill = json.loads(runs[0].stdout)
    whole = bill["metadata"]["component"]
    assert whole["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    files = {file["name"]: file["hashes"][0]["content"] for file in whole["components"]}
    assert files["tilewise/__init__.py"] == hashlib.sha256(b"x = 1\n").hexdigest()
    parts = {part["name"]: part for part in bill["components"]}
    assert {name: part["scope"] for name, part in parts.items()} == {
        "numpy": "required", "ray": "optional", "unheard-of": "required",
    }  # fmt: skip
    assert parts["numpy"]["purl"] == f"pkg:pypi/numpy@{parts['numpy']['version']}"
    assert "version" not in parts["unheard-of"]
