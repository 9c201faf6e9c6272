"""Trained networks, direct int8 against exact specs in the engine: all answers must be the same bits.

    python -m tilewise.experiments.lossless_networks --data-root DIR --weights resnet20.th [--json FILE]

ResNet-20 with given weights is converted to direct int8 and calibrated on training images without labels; `tw.Exact`
and `tw.Residue` take over its integers. Logits of all test images are compared bit for bit, and answers scored.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

import tilewise as tw
from tilewise import zoo
from tilewise.data import Batches, Images, load
from tilewise.quant import Spec
from tilewise.train import load_weights

BATCH = 100
SPECS: dict[str, Spec] = {
    "direct": tw.Direct(),
    "exact": tw.Exact(),
    "exact F4": tw.Exact("F4"),
    "residue F(4), 8 bits": tw.Residue(tile=4),
    "residue F(8), 8 bits": tw.Residue(tile=8),
    "residue F(14), 13 bits": tw.Residue(tile=14, residue_bits=13),
}


def logits(engine: tw.Engine, images: NDArray[np.float32], text: str) -> NDArray[np.float32]:
    """Give what the network says of all images."""
    parts = range(0, len(images), BATCH)
    return np.concatenate([engine(images[i : i + BATCH]) for i in track(parts, text)])


def normalized(images: Images) -> torch.Tensor:
    """Give all images as a network reads them."""
    return torch.cat([x for x, _ in Batches(images, 500)])


def main() -> None:
    """Compare, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--json", type=Path, default=Path("docs/results/exact-networks.json"))
    options = parser.parse_args()

    train, test = (load("cifar10", split, root=options.data_root) for split in ("train", "test"))
    samples = train.subset(512)
    model = tw.convert(load_weights(zoo.resnet20(), options.weights).eval(), {"*": tw.Direct()}, skips="quantized")
    tw.calibrate(model, [normalized(samples)])
    images = normalized(test)
    wanted: NDArray[np.float32] | None = None
    rows: list[dict[str, Any]] = []
    for name, spec in SPECS.items():
        engine = tw.compile(tw.convert(model, {"*": spec}, skips="quantized"), images[:BATCH])
        kinds = [operation["op"] for operation in engine.program.operations]
        found = logits(engine, images.numpy(), name)
        wanted = found if wanted is None else wanted
        accuracy = 100 * float((found.argmax(1) == test.labels.numpy()).mean())
        row = {
            "spec": name, "layers": {op: kinds.count(op) for op in ("direct", "exact", "residue")},
            "accuracy": accuracy, "images": len(found), "other logits": int((found != wanted).sum()),
        }  # fmt: skip
        rows.append(row)
        print(row, flush=True)
    options.json.write_text(json.dumps(rows, indent=1) + "\n")
    assert torch.tensor([row["other logits"] for row in rows]).sum() == 0, "an exact network differs from direct int8"


if __name__ == "__main__":
    main()
