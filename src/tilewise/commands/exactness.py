"""The command that counts what exact algorithms can gain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Counting:
    """What exact int8 algorithms can gain on layers of VGG-16, ResNet-50 and Inception: counted, not measured."""

    batch: int = 1
    """Images of a call."""
    int8: float = 473.0
    """Peak of products of bytes, GOP/s."""
    words: float = 0.5
    """That of products of 16-bit numbers, as a share of it: 1 where bytes have no faster instruction (AVX2)."""
    memory: float = 18.0
    """GB/s read from memory."""
    picture: Path | None = None
    """Draw it too, as PNG."""

    def result(self, seed: int) -> dict[str, Any]:  # noqa: ARG002 - counts are not random
        """Count."""
        from tilewise.common.progress import track
        from tilewise.experiments.lossless_counts import LAYERS, Rates, counts
        from tilewise.experiments.lossless_pictures import best_of_each, figure, table

        if self.batch < 1 or min(self.int8, self.words, self.memory) <= 0:
            raise ValueError(
                f"batch {self.batch}, int8 {self.int8}, words {self.words}, memory {self.memory}; all must be positive"
            )
        rates = Rates(int8=self.int8 * 1e9, words=self.words, memory=self.memory * 1e9)
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
