"""The 2020 paper's appendix: SqueezeNet and ResNeXt-20 (8x16) trained from scratch, Winograd-aware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tilewise.conversion import convert
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim
from tilewise.experiments.training import LR, SIZES, Size, make_spec, trained
from tilewise.quant import FLOAT_BITS
from tilewise.zoo import build

NETWORKS = ("squeezenet", "resnext20")
KINDS: tuple[Literal["static", "learned"], ...] = ("static", "learned")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network trained from scratch."""

    network: str
    algorithm: str
    bits: int
    transforms: Literal["static", "learned"]
    seed: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``squeezenet-F4-learned-8bit-s0``."""
        return f"{self.network}-{self.algorithm}-{self.transforms}-{self.bits}bit-s{self.seed}"

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(self.seed)
        model = build(self.network, channels=1 if self.size.data == "digits" else 3)
        network = convert(model, {"*": make_spec(self.algorithm, self.bits, self.transforms)})
        return trained(network, self.size, place, seed=self.seed, epochs=self.size.epochs, lr=self.lr)


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs: both networks direct, then with F2, F4 and F6 at 8 bits."""
    if scale == "smoke":
        return [_case(scale, "squeezenet", "F4", 8, "learned")]
    found = [_case(scale, network, "direct", bits) for bits in (8, FLOAT_BITS) for network in NETWORKS]
    return found + [
        _case(scale, network, name, 8, kind) for name in ("F4", "F2", "F6") for kind in KINDS for network in NETWORKS
    ]


def _case(
    scale: Scale, network: str, algorithm: str, bits: int, transforms: Literal["static", "learned"] = "static"
) -> Architecture:
    return Architecture(
        network=network, algorithm=algorithm, bits=bits, transforms=transforms, seed=0, lr=LR, size=SIZES[scale]
    )


STUDY = Study(
    name="architectures",
    title="SqueezeNet and ResNeXt-20 (8x16) trained from scratch at 8 bits (appendix, MLSys 2020)",
    cases=cases,
    claims=tuple(
        Claim(
            text=f"{name} trained Winograd-aware stays near direct: learned transforms are not below static ones.",
            source="MLSys 2020, appendix: other architectures behave as ResNet-18 does",
            more=f"*-{name}-learned-8bit", less=f"*-{name}-static-8bit",
        )
        for name in ("F4", "F6")
    ),
)  # fmt: skip
