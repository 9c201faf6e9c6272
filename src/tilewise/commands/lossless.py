"""The command that counts what lossless algorithms can gain."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console

from tilewise.commands.options import Unchecked, config_of
from tilewise.commands.outputs import Picture
from tilewise.experiments.lossless_counts import Rates


@dataclass(frozen=True, kw_only=True)
class CoreRates(Unchecked, Rates):
    """What one core does at most."""


@dataclass(frozen=True, kw_only=True)
class CountLossless:
    """What exact int8 algorithms can gain on layers of VGG-16, ResNet-50 and Inception: counted, not measured."""

    batch: int = 1
    """Images of a call."""
    rates: CoreRates = field(default_factory=CoreRates)
    picture: Picture | None = None
    """Draw it too, as PNG."""

    def result(self, seed: int) -> dict[str, Any]:  # noqa: ARG002 - counts are not random
        """Count."""
        from tilewise.common.progress import track
        from tilewise.experiments.lossless_counts import LAYERS, counts
        from tilewise.experiments.lossless_pictures import best_of_each, figure, table

        if self.batch < 1:
            raise ValueError(f"batch is {self.batch}; it must be at least 1")
        rates = config_of(Rates, self.rates)
        rows = {layer: counts(layer, rates, self.batch) for layer in track(LAYERS, "count", enabled=True)}
        Console(width=200).print(table(rows, rates, f"Bounds against direct int8, batch {self.batch}, one core"))
        if self.picture is not None:
            figure(rows, rates, self.batch, self.picture)
            print(f"wrote {self.picture}")
        return {
            "batch": self.batch,
            **asdict(rates),
            "layers": [
                {
                    **layer._asdict(),
                    "counts": [
                        {**asdict(count), "seconds": count.seconds(rates)}
                        for count in (found[0], *best_of_each(found).values())
                    ],
                }
                for layer, found in rows.items()
            ],
        }
