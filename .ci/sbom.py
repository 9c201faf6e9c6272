"""What a wheel consists of, as CycloneDX 1.6.

    python .ci/sbom.py WHEEL > sbom.json

Its files with their SHA-256, what it needs, and the versions that it is tested with (constraints.txt). Nothing is
asked of a network, and the same wheel gives the same bytes.
"""

from __future__ import annotations

import email
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"


def bill(wheel: Path) -> dict[str, Any]:
    """Return the bill of materials of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name: sha256(archive.read(name)) for name in sorted(archive.namelist())}
        (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(archive.read(metadata))
    name, version = about["Name"], about["Version"]
    needs = sorted(about.get_all("Requires-Dist", []))
    tested = pinned()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library", "bom-ref": f"pkg:pypi/{name}@{version}", "name": name, "version": version,
                "licenses": [{"license": {"id": about["License-Expression"]}}],
                "hashes": [{"alg": "SHA-256", "content": sha256(wheel.read_bytes())}],
                "components": [
                    {"type": "file", "name": file, "hashes": [{"alg": "SHA-256", "content": content}]}
                    for file, content in files.items()
                ],
            }
        },
        "components": [component(need, tested) for need in needs],
    }  # fmt: skip


def component(need: str, tested: dict[str, str]) -> dict[str, Any]:
    """Return the entry of something that the wheel needs, always or for an extra."""
    name = re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0]
    version = tested.get(canonical(name))
    known = {} if version is None else {"version": version, "purl": f"pkg:pypi/{canonical(name)}@{version}"}
    optional = "extra ==" in need
    return {
        "type": "library", "name": name, **known, "scope": "optional" if optional else "required",
        "properties": [{"name": "requirement", "value": need}],
    }  # fmt: skip


def pinned() -> dict[str, str]:
    """Return the versions that everything is tested with, by name."""
    lines = (line.partition("#")[0].strip() for line in CONSTRAINTS.read_text().splitlines())
    pairs = (line.split(";")[0].split("==") for line in lines if "==" in line)
    return {canonical(name): version.strip() for name, version in pairs}


def canonical(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    print(json.dumps(bill(Path(sys.argv[1])), indent=1))
