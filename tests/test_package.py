"""What holds the house together: public names, import directions, no torch where none is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tilewise

ROOT = Path(tilewise.__file__).parent
# Each part may import those before it. zoo and data stand beside train; experiments, report and cli stand on all.
LAYERS = [
    "common", "algebra", "quant", "nn", "doors", "conversion", "engine", "calibration", "train", "latency", "winas",
    "discovery", "zoo", "data", "sweep", "experiments", "report", "optimization", "commands", "cli",
]  # fmt: skip
# What may use the compiled module; all else works without a compiler.
NATIVE = {"nn", "engine", "latency", "experiments", "report", "commands"}


def imports_of(path: Path) -> set[str]:
    """Parts of the package that a file imports, at the top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tilewise."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "tilewise":
            found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("part", LAYERS)
def test_imports_go_downwards(part: str) -> None:
    files = [ROOT / f"{part}.py"] if (ROOT / f"{part}.py").exists() else sorted((ROOT / part).rglob("*.py"))
    assert files
    allowed = set(LAYERS[: LAYERS.index(part) + 1]) | ({"_native"} if part in NATIVE else set())
    for path in files:
        assert imports_of(path) <= allowed, path


# The modules of latency, in the same way: a table asks nothing of what measures it.
LATENCY = [
    "shapes", "candidates", "records", "operations", "layers", "models", "interpolation", "table", "timing",
    "measuring", "remote", "requests",
]  # fmt: skip


def test_latency_imports_go_downwards() -> None:
    assert {path.stem for path in (ROOT / "latency").glob("*.py")} - {"__init__"} == set(LATENCY)
    for place, module in enumerate(LATENCY):
        tree = ast.parse((ROOT / "latency" / f"{module}.py").read_text())
        names = (node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
        own = {name.split(".")[2] for name in names if name.startswith("tilewise.latency.")}
        assert own <= set(LATENCY[:place]), module


def test_every_part_has_its_place() -> None:
    parts = {p.stem for p in ROOT.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == set(LAYERS)


def test_public_names() -> None:
    for name in tilewise.__all__:
        assert getattr(tilewise, name).__doc__, name
    assert set(tilewise.__all__) <= set(dir(tilewise))
    assert sorted(tilewise.__all__, key=lambda n: (n.islower(), n)) == tilewise.__all__
    with pytest.raises(AttributeError, match="no attribute 'winograd'"):
        _ = tilewise.winograd


def test_algebra_and_specs_need_no_torch() -> None:
    code = "import sys, tilewise; tilewise.algorithm('F4'); tilewise.Winograd('F4'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_needs_no_torch() -> None:
    """It imports every command."""
    code = "import sys, tilewise.cli, tilewise.commands.catalogue; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_submodules_do_not_hide_public_functions() -> None:
    code = (
        "import tilewise.train, tilewise.winas.loop, tilewise.engine.compiler, tilewise.data.loading, tilewise as tw;"
        "import tilewise.optimization.run;"
        "assert all(map(callable, (tw.convert, tw.calibrate, tw.compile, tw.load, tw.search, tw.optimize)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_engine_needs_no_torch() -> None:
    code = "import sys, tilewise as tw; tw.load, tw.Engine; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_files_stay_short() -> None:
    long = {p.name: n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long
