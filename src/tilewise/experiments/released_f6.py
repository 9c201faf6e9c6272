"""F6 with the `paper` quantizer: correct matrices, and the defective ones of the code released with the 2020 paper.

python -m tilewise.experiments.released_f6 DATA_ROOT [--epochs 3] [--images 12800] [--out docs/results/released_f6.json]

The released F6 misorders its diagonal scaling: its last three products are -1/12, 1 and -12 times what a convolution
needs. Both triples have the same points {0, +-1, +-2, +-3/2}. Rows that are in the output file already are skipped.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn

import tilewise as tw
from tilewise.algebra import Algorithm
from tilewise.data import Batches, Images
from tilewise.quant import FLOAT_BITS, Winograd

RATE = 2e-4  # at 1e-3, where F4 still trains, both diverge
CORRECT = tw.algorithm("F6-paper")
MISORDERED = (*(Fraction(1),) * 5, Fraction(-1, 12), Fraction(1), Fraction(-12))
DEFECTIVE = dataclasses.replace(
    CORRECT,
    name="F6-paper, defective as released",
    G=tuple(tuple(s * x for x in row) for s, row in zip(MISORDERED, CORRECT.G, strict=True)),
)


def float_error(algorithm: Algorithm) -> float:
    """Relative RMS error of a layer in float64 against torch's convolution, on Gaussian data."""
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 16, 3, padding=1, bias=False).double()
    x = torch.randn(2, 16, 24, 24, dtype=torch.float64)
    with torch.no_grad():
        wanted = conv(x)
        got = tw.convert(conv, {"*": Winograd(algorithm, bits=FLOAT_BITS)})(x)
    return float((got - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


class Study:
    """ResNet-20 on CIFAR-10, and the settings of its training."""

    def __init__(self, root: Path, epochs: int, images: int) -> None:
        self.weights = root / "pretrained" / "resnet20-12fca82f.th"
        self.train: Images = tw.data.load("cifar10", "train", root)
        self.test: Images = tw.data.load("cifar10", "test", root)
        self.epochs, self.part = epochs, self.train.subset(images, seed=0)

    def score(self, model: nn.Module) -> float:
        """Accuracy on all test images, in percent."""
        return tw.evaluate(model, Batches(self.test, 250), progress=True).value

    def swapped(self, spec: Winograd, *, pretrained: bool = True) -> nn.Module:
        """Convert and calibrate."""
        torch.manual_seed(0)
        model = tw.zoo.resnet20(self.weights if pretrained else None)
        return tw.calibrate(tw.convert(model, {"*": spec}), Batches(self.train.subset(512, seed=0), 64), progress=True)

    def trained(self, model: nn.Module, name: str, *, distill: bool) -> list[float] | str:
        """Accuracy after each epoch."""
        batches = Batches(self.part, 64, shuffle=True, augment=True, seed=0)
        out = Path("runs") / f"released-f6-{name}"
        teacher = tw.zoo.resnet20(self.weights) if distill else None
        config = tw.TrainConfig(epochs=self.epochs, lr=RATE, out=out)
        try:
            tw.fit(model, batches, Batches(self.test, 250), config, teacher=teacher)
        except ValueError as error:
            print(error)
            return "diverged"
        return [json.loads(line)["accuracy"] for line in (out / "log.jsonl").read_text().splitlines()]

    def row(self, algorithm: Algorithm, start: str, bits: int, transforms: str) -> list[float] | str:
        """Accuracies of one case: the swap's alone, or after each epoch of training."""
        int8 = {"quantizer": "paper", "scales": "tensor"} if bits != FLOAT_BITS else {}
        spec = Winograd(algorithm, bits=bits, transforms=transforms, **int8)  # type: ignore[arg-type]
        model = self.swapped(spec, pretrained=start != "scratch")
        return (
            [self.score(model)]
            if start == "swap"
            else self.trained(model, f"{algorithm.name}-{start}-{transforms}", distill=start == "adapt")
        )


CASES = [
    ("swap", FLOAT_BITS, "static"),
    ("swap", 8, "static"),
    ("adapt", 8, "learned"),
    ("adapt", 8, "static"),
    ("scratch", 8, "static"),
]


def main() -> None:
    """Measure every case with both triples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--out", type=Path, default=Path("docs/results/released_f6.json"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(arguments.out.read_text())["rows"] if arguments.out.exists() else []
    study = Study(arguments.root, arguments.epochs, arguments.images)
    errors = {a.name: float_error(a) for a in (CORRECT, DEFECTIVE)}
    for start, bits, transforms in CASES:
        for algorithm in (CORRECT, DEFECTIVE):
            case = {"matrices": algorithm.name, "start": start, "bits": bits, "transforms": transforms}
            if any(case.items() <= row.items() for row in rows):
                continue
            rows.append({**case, "accuracy": study.row(algorithm, start, bits, transforms)})
            print(rows[-1], flush=True)
            settings = {"epochs": arguments.epochs, "images": arguments.images, "float64_relative_error": errors}
            arguments.out.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
