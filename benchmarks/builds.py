"""Time two builds of Tilewise against each other, in turns: ``python benchmarks/builds.py OLD NEW``.

OLD and NEW are folders to import ``tilewise`` from, such as ``src`` of two checkouts with the native module in it.
Each runs in a process of its own; both compile the same networks and single layers from the same seed, and take turns
call by call. Results must be equal to the bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LAYERS = ((64, 56), (128, 28), (256, 14), (512, 7))
"""Channels and map size of single 3x3 layers."""


def networks() -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Yield names, models ready to compile, and the shapes of their images."""
    import torch
    from torch import nn

    import tilewise as tw

    torch.manual_seed(0)
    f4, sfc, direct = tw.Winograd("F4", bits=8), tw.Winograd("SFC6", bits=8), tw.Direct(bits=8)
    specs = {"F4": f4, "SFC6": sfc, "direct": direct, "lossless": tw.Exact()}
    models: list[tuple[str, nn.Module, Any, int]] = [
        ("ResNet-20 F4", tw.zoo.MODELS["resnet20"](), f4, 32),
        ("ResNet-18 32x32 F4", tw.zoo.MODELS["resnet18"](), f4, 32),
        ("ResNet-18 224x224 F4", tw.zoo.MODELS["resnet18_224"](), f4, 224),
        ("ResNet-18 224x224 direct", tw.zoo.MODELS["resnet18_224"](), direct, 224),
        ("U-Net 128x128 SFC6", tw.zoo.MODELS["unet"](), sfc, 128),
    ]
    for channels, size in LAYERS:
        for label, spec in specs.items():
            layer = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
            models.append((f"{channels} channels {size}x{size} {label}", layer, spec, size))
    for name, model, spec, size in models:
        shape = (1, next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels, size, size)
        quantized = tw.convert(model.eval(), {"*": spec}, skips="quantized")
        yield name, tw.calibrate(quantized, [torch.randn(2, *shape[1:])]), shape


def work(threads: int) -> None:
    """Compile everything, then run what each line of the input asks for: the number of a network, or its digest."""
    import numpy as np
    import torch

    import tilewise as tw

    engines = []
    for name, model, shape in networks():
        engine = tw.compile(model, torch.zeros(*shape), threads=threads)
        images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        digest = hashlib.sha256(engine(images).tobytes()).hexdigest()
        engines.append((engine, images))
        print(json.dumps({"name": name, "digest": digest}), flush=True)
    print("ready", flush=True)
    for line in sys.stdin:
        engine, images = engines[int(line)]
        engine(images)
        start = time.perf_counter()
        engine(images)
        print(time.perf_counter() - start, flush=True)


class Worker:
    """A build in a process of its own."""

    def __init__(self, folder: Path, threads: int) -> None:
        environment = os.environ | {"PYTHONPATH": str(folder)}
        command = [sys.executable, __file__, "--work", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.networks: list[dict[str, str]] = []
        while (line := self._line()) != "ready":
            self.networks.append(json.loads(line))

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError("a build ended early; its error is above")
        return line

    def seconds(self, network: int) -> float:
        """Return what one call takes, after one that is not measured."""
        assert self.process.stdin is not None
        print(network, file=self.process.stdin, flush=True)
        return float(self._line())


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path, nargs="?")
    parser.add_argument("new", type=Path, nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work)
    if options.old is None or options.new is None:
        parser.error("two folders are needed, OLD and NEW")
    old, new = (Worker(folder, options.threads) for folder in (options.old, options.new))
    rows = []
    for i, (a, b) in enumerate(zip(old.networks, new.networks, strict=True)):
        times = [(old.seconds(i), new.seconds(i)) for _ in range(options.rounds)]
        ratios = sorted(n / o for o, n in times)
        row = {
            "name": a["name"], "same_bytes": a["digest"] == b["digest"],
            "old_ms": 1e3 * statistics.median(o for o, _ in times),
            "new_ms": 1e3 * statistics.median(n for _, n in times), "ratio": statistics.median(ratios),
            "quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
        }  # fmt: skip
        rows.append(row)
        low, high = row["quartiles"]
        same = "same bytes" if row["same_bytes"] else "OTHER BYTES"
        print(
            f"{row['name']:40} {row['old_ms']:8.3f} ms {row['new_ms']:8.3f} ms  "
            f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})  {same}", flush=True,
        )  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
