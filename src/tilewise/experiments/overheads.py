"""What the engine costs around its kernels: import, load, one call, memory.

    python -m tilewise.experiments.overheads [--json FILE]

Import: `import tilewise` in fresh processes, and that no torch comes with it. Load: `tilewise.load` of a ResNet-18
(width 1, CIFAR) in a process without torch, direct int8 and F4 int8. Call: a network of one ReLU on one pixel.
Memory: resident bytes that the first call adds (arena and scratch), and 50 more, beside what activations take. Medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import tilewise as tw
from tilewise.latency import Machine
from tilewise.zoo import resnet18

LOAD = """
import json, sys, time
import numpy as np
import tilewise
import tilewise.engine
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
seconds = []
for _ in range(5):
    start = time.perf_counter()
    engine = tilewise.load(sys.argv[1])
    seconds.append(time.perf_counter() - start)
loaded = resident()
x = np.zeros((1, 3, 32, 32), np.float32)
engine(x)
first = resident()
for _ in range(50):
    engine(x)
assert "torch" not in sys.modules
print(json.dumps({"seconds": sorted(seconds)[2], "first": seconds[0], "loaded": loaded, "called": first - loaded,
                  "later": resident() - first, "arena": engine.activation_bytes}))
"""
IMPORT = "import sys, tilewise; tilewise.load; assert 'torch' not in sys.modules"


def import_seconds() -> float:
    """Median over processes of the time to import, less that of an empty process."""

    def run(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return statistics.median(run(IMPORT) - run("pass") for _ in range(7))


def load_figures(spec: tw.Direct | tw.Winograd, folder: Path) -> dict[str, Any]:
    """Save a ResNet-18, and load it elsewhere."""
    x = torch.randn(2, 3, 32, 32)
    model = tw.calibrate(tw.convert(resnet18().eval(), {"*": spec}, skips="quantized"), [x])
    path = folder / "net.tilewise"
    tw.compile(model, x[:1]).save(path)
    done = subprocess.run([sys.executable, "-c", LOAD, path], check=True, capture_output=True, text=True)
    return {**json.loads(done.stdout), "file": path.stat().st_size}


def call_seconds() -> float:
    """Median time of a call with next to nothing to compute."""
    engine = tw.compile(nn.Sequential(nn.ReLU()).eval(), torch.zeros(1, 1, 1, 1))
    x = np.ones((1, 1, 1, 1), np.float32)
    times = []
    for _ in range(2000):
        start = time.perf_counter()
        engine(x)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        loads = {
            name: load_figures(spec, Path(folder))
            for name, spec in (("direct int8", tw.Direct()), ("F4 int8", tw.Winograd("F4")))
        }
    result: dict[str, Any] = {
        "machine": str(Machine.here(1)),
        "import": import_seconds(),
        "call": call_seconds(),
        "load": loads,
    }
    table = Table("what", "figure", title=str(result["machine"]))
    table.add_row("import tilewise, without torch", f"{result['import']:.3f} s")
    table.add_row("one call", f"{result['call'] * 1e6:.1f} us")
    for name, row in loads.items():
        table.add_row(f"load ResNet-18 {name}, {row['file'] / 2**20:.1f} MiB", f"{row['seconds'] * 1e3:.1f} ms")
        table.add_row("  first load of the process", f"{row['first'] * 1e3:.1f} ms")
        table.add_row("  arena", f"{row['arena'] / 1024:.0f} KiB")
        table.add_row("  memory touched by the first call", f"{row['called'] / 1024:.0f} KiB")
        table.add_row("  by 50 more", f"{row['later'] / 1024:.0f} KiB")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
