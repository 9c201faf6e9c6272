"""Figure 7 of the 2020 paper: a network trained with direct int8 convolutions is adapted to fast ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tilewise.experiments.plain import trained_network
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim, Column
from tilewise.experiments.training import ADAPT_LR, SIZES, Size, calibrated, labelled_parts, make_spec, trained

SEEDS = (0, 1, 2)
EPOCHS: dict[Scale, int] = {"smoke": 1, "tiny": 5, "small": 20, "paper": 20}
KINDS: tuple[Literal["static", "learned"], ...] = ("static", "learned")


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """One adaptation; the curve begins with the accuracy of the swap."""

    network: str
    algorithm: str
    bits: int
    transforms: Literal["static", "learned"]
    scales: Literal["tensor", "tap"]
    seed: int
    epochs: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet20-F4-learned-8bit-tensor-s0``."""
        return f"{self.network}-{self.algorithm}-{self.transforms}-{self.bits}bit-{self.scales}-s{self.seed}"

    def run(self, place: Place) -> dict[str, Any]:
        """Swap, calibrate, train on."""
        train, _, _ = labelled_parts(self.size, place)
        model = trained_network(self.network, place)
        network = calibrated(
            model, make_spec(self.algorithm, self.bits, self.transforms, self.scales), train, place.device
        )  # fmt: skip
        return trained(network, self.size, place, seed=self.seed, epochs=self.epochs, lr=self.lr, swapped=True)


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs: F4 at 8 bits over three seeds first, then F6, then other widths."""
    if scale == "smoke":
        return [_case(scale, "F4", 8, "learned")]
    found: list[Case] = []
    for scales in ("tensor", "tap"):
        found += [_case(scale, "F4-textbook", 8, kind, scales, seed) for seed in SEEDS for kind in KINDS]
        found += [_case(scale, name, 8, kind, scales) for name in ("F4", "F6") for kind in KINDS]
    return found + [_case(scale, name, bits, kind) for bits in (6, 10) for name in ("F4", "F6") for kind in KINDS]


def _case(
    scale: Scale, algorithm: str, bits: int, transforms: Literal["static", "learned"], scales: str = "tap",
    seed: int = 0,
) -> Adapt:  # fmt: skip
    return Adapt(
        network="small" if scale == "smoke" else "resnet20", algorithm=algorithm, bits=bits, transforms=transforms,
        scales="tensor" if scales == "tensor" else "tap", seed=seed, epochs=EPOCHS[scale], lr=ADAPT_LR,
        size=SIZES[scale],
    )  # fmt: skip


STUDY = Study(
    name="adapt",
    title="A trained network adapted to F4 and F6, static and learned, accuracy after each epoch (Figure 7)",
    cases=cases,
    columns=(Column(title="swapped", key="before", unit="%"), Column(title="adapted", key="accuracy", unit="%")),
    published={
        "*-F4-textbook-learned-8bit-tensor": "all recovered in 20 epochs (a review of the paper)",
        "*-F4-textbook-static-8bit-tensor": "not recovered in 20 epochs (a review of the paper)",
    },
    claims=(
        Claim(
            text="Adapting to F4 with learned transforms recovers more than with static ones, a scale for each tensor.",
            source="MLSys 2020, Figure 7", more="*-F4-textbook-learned-8bit-tensor",
            less="*-F4-textbook-static-8bit-tensor", seeded=True,
        ),
        Claim(
            text="The same with a scale for each tap.", source="MLSys 2020, Figure 7",
            more="*-F4-textbook-learned-8bit-tap", less="*-F4-textbook-static-8bit-tap", seeded=True,
        ),
    ),
)  # fmt: skip
