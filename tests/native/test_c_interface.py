"""The C interface as a user of the package builds with it: the example, by pkg-config's file and by CMake's package."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.engine.interface import c_interface

EXAMPLE = Path(__file__).parents[2] / "examples" / "c" / "classify.c"
CMAKE_LISTS = """
cmake_minimum_required(VERSION 3.26)
project(user C CXX)
find_package(tilewise 0.1 REQUIRED)
add_executable(shared classify.c)
target_link_libraries(shared PRIVATE tilewise::tilewise)
add_executable(static classify.c)
target_link_libraries(static PRIVATE tilewise::static)
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[tw.Engine, Path]:
    """A small network in float that averages whatever it is given."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    engine = tw.compile(model, torch.zeros(1, 3, 16, 16))
    path = tmp_path_factory.mktemp("c") / "net.tilewise"
    engine.save(path)
    return engine, path


def _check(program: Path, engine: tw.Engine, path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 12, 20, 3), np.uint8)
    environment = os.environ | {"LD_LIBRARY_PATH": str(c_interface()["lib"])}
    done = subprocess.run([program, path, "12", "20"], input=image.tobytes(), capture_output=True, check=True,
                          env=environment)  # fmt: skip
    scores = engine(image, layout="NHWC")[0]
    best, score = done.stdout.split()
    assert int(best) == scores.argmax()
    assert float(score) == pytest.approx(float(scores.max()), rel=1e-5)
    refused = subprocess.run([program, path, "1", "2"], input=image.tobytes(), capture_output=True, check=False,
                             text=False, env=environment)  # fmt: skip
    assert refused.returncode == 1
    assert b"the height of its input is 1, must be at least 3" in refused.stderr


def test_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 50


def test_example_by_the_flags_of_pkg_config(network: tuple[tw.Engine, Path], tmp_path: Path) -> None:
    folders = c_interface()
    text = (folders["pkgconfig"] / "tilewise.pc").read_text().replace("${pcfiledir}", str(folders["pkgconfig"]))
    variables = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and ": " not in line)
    flags = [line.split(": ", 1)[1] for line in text.splitlines() if line.startswith(("Cflags: ", "Libs: "))]
    words = " ".join(flags)
    for _ in variables:
        for name, value in variables.items():
            words = words.replace(f"${{{name}}}", value)
    program = tmp_path / "classify"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", str(EXAMPLE), *words.split(), "-o", str(program)]
    subprocess.run(command, check=True)
    _check(program, *network)


def test_example_by_the_cmake_package(network: tuple[tw.Engine, Path], tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(CMAKE_LISTS)
    shutil.copy(EXAMPLE, tmp_path)
    folder = f"-Dtilewise_DIR={c_interface()['cmake']}"
    subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build", folder], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", tmp_path / "build"], check=True, capture_output=True)
    for name in ("shared", "static"):
        _check(tmp_path / "build" / name, *network)
