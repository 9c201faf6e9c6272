"""What scoring a quantized ResNet-20 takes: in torch, with layers run natively one by one, and as ``tw.evaluate`` does.

    python -m tilewise.experiments.scoring [--images 1000] [--json FILE]

Weights and images are random: times do not depend on them. They are CPU time, on which other processes have little
influence. What differs is counted too: of the logits those that are
not the torch model's to the bit, for ``natively`` (none) and for the engine, which folds batch norms into scales.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.common.files import write_json
from tilewise.engine.layerwise import natively
from tilewise.latency import Machine

ALGORITHMS = ("direct", "SFC6-planar", "F2", "F4", "F6")
BATCH = 250


def timed(run: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call; the second one counts, as the first one touches memory."""
    run()
    began = time.process_time()
    run()
    return time.process_time() - began


def all_logits(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return what a model gives for all images."""
    with torch.no_grad():
        return torch.cat([model(x) for x, _ in batches])


def measure(name: str, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """Measure one network; times in ms an image, ``compile``, a part of ``evaluate``, in seconds."""
    torch.manual_seed(0)
    spec = tw.Direct() if name == "direct" else tw.Winograd(name)
    model = tw.calibrate(tw.convert(zoo.resnet20(), {"*": spec}), batches, limit=1)
    images = sum(len(x) for x, _ in batches)
    in_torch = timed(lambda: all_logits(model, batches))
    with natively(model):
        layers = timed(lambda: all_logits(model, batches))
        logits = all_logits(model, batches)
    whole = timed(lambda: tw.evaluate(model, batches))
    began = time.process_time()
    fast = tw.accelerate(model, batches[0][0][:1], threads=torch.get_num_threads())
    compiled, reference = time.process_time() - began, all_logits(model, batches)
    return {
        "algorithm": name,
        "torch": 1e3 * in_torch / images,
        "natively": 1e3 * layers / images,
        "evaluate": 1e3 * whole / images,
        "engine": 1e3 * timed(lambda: all_logits(fast, batches)) / images,
        "compile": compiled,
        "natively_differ": float((logits != reference).float().mean()),
        "engine_differ": float((all_logits(fast, batches) != reference).float().mean()),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    x = torch.randn(options.images, 3, 32, 32)
    batches = [(part, torch.zeros(len(part), dtype=torch.int64)) for part in torch.split(x, BATCH)]
    rows = [measure(name, batches) for name in ALGORITHMS]
    table = Table(*rows[0], title="ResNet-20, ms an image; compile in s; share of logits that differ from torch's")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()))
    Console(width=120).print(table)
    if options.json is not None:
        result = {"images": options.images, "machine": str(Machine.here(1)), "rows": rows}
        write_json(options.json, result)


if __name__ == "__main__":
    main()
