"""Figure 6 of the 2020 paper: ResNet-18 trained from scratch, Winograd-aware, static and learned transforms."""

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

WIDTHS: dict[Scale, tuple[float, ...]] = {
    "smoke": (0.125,),
    "tiny": (0.25,),
    "small": (0.25, 0.125),
    "paper": (1.0, 0.5, 0.25, 0.125),
}
DECISIVE = (("direct", "static"), ("F4", "static"), ("F4", "learned"))
"""At 8 bits: over three seeds, and first."""
PAPER = (("direct", "static"), ("F4-textbook", "static"), ("F4-textbook", "learned"))
"""With the paper's quantizer and points."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Scratch:
    """One network trained from scratch."""

    algorithm: str
    bits: int
    transforms: Literal["static", "learned"]
    quantizer: Literal["tap", "paper"]
    width: float
    seed: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``F4-learned-8bit-tap-w0.25-s0``."""
        return f"{self.algorithm}-{self.transforms}-{self.bits}bit-{self.quantizer}-w{self.width:g}-s{self.seed}"

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(self.seed)
        channels = 1 if self.size.data == "digits" else 3
        model = build("resnet18", width=self.width, channels=channels)
        scales = "tensor" if self.quantizer == "paper" else "tap"
        spec = make_spec(self.algorithm, self.bits, self.transforms, scales, self.quantizer)
        network = convert(model, {"*": spec})
        return trained(network, self.size, place, seed=self.seed, epochs=self.size.epochs, lr=self.lr)


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs: the decisive ones at 8 bits first, then those of the paper's quantizer, then the others."""
    size = SIZES[scale]
    if scale == "smoke":
        return [_case("direct", 8, "static", 0.125, size), _case("F4", 8, "learned", 0.125, size)]
    found: list[Scratch] = []
    for width in WIDTHS[scale]:
        found += [_case(name, 8, kind, width, size, seed=seed) for seed in SEEDS for name, kind in DECISIVE]
    for width in WIDTHS[scale]:
        found += [_case(name, 8, kind, width, size, quantizer="paper") for name, kind in PAPER]
    for width in WIDTHS[scale]:
        for bits in (8, FLOAT_BITS, 10, 16):
            found.append(_case("direct", bits, "static", width, size))
            found += [
                _case(name, bits, kind, width, size) for name in ("F2", "F4", "F6") for kind in ("static", "learned")
            ]
    return list(dict.fromkeys(found))


def _case(
    algorithm: str,
    bits: int,
    transforms: str,
    width: float,
    size: Size,
    *,
    seed: int = 0,
    quantizer: Literal["tap", "paper"] = "tap",
) -> Scratch:
    kind: Literal["static", "learned"] = "learned" if transforms == "learned" else "static"
    return Scratch(
        algorithm=algorithm, bits=bits, transforms=kind, quantizer=quantizer, width=width, seed=seed, lr=LR, size=size
    )


STUDY = Study(
    name="scratch",
    title="ResNet-18 trained from scratch with F2, F4, F6 and direct, static and learned (Figure 6, MLSys 2020)",
    cases=cases,
    published={
        "direct-static-8bit-paper-*": "about 92 (released code, width 0.5, 120 epochs)",
        "F4-textbook-static-8bit-paper-*": "about 78 (released code, width 0.5, 120 epochs)",
        "F4-textbook-learned-8bit-paper-*": "about 91 (released code, width 0.5, 120 epochs)",
    },
    claims=(
        Claim(
            text="Learned transforms beat static ones: F4, 8 bits, the paper's quantizer.",
            source="MLSys 2020: about 10 points; released code: 78 to 91 %",
            more="F4-textbook-learned-8bit-paper-*", less="F4-textbook-static-8bit-paper-*", seeded=True,
        ),
        Claim(
            text="Learned transforms beat static ones: F4, 8 bits, our quantizer.", source="MLSys 2020",
            more="F4-learned-8bit-tap-*", less="F4-static-8bit-tap-*", seeded=True,
        ),
        Claim(
            text="Direct beats static F4 at 8 bits.", source="released code: 92 to 78 %",
            more="direct-static-8bit-*", less="F4-static-8bit-*", seeded=True,
        ),
    ),
)  # fmt: skip
