"""Dense transforms: what a layer pays for transforms without zeros, and for losing nothing."""

from __future__ import annotations

from collections.abc import Sequence

from tilewise.experiments.grid import Cell
from tilewise.experiments.runs import Case, Scale, Study
from tilewise.experiments.tables import Claim, columns_of
from tilewise.experiments.timing import kernel_sets

WAYS = (
    "F2 float32", "F2 learned float32", "F4 float32", "F4 learned float32", "direct int8", "F2 int8", "F2 learned int8",
    "exact F2 int8", "F4 int8", "F4 learned int8", "exact F4 int8", "SFC6 int8", "SFC6 learned int8", "exact SFC6 int8",
)  # fmt: skip
LAYERS = ((32, 32, 32), (64, 64, 56), (128, 128, 28), (256, 256, 14), (64, 64, 112))
"""Input channels, filters and pixels of a side."""
ROUNDS = 15


def cases(scale: Scale) -> Sequence[Case]:
    """Return all layers."""
    if scale == "smoke":
        ways = ("F4 int8", "F4 learned int8", "exact F4 int8")
        return [_case((32, 32, 16), kernel_sets()[0], ways, 2)]
    return [_case(layer, kernels, WAYS, ROUNDS) for layer in LAYERS for kernels in kernel_sets()]


def _case(layer: tuple[int, int, int], kernel_set: str, ways: tuple[str, ...], rounds: int) -> Cell:
    channels, filters, pixels = layer
    return Cell(channels=channels, filters=filters, pixels=pixels, kernel_set=kernel_set, ways=ways, rounds=rounds)


def _faster(slow: str, fast: str) -> Claim:
    return Claim(
        text=f"{fast} is faster than {slow}.", source="MLSys 2020: learned transforms lose their zeros", more="*",
        less="*", key=f"milliseconds/{slow}", less_key=f"milliseconds/{fast}",
    )  # fmt: skip


STUDY = Study(
    name="dense",
    title="Time of one layer with static, dense (learned or sparse, which run alike) and lossless transforms",
    cases=cases,
    columns=columns_of("milliseconds", WAYS, "ms", 3),
    claims=(
        _faster("F4 learned float32", "F4 float32"),
        _faster("F4 learned int8", "F4 int8"),
        _faster("SFC6 learned int8", "SFC6 int8"),
        Claim(
            text="F4 int8 with learned transforms is still faster than direct int8.",
            source="MLSys 2020: dense transforms pay in int8", more="*", less="*", key="milliseconds/direct int8",
            less_key="milliseconds/F4 learned int8",
        ),
    ),
)  # fmt: skip
