"""Trained networks on all test images: the engine against its simulation in torch, and against the trained model.

    python -m tilewise.experiments.bitwise --data-root DIR --weights FILE [FILE ...] [--json FILE]

FILE is a checkpoint of `tilewise adapt --model resnet20 --data cifar10` (accuracy.sh has the recipes). Every kernel set
that this machine supports runs, with one thread and with all; the slow `reference` set sees 200 images. The simulation
folds batch norms into scales as the engine does, and must give the same bits. The trained model does not fold them, so
roundings next to a half may differ; how many logits and answers that changes is reported.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

import tilewise as tw
from tilewise import _native, zoo
from tilewise.data import Images
from tilewise.engine.simulation import Simulation
from tilewise.latency import Machine

BATCH = 100
REFERENCE_IMAGES = 200


def outputs(run: Any, images: torch.Tensor, text: str) -> NDArray[np.float32]:
    """Logits of all images, batch by batch."""
    with torch.no_grad():
        return np.concatenate([run(x).numpy() for x in track(torch.split(images, BATCH), text)])


def accuracy(logits: NDArray[np.float32], test: Images) -> float:
    """Share of right answers in percent."""
    return float((logits.argmax(1) == test.labels.numpy()[: len(logits)]).mean() * 100)


def measure(path: Path, test: Images, x: torch.Tensor) -> dict[str, Any]:
    """Compare one trained network; raises if the engine is not its simulation to the bit."""
    model = tw.load_weights(zoo.resnet20(), path).eval()
    simulated = outputs(Simulation(model, x[:BATCH]), x, f"{path.stem}: simulation")
    trained = outputs(model, x, f"{path.stem}: trained model")
    rows = []
    for kernels in _native.kernel_sets():
        if not kernels["supported"]:
            continue
        slow = kernels["name"] == "reference"
        os.environ["TILEWISE_ISA"] = kernels["name"]
        for threads in sorted({1, len(os.sched_getaffinity(0))}):
            engine = tw.compile(model, x[:BATCH], threads=threads)
            images = x[:REFERENCE_IMAGES] if slow else x
            logits = outputs(engine, images, f"{path.stem}: {engine.kernel_set}, {threads} threads")
            if not np.array_equal(logits, simulated[: len(logits)]):
                raise ValueError(f"{path}: {engine.kernel_set} with {threads} threads differs from the simulation")
            rows.append({
                "isa": engine.kernel_set, "threads": threads, "images": len(logits), "accuracy": accuracy(logits, test),
            })  # fmt: skip
    return {
        "network": path.stem,
        "trained": accuracy(trained, test),
        "simulation": accuracy(simulated, test),
        "other_answers": int((trained.argmax(1) != simulated.argmax(1)).sum()),
        "other_logits": float((np.abs(trained - simulated) > 1e-4 * np.abs(trained).max()).mean()),
        "largest_difference": float(np.abs(trained - simulated).max()),
        "logit_scale": float(np.abs(trained).mean()),
        "engine": rows,
    }


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--weights", type=Path, nargs="+", required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    test = tw.data.load("cifar10", "test", options.data_root)
    x = torch.cat([batch for batch, _ in tw.data.Batches(test, 1000)])
    results = [measure(path, test, x) for path in options.weights]
    table = Table("network", "kernel set", "threads", "images", "accuracy", "bits equal to the simulation")
    for result in results:
        table.add_row(result["network"], "torch, trained", "", str(len(x)), f"{result['trained']:.2f}", "")
        table.add_row("", "torch, simulation", "", str(len(x)), f"{result['simulation']:.2f}", "")
        for row in result["engine"]:
            table.add_row(
                "", row["isa"], str(row["threads"]), str(row["images"]), f"{row['accuracy']:.2f}", "all"
            )  # fmt: skip
    Console(width=120).print(table)
    if options.json:
        about = {"machine": str(Machine.here(1)), "torch": torch.__version__, "tilewise": tw.__version__}
        options.json.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
