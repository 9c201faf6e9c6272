"""The 2024 paper's claim: training at 8 bits from searched transforms, on three tasks, beside named ones.

Trained networks are adapted. Every stage has 8 bits and one scale, the sums M too, as papers have it; transforms are
learned from where they start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tilewise.algebra import Bilinear, toom_cook
from tilewise.experiments.plain import trained_network
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import ACCURACY, MIOU, PSNR, Claim, Column
from tilewise.experiments.training import SIZES, Size, calibrated, parts, trained
from tilewise.quant import Direct, Spec, Winograd

SEEDS = (0, 1, 2)
ALGORITHMS = ("F4", "F6")
ORIGINS = ("textbook", "catalogue", "found")
FOUND = {
    "F4": (("0", "-2", "-1", "1/2", "1"), (0, 1, 0, 1, 0, 0), (3, 0, 2, 0, 2, 3)),
    "F6": (("0", "-2", "-1", "-1/2", "1/2", "1", "2"), (0, 1, 0, 1, 1, 0, 1, 0), (5, 0, 4, 0, 0, 4, 0, 6)),
}
"""Points, and powers of two that scale rows of B^T and columns of A^T, where the swarm ended that looked for the least
error with 8 bits and one scale at every stage: docs/results/algorithms/F4-tensor.json and F6-tensor.json."""
NETWORKS = {"resnet20": "cifar10", "edsr-set5": "set5", "unet-camvid": "camvid"}
"""One for each task, and its data."""
EPOCHS: dict[Scale, dict[str, int]] = {
    "smoke": {"small": 1},
    "tiny": {"resnet20": 3, "edsr-set5": 3, "unet-camvid": 1},
    "small": {"resnet20": 5, "edsr-set5": 10, "unet-camvid": 5},
    "paper": {"resnet20": 20, "edsr-set5": 20, "unet-camvid": 20},
}
ADAPT_LR = 1e-3
"""Peak rate: higher than other adaptations take, because most of these start from a collapse."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One network adapted to 8 bits.

    Parameters
    ----------
    network : str
        As :func:`tilewise.experiments.plain.trained_network` knows it.
    algorithm : str
        ``"direct"``, F4 or F6.
    origin : str
        Where its transforms come from; empty for direct.
    seed : int
        Of the images' order.
    lr, size : float, Size
        Of the training.
    """

    network: str
    algorithm: str
    origin: str
    seed: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``unet-camvid-F4-found-s0``."""
        kind = f"{self.algorithm}-{self.origin}" if self.origin else self.algorithm
        return f"{self.network}-{kind}-s{self.seed}"

    @property
    def spec(self) -> Spec:
        """Of all layers."""
        if not self.origin:
            return Direct()
        return Winograd(start(self.algorithm, self.origin), scales="tensor", transforms="learned", hadamard_bits=8)

    def run(self, place: Place) -> dict[str, Any]:
        """Calibrate, train."""
        train, _, _ = parts(self.size, place)
        network = calibrated(trained_network(self.network, place), self.spec, train, place.device)
        return trained(network, self.size, place, seed=self.seed, epochs=self.size.epochs, lr=self.lr, swapped=True)


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
        return [_case(scale, "small", "F4", "found", 0)]
    return [
        _case(scale, network, name, origin, seed) for seed in SEEDS for network in NETWORKS for name, origin in kinds
    ]


def _case(scale: Scale, network: str, algorithm: str, origin: str, seed: int) -> Start:
    size = SIZES[scale]
    if network in NETWORKS and (data := NETWORKS[network]) != size.data:
        size = Size(data=data, images=None, scored=None, epochs=0)
    return Start(
        network=network, algorithm=algorithm, origin=origin, seed=seed, lr=ADAPT_LR,
        size=replace(size, epochs=EPOCHS[scale][network]),
    )  # fmt: skip


def _claim(text: str, more: str, less: str, metric: str) -> Claim:
    return Claim(
        text=text, source="Protsenko et al., ECCV 2024", more=more, less=less, key=metric, seeded=True,
    )  # fmt: skip


METRICS = {"accuracy": "resnet20", "psnr": "edsr-set5", "miou": "unet-camvid"}
STUDY = Study(
    name="transforms",
    title="Training with 8 bits in all stages from named and from searched transforms, three tasks (ECCV 2024)",
    cases=cases,
    columns=(Column(title="swapped", key="before", unit=""), ACCURACY, PSNR, MIOU),
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
