"""Figure 5 of the 2020 paper: LeNet-5 with 5x5 kernels on MNIST at 8 bits, static and learned transforms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch

from tilewise.conversion import convert
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim
from tilewise.experiments.training import LR, Size, make_spec, trained
from tilewise.zoo import build

SIZES: dict[Scale, Size] = {
    "smoke": Size(data="digits", images=320, scored=100, epochs=2),
    "tiny": Size(data="mnist", images=10_000, scored=1_000, epochs=4),
    "small": Size(data="mnist", images=None, scored=2_000, epochs=10),
    "paper": Size(data="mnist", images=None, scored=None, epochs=20),
}
SEEDS = (0, 1, 2)
Kind: TypeAlias = Literal["static", "learned", "slow"]
KINDS: tuple[Kind, ...] = ("static", "learned")
SLOW = 0.01
"""Share of the rate that slowly learned transforms get."""


@dataclass(frozen=True, kw_only=True)
class LeNet:
    """One LeNet-5 trained from scratch."""

    algorithm: str
    bits: int
    transforms: Kind
    scales: Literal["tensor", "tap"]
    quantizer: Literal["tap", "paper"]
    seed: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``F4-learned-8bit-tensor-paper-s0``."""
        kind = f"{self.bits}bit-{self.scales}-{self.quantizer}"
        return f"{self.algorithm}-{self.transforms}-{kind}-s{self.seed}"

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(self.seed)
        kind, rate = ("learned", SLOW) if self.transforms == "slow" else (self.transforms, 1.0)
        spec = make_spec(self.algorithm, self.bits, kind, self.scales, self.quantizer)
        network = convert(build("lenet5", channels=1), {"*": spec})
        return trained(
            network, self.size, place, seed=self.seed, epochs=self.size.epochs, lr=self.lr, transform_rate=rate
        )


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs: with the paper's quantizer first, a seed after another, then with ours."""
    if scale == "smoke":
        return [_case(scale, "F2", "learned", "tap", 0)]
    found: list[Case] = []
    for quantizer in ("paper", "tap"):
        for seed in SEEDS:
            found.append(_case(scale, "direct", "static", quantizer, seed))
            found += [_case(scale, name, kind, quantizer, seed) for name in ("F2", "F4", "F6") for kind in KINDS]
            found += [_case(scale, name, "slow", quantizer, seed) for name in ("F4", "F6")]
    return found


def _case(scale: Scale, algorithm: str, transforms: Kind, quantizer: str, seed: int) -> LeNet:
    paper = quantizer == "paper"
    return LeNet(
        algorithm=algorithm, bits=8, transforms=transforms, scales="tensor" if paper else "tap",
        quantizer="paper" if paper else "tap", seed=seed, lr=LR, size=SIZES[scale],
    )  # fmt: skip


STUDY = Study(
    name="lenet",
    title="LeNet-5, 5x5 kernels, trained on MNIST at 8 bits with F2, F4 and F6, static and learned (Figure 5)",
    cases=cases,
    claims=tuple(
        Claim(
            text=f"{title} transforms beat static ones: {name}, {words}.",
            source="MLSys 2020, Figure 5: learned ones are needed for F4 and F6",
            more=f"{name}-{speed}-8bit-{kind}", less=f"{name}-static-8bit-{kind}", seeded=True,
        )
        for kind, words in (("tensor-paper", "the paper's quantizer"), ("tap-tap", "our quantizer"))
        for name in ("F4", "F6")
        for speed, title in (("learned", "Learned"), ("slow", "Slowly learned"))
    ),
)  # fmt: skip
