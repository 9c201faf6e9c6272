"""What a layer may become, and what is done to its weights before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tilewise.quant import Direct, Exact, Spec, Winograd

Promise: TypeAlias = Literal["direct", "lossless", "post-training", "refined", "adapted"]
"""What was done to the weights: nothing but rounding in the first three."""


@dataclass(frozen=True)
class LayerCandidate:
    """A spec by the name that reports have, and what is done to weights so that layers bear it."""

    name: str
    spec: Spec
    promise: Promise = "post-training"

    @property
    def key(self) -> str:
        """Of files."""
        return self.name.replace(" ", "-")


DIRECT = LayerCandidate("direct", Direct(), "direct")
LOSSLESS = LayerCandidate("lossless", Exact(), "lossless")
CANDIDATES = (
    DIRECT,
    LOSSLESS,
    LayerCandidate("SFC6", Winograd("SFC6")),
    LayerCandidate("SFC6-planar", Winograd("SFC6-planar")),
    LayerCandidate("F2", Winograd("F2")),
    LayerCandidate("F4", Winograd("F4")),
    LayerCandidate("F4 refined", Winograd("F4"), "refined"),
    LayerCandidate("F4 learned", Winograd("F4", transforms="learned"), "refined"),
)
"""From free to dear."""
SPECS = {candidate.name: candidate.spec for candidate in CANDIDATES}
