"""A pipeline within ONNX Runtime, with Tilewise programs and without: ``benchmarks/onnx_runtime.py A.onnx B.onnx``.

The files have the same inputs (``tw.accelerate_onnx`` wrote one from the other). Sessions on as many threads take
turns, and the figures are milliseconds of a whole ``Run``: median, and the fastest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


def open_session(path: Path, threads: int) -> Any:
    """Open a file with so many threads, for ONNX Runtime's own operations and for programs."""
    import onnxruntime

    import tilewise as tw

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("tilewise.threads", str(threads))
    options.register_custom_ops_library(tw.onnx_runtime_library())
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def images_for(session: Any, batch: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return noise of the inputs' shapes: open extents are the batch, 3 channels, or the size."""
    random, given = np.random.default_rng(0), {}
    for entry in session.get_inputs():
        last = isinstance(entry.shape[-1], int) and entry.shape[-1] <= 4
        wanted = (batch, *size, 3) if last else (batch, 3, *size)
        shape = [have if isinstance(have, int) else want for have, want in zip(entry.shape, wanted, strict=True)]
        given[entry.name] = random.integers(0, 256, shape).astype(TYPES[entry.type])
    return given


def main() -> None:
    """Time the files in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", default="224x224", help="of images, where the file leaves it open")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    height, width = (int(extent) for extent in options.size.split("x"))
    sessions = {str(path): open_session(path, options.threads) for path in options.files}
    given = images_for(next(iter(sessions.values())), options.batch, (height, width))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for turn in range(options.repeats + 3):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, given)
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    rows = {name: {"median_ms": statistics.median(own), "fastest_ms": min(own)} for name, own in times.items()}
    for name, row in rows.items():
        print(f"{name}: {row['median_ms']:.3f} ms, fastest {row['fastest_ms']:.3f} ms")
    if options.json:
        options.json.write_text(
            json.dumps({"threads": options.threads, "batch": options.batch, "files": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
