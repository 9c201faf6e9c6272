"""Figure 10 of the 2020 paper: where the time of ResNet-18's fast layers goes; its input layer is always direct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tilewise.engine import Engine
from tilewise.engine.compiler import make_program
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim, Column
from tilewise.experiments.timing import kernel_sets, machine
from tilewise.latency.candidates import Candidate
from tilewise.latency.measuring import converted, precision_of
from tilewise.latency.records import STAGES
from tilewise.nn import convolutions
from tilewise.zoo import build

WAYS = (
    "F2 float32", "F4 float32", "F4 learned float32", "F6 float32", "F2 int8", "F4 int8", "F4 learned int8", "F6 int8",
)  # fmt: skip
REPEATS = 15


@dataclass(frozen=True, kw_only=True)
class Stages:
    """A ResNet-18 of 32x32 images whose layers are all of one kind."""

    way: str
    width: float
    kernel_set: str
    repeats: int

    @property
    def name(self) -> str:
        """Such as ``F4-int8-amx``."""
        return f"{self.way.replace(' ', '-')}-{self.kernel_set}"

    def run(self, place: Place) -> dict[str, Any]:
        """Compile with random weights, and profile."""
        torch.manual_seed(0)
        model, image = build("resnet18", width=self.width).eval(), torch.randn(1, 3, 32, 32)
        layers = dict.fromkeys(convolutions(model), Candidate.parse(self.way))
        program = make_program(converted(model, layers, image), image, precision_of(layers))
        engine = Engine(program.to_bytes(), threads=place.threads, kernel_set=self.kernel_set)
        rows = [row for row in engine.profile(image, repeats=self.repeats) if row["multiply"]]
        return {
            "machine": machine(self.kernel_set, place.threads),
            "shares": {"all layers": shares(rows), "first": shares(rows[:1]), "last": shares(rows[-1:])},
            "layers": [{"name": row["name"], "seconds": row["seconds"], **shares([row])} for row in rows],
        }


def shares(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return each stage's part of the time of all stages of some layers, in percent, and that of the transforms."""
    totals = {stage: sum(row[stage] for row in rows) for stage in STAGES}
    found = {stage: round(100 * seconds / sum(totals.values()), 2) for stage, seconds in totals.items()}
    return {**found, "transforms": round(100 - found["multiply"], 2)}


def cases(scale: Scale) -> Sequence[Case]:
    """Return all kinds of layers."""
    if scale == "smoke":
        return [Stages(way="F4 int8", width=0.125, kernel_set=kernel_sets()[0], repeats=1)]
    return [
        Stages(way=way, width=1.0, kernel_set=kernels, repeats=REPEATS) for kernels in kernel_sets() for way in WAYS
    ]


STUDY = Study(
    name="stages",
    title="Shares of the stages in the time of ResNet-18's fast layers, 32x32 images (Figure 10, MLSys 2020)",
    cases=cases,
    columns=tuple(
        Column(title=f"{part}, {stage.replace('_', ' ')}", key=f"shares/{part}/{stage}", unit="%", digits=1)
        for part in ("all layers", "first", "last")
        for stage in STAGES
    ),
    published={"*": "transforms can be over 25 % of a layer (a review of the paper)"},
    claims=(
        Claim(
            text="Transforms take a larger share in the first fast layer than in all.", source="MLSys 2020, Figure 10",
            more="*", less="*", key="shares/first/transforms", less_key="shares/all layers/transforms",
        ),
        Claim(
            text="Learned transforms take a larger share than static ones.", source="MLSys 2020, dense transforms",
            more="F4-learned-*", less="F4-*", key="shares/all layers/transforms",
        ),
    ),
)  # fmt: skip
