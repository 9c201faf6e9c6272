"""Who builds a release again gets the same bytes: nothing of the place and the time of a build is in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tilewise import _native

ROOT = Path(__file__).parents[1]
PARTS = ("CMakeLists.txt", "LICENSE", "README.md", "pyproject.toml", "cmake", "native", "packaging", "src")
BUILD = "from scikit_build_core.build import build_sdist as build; print(build('out'))"


def test_two_sdists_are_the_same(tmp_path: Path) -> None:
    digests = []
    for place, umask in ((tmp_path / "here", 0o022), (tmp_path / "some" / "where" / "else", 0o027)):
        place.mkdir(parents=True)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
            copy(ROOT / part, place / part)
        environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
        done = subprocess.run([sys.executable, "-c", BUILD], cwd=place, env=environment,
                              check=True, capture_output=True, text=True, umask=umask)  # fmt: skip
        digests.append(hashlib.sha256((place / "out" / done.stdout.split()[-1]).read_bytes()).hexdigest())
    assert digests[0] == digests[1]


def test_the_native_module_knows_no_place() -> None:
    content = Path(_native.__file__).read_bytes()
    assert str(ROOT).encode() not in content
    assert str(Path.home()).encode() + b"/" not in content


def test_no_source_asks_when_it_is_compiled() -> None:
    for path in (ROOT / "native").rglob("*"):
        if path.suffix in {".h", ".inc", ".cpp", ".c"}:
            assert not any(word in path.read_text() for word in ("__DATE__", "__TIME__", "__TIMESTAMP__")), path
