"""The 2024 paper's claim: training at 8 bits from searched transforms, on three tasks, beside named ones.

Every stage has 8 bits and one scale, the sums M too, as papers have it; transforms are learned from where they start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tilewise.algebra import Bilinear, toom_cook
from tilewise.conversion import convert
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import ACCURACY, Claim, Column
from tilewise.experiments.training import LR, SIZES, Size, trained
from tilewise.quant import Direct, Spec, Winograd
from tilewise.zoo import build

SEEDS = (0, 1, 2)
ALGORITHMS = ("F4", "F6")
ORIGINS = ("textbook", "catalogue", "found")
FOUND = {
    "F4": (("0", "-2", "-1", "1/2", "1"), (0, 1, 0, 1, 0, 0), (3, 0, 2, 0, 2, 3)),
    "F6": (("0", "-2", "-1", "-1/2", "1/2", "1", "2"), (0, 1, 0, 1, 1, 0, 1, 0), (5, 0, 4, 0, 0, 4, 0, 6)),
}
"""Points, and powers of two that scale rows of B^T and columns of A^T, where the swarm ended that looked for the least
error with 8 bits and one scale at every stage: docs/results/algorithms/F4-tensor.json and F6-tensor.json."""
WIDTHS = {"resnet18": 0.125, "edsr": 0.5, "unet": 0.5}
"""Of the networks of the three tasks."""
DATA = {"resnet18": "cifar10", "edsr": "set5", "unet": "camvid"}
EPOCHS: dict[Scale, dict[str, int]] = {
    "smoke": {"resnet18": 1},
    "tiny": {"resnet18": 4, "edsr": 12, "unet": 6},
    "small": {"resnet18": 12, "edsr": 30, "unet": 30},
    "paper": {"resnet18": 120, "edsr": 100, "unet": 100},
}


@dataclass(frozen=True, kw_only=True)
class Start:
    """One network trained from scratch at 8 bits.

    Parameters
    ----------
    network : str
        One for each task.
    algorithm : str
        ``"direct"``, F4 or F6.
    origin : str
        Where its transforms come from; empty for direct.
    seed : int
        Of weights and order.
    width, lr, size : float, float, Size
        Of the network and its training.
    """

    network: str
    algorithm: str
    origin: str
    seed: int
    width: float
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``unet-F4-found-s0``."""
        kind = f"{self.algorithm}-{self.origin}" if self.origin else self.algorithm
        return f"{self.network}-{kind}-s{self.seed}"

    @property
    def spec(self) -> Spec:
        """Of all layers."""
        if not self.origin:
            return Direct()
        return Winograd(start(self.algorithm, self.origin), scales="tensor", transforms="learned", hadamard_bits=8)

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(self.seed)
        options: dict[str, Any] = {"channels": 1} if self.size.data == "digits" else {}
        classes: dict[str, Any] = {"classes": 11} if self.network == "unet" else {}
        model = build(self.network, width=self.width, **options, **classes)
        network = convert(model, {"*": self.spec})
        return trained(network, self.size, place, seed=self.seed, epochs=self.size.epochs, lr=self.lr)


def start(name: str, origin: str) -> str | Bilinear:
    """Return the transforms that training starts from: a name, or what the swarm found."""
    if origin != "found":
        return name if origin == "catalogue" else f"{name}-{origin}"
    points, rows, columns = FOUND[name]
    plain = toom_cook(int(name[1:]), 3, points)
    return plain.scaled([2**e for e in rows], [2**e for e in columns], f"{name}, found")


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs, a seed after another."""
    kinds = [("direct", ""), *((name, origin) for name in ALGORITHMS for origin in ORIGINS)]
    if scale == "smoke":
        return [_case(scale, "resnet18", "F4", "found", 0)]
    return [_case(scale, network, name, origin, seed) for seed in SEEDS for network in WIDTHS for name, origin in kinds]


def _case(scale: Scale, network: str, algorithm: str, origin: str, seed: int) -> Start:
    smoke = SIZES["smoke"]
    images = smoke.images if scale == "smoke" else 10_000 if (scale, network) == ("tiny", "resnet18") else None
    size = Size(
        data=smoke.data if scale == "smoke" else DATA[network], images=images,
        scored=smoke.scored if scale == "smoke" else None, epochs=EPOCHS[scale][network],
    )  # fmt: skip
    return Start(
        network=network, algorithm=algorithm, origin=origin, seed=seed, width=WIDTHS[network], lr=LR, size=size
    )


def _claim(text: str, more: str, less: str, metric: str) -> Claim:
    return Claim(
        text=text, source="Protsenko et al., ECCV 2024", more=more, less=less, key=metric, seeded=True,
    )  # fmt: skip


METRICS = {"accuracy": "resnet18", "psnr": "edsr", "miou": "unet"}
STUDY = Study(
    name="transforms",
    title="Training with 8 bits in all stages from named and from searched transforms, three tasks (ECCV 2024)",
    cases=cases,
    columns=(
        ACCURACY,
        Column(title="PSNR on Set5", key="psnr", unit="dB"),
        Column(title="mIoU on CamVid", key="miou", unit="points"),
    ),
    claims=tuple(
        _claim(
            f"{network}, {name}: training from searched transforms ends above training from {words}.",
            f"{network}-{name}-found", f"{network}-{name}-{origin}", metric,
        )
        for metric, network in METRICS.items()
        for name in ALGORITHMS
        for origin, words in (("textbook", "the textbook's"), ("catalogue", "the catalogue's"))
    ),
)  # fmt: skip
