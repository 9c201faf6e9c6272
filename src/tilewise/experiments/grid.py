"""Figure 8 of the 2020 paper: latency of one layer over resolution and channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Claim, columns_of
from tilewise.experiments.timing import kernel_sets, machine, milliseconds, profiles, square

WAYS = (
    *(f"{name} float32" for name in ("im2row", "direct", "F2", "F4", "F6")),
    "F4 learned float32",
    *(f"{name} int16" for name in ("im2row", "direct", "F2", "F4")),
    *(f"{name} int8" for name in ("im2row", "direct", "F2", "F4", "F6", "SFC6-planar")),
    *(f"{name} learned int8" for name in ("F2", "F4", "F6")),
)
CHANNELS = (32, 64, 128, 256, 512)
SIZES = (14, 28, 56, 112, 224)
MOST = 4e9
"""Operations of a direct convolution; larger layers are left out, such as 512 channels on 224x224."""
INPUTS = (32, 112, 224)
"""Sizes of images of three channels, which no fast algorithm serves."""
ROUNDS = 9


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A layer of 3x3."""

    channels: int
    filters: int
    pixels: int
    kernel_set: str
    ways: tuple[str, ...]
    rounds: int

    @property
    def name(self) -> str:
        """Such as ``64-64-56x56-amx``."""
        return f"{self.channels}-{self.filters}-{self.pixels}x{self.pixels}-{self.kernel_set}"

    def run(self, place: Place) -> dict[str, Any]:
        """Measure."""
        shape = square(self.channels, self.filters, self.pixels)
        found = profiles(shape, self.ways, self.kernel_set, rounds=self.rounds, threads=place.threads)
        return {"machine": machine(self.kernel_set, place.threads), "milliseconds": milliseconds(found)}


def cases(scale: Scale) -> Sequence[Case]:
    """Return all layers that are not too large; tiny: every second size."""
    if scale == "smoke":
        return [_case(16, 16, 16, kernel_sets()[0], ("im2row int8", "direct int8", "F4 int8"), 2)]
    sizes = SIZES[::2] if scale == "tiny" else SIZES
    layers = [(3, 32, size) for size in INPUTS] + [(c, c, size) for size in sizes for c in CHANNELS]
    return [
        _case(channels, filters, size, kernels, WAYS, ROUNDS)
        for channels, filters, size in layers
        for kernels in kernel_sets()
        if square(channels, filters, size).operations <= MOST
    ]


def _case(channels: int, filters: int, pixels: int, kernel_set: str, ways: tuple[str, ...], rounds: int) -> Cell:
    return Cell(
        channels=channels, filters=filters, pixels=pixels, kernel_set=kernel_set, ways=ways, rounds=rounds
    )  # fmt: skip


def _faster(text: str, slow: str, fast: str, source: str, groups: str = "*") -> Claim:
    return Claim(
        text=text, source=source, more=groups, less=groups, key=f"milliseconds/{slow}", less_key=f"milliseconds/{fast}"
    )


STUDY = Study(
    name="grid",
    title="Latency of one 3x3 layer over channels and resolution, each way alone in an engine (Figure 8, MLSys 2020)",
    cases=cases,
    columns=columns_of("milliseconds", WAYS, "ms", 3),
    claims=(
        _faster("F4 int8 with learned transforms is faster than im2row int8.", "im2row int8", "F4 learned int8",
                "MLSys 2020, a whole ResNet-18 on a Cortex-A73: 2.43x to 1.57x over im2row in float"),
        _faster("The same for static transforms.", "im2row int8", "F4 int8", "MLSys 2020"),
        _faster("im2row is faster in int8 than in float.", "im2row float32", "im2row int8",
                "MLSys 2020: 1.57x on a Cortex-A73"),
        _faster("Learned transforms make F4 slower in float.", "F4 learned float32", "F4 float32", "MLSys 2020"),
        _faster("On input layers im2row int8 is faster than direct, which no fast algorithm replaces there.",
                "direct int8", "im2row int8", "MLSys 2020: searched networks keep im2row there", "3-*"),
    ),
)  # fmt: skip
