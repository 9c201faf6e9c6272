"""Table 2 of the 2020 paper: a trained network's convolutions become fast ones, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tilewise.experiments.plain import trained_network
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import ACCURACY, Claim, Column
from tilewise.experiments.training import SIZES, Size, calibrated, labelled_parts, make_spec
from tilewise.quant import FLOAT_BITS
from tilewise.train import evaluate

NETWORKS = ("resnet20", "resnet18-cifar10")
POINTS = ("F2", "F4-textbook", "F4", "F6-textbook", "F6")
"""F2 has one set of points; the others the textbook's and ours."""
WIDTHS = (8, 10, 16, FLOAT_BITS)
SCALES: tuple[Literal["tensor", "tap"], ...] = ("tensor", "tap")


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One network with all its convolutions of one kind."""

    network: str
    algorithm: str
    bits: int
    scales: Literal["tensor", "tap"]
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet20-F4-textbook-8bit-tensor``."""
        return f"{self.network}-{self.algorithm}-{self.bits}bit-{self.scales}"

    def run(self, place: Place) -> dict[str, Any]:
        """Convert, calibrate, score."""
        train, _, test = labelled_parts(self.size, place)
        model = trained_network(self.network, place)
        network = calibrated(model, make_spec(self.algorithm, self.bits, scales=self.scales), train, place.device)
        score = evaluate(network, test.scoring(device=place.device), teacher=model, device=place.device)
        return {"accuracy": round(score.value, 2), "images": score.images, "distance": score.distance}


def cases(scale: Scale) -> Sequence[Case]:
    """Return all runs: of each network direct first, then from the widths that lose most."""
    size = SIZES[scale]
    if scale == "smoke":
        return [_case("small", name, bits, size) for name, bits in (("direct", FLOAT_BITS), ("F2", 8), ("F6", 8))]
    found: list[Case] = []
    for network in NETWORKS:
        for bits in WIDTHS:
            found.append(_case(network, "direct", bits, size))
            kinds = SCALES if bits != FLOAT_BITS else SCALES[:1]
            found += [_case(network, name, bits, size, scales) for scales in kinds for name in POINTS]
    return found


def _case(network: str, algorithm: str, bits: int, size: Size, scales: Literal["tensor", "tap"] = "tensor") -> Swap:
    return Swap(network=network, algorithm=algorithm, bits=bits, scales=scales, size=size)


STUDY = Study(
    name="swap",
    title="Trained networks with fast convolutions instead of direct ones, not trained on (Table 2, MLSys 2020)",
    cases=cases,
    columns=(ACCURACY, Column(title="distance to float", key="distance", unit="", digits=4)),
    published={
        "*-F2-8bit-*": "ResNet-18: as direct (a review of the paper)",
        "*-F4-textbook-8bit-tensor": "ResNet-18: about 75 points lost (a review of the paper)",
        "*-F6-textbook-8bit-tensor": "ResNet-18: over 80 points lost (a review of the paper)",
    },
    claims=(
        Claim(
            text="F4 loses more than F2 at 8 bits.", source="MLSys 2020, Table 2",
            more="*-F2-8bit-tensor", less="*-F4-textbook-8bit-tensor",
        ),
        Claim(
            text="F6 loses more than F4 at 8 bits.", source="MLSys 2020, Table 2",
            more="*-F4-textbook-8bit-tensor", less="*-F6-textbook-8bit-tensor",
        ),
        Claim(
            text="A scale for each tap loses less than one for the tensor.", source="tap-wise quantization, MICRO 2022",
            more="*-8bit-tap", less="*-8bit-tensor",
        ),
        Claim(
            text="Chosen points lose less than the textbook's.", source="Protsenko et al., ECCV 2024",
            more="*-F4-8bit-tensor", less="*-F4-textbook-8bit-tensor",
        ),
    ),
)  # fmt: skip
