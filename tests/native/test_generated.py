"""Generated C++ is what its generator writes now."""

from __future__ import annotations

import runpy
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "native" / "kernels" / "generate_algorithms.py"


def test_algorithm_headers_are_up_to_date() -> None:
    for path, source in runpy.run_path(str(GENERATOR))["FILES"].items():
        assert path.read_text() == source(), f"run {GENERATOR.name}"
