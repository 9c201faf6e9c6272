"""The third paper's question: what exact layers gain, counted and measured, with identical answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewise.experiments.lossless_counts import LAYERS, Layer, Rates, counts
from tilewise.experiments.lossless_layers import measure
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim, Column, columns_of
from tilewise.experiments.timing import kernel_sets, machine

ROUNDS = 5
WAYS = ("direct", "F2", "F4", "SFC6", "SFC6(5)", "SFC6(7)", "F(8), 13 bits", "F(10), 13 bits", "F(14), 13 bits",
        "F(14), 8 bits")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Residues:
    """One layer of a published network."""

    layer: Layer
    kernel_set: str
    rounds: int

    @property
    def name(self) -> str:
        """Such as ``VGG-16-64-64-224x224-3x3-amx``."""
        network, channels, filters, size, r = self.layer
        return f"{network}-{channels}-{filters}-{size}x{size}-{r}x{r}-{self.kernel_set}"

    def run(self, place: Place) -> dict[str, Any]:
        """Count, and measure everything against direct int8; refuse an answer that differs in a bit."""
        direct, *exact = counts(self.layer, Rates())
        residues = [count for count in exact if "moduli" in count.name]
        rows = measure(self.layer, 1, self.rounds, place.threads, self.kernel_set)
        return {
            "machine": machine(self.kernel_set, place.threads),
            "equal": len(rows) - 1,
            "products": round(direct.products / min(count.products for count in residues), 3),
            "bound": round(direct.seconds(Rates()) / exact[0].seconds(Rates()), 3),
            "speedup": round(rows[0]["seconds"] / min(row["seconds"] for row in rows[1:]), 3),
            "milliseconds": {row["algorithm"]: round(1e3 * row["seconds"], 4) for row in rows},
        }


def cases(scale: Scale) -> Sequence[Case]:
    """Return all layers."""
    if scale == "smoke":
        return [Residues(layer=Layer("smoke", 32, 32, 14, 5), kernel_set=kernel_sets()[0], rounds=2)]
    return [Residues(layer=layer, kernel_set=kernels, rounds=ROUNDS) for kernels in kernel_sets() for layer in LAYERS]


STUDY = Study(
    name="residues",
    title="Exact layers of VGG-16, ResNet-50 and Inception, and 5x5 ones, with direct int8's answers to the bit",
    cases=cases,
    columns=(
        Column(title="residues save products", key="products", unit="times"),
        Column(title="counted speed-up of the best", key="bound", unit="times"),
        Column(title="measured", key="speedup", unit="times"),
        Column(title="algorithms with equal answers", key="equal", unit="", digits=0),
        *columns_of("milliseconds", WAYS, "ms", 3),
    ),
    published={
        "*-3x3-*": "up to 2.30 times, 3x3 (Liu and Mattina, ECCV 2020)",
        "*-5x5-*": "up to 4.69 times, products up to 7.03 times, 5x5 (Liu and Mattina, ECCV 2020)",
    },
    claims=(
        Claim(
            text="Residues are faster than direct int8 at 5x5.", source="ECCV 2020: 4.69 times",
            more="*-5x5-avx512vnni", less="*-5x5-avx512vnni", key="milliseconds/direct",
            less_key="milliseconds/F(14), 13 bits",
        ),
        Claim(
            text="Residues are faster than direct int8 at 3x3.", source="ECCV 2020: 2.30 times",
            more="*-3x3-avx512vnni", less="*-3x3-avx512vnni", key="milliseconds/direct",
            less_key="milliseconds/F(8), 13 bits",
        ),
    ),
)  # fmt: skip
