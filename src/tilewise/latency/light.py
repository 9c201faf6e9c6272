"""What operations that are no convolutions take: by the bytes that they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tilewise.latency.records import Operation, Record
from tilewise.latency.works import ends_bytes


@dataclass(frozen=True)
class LightModel:
    """``start + bytes / rate`` seconds, fitted to one kind of operation.

    Parameters
    ----------
    start : float
        Seconds that an operation takes whatever its size.
    per_byte : float
        Seconds for each byte of activations read or written.
    low, high : int
        Fewest and most bytes that were measured: beyond them nothing is said.
    """

    start: float
    per_byte: float
    low: int
    high: int

    @classmethod
    def fit(cls, records: Sequence[Record]) -> Self | None:
        """Fit to records, so that the squares of relative errors are least; None where there are none."""
        if not records:
            return None
        size = np.array([ends_bytes(r.work) for r in records], float)
        seconds = np.array([max(r.seconds, 1e-9) for r in records])
        low, high = int(size.min()), int(size.max())
        if low == high:
            return cls(float(np.median(seconds)), 0.0, low, high)
        terms = np.stack([np.ones_like(size), size], 1) / seconds[:, None]
        (start, per_byte), *_ = np.linalg.lstsq(terms, np.ones_like(size))
        if start < 0 or per_byte < 0:  # small ones say nothing about the slope, or nothing about the start
            start, per_byte = (0.0, float(np.median(seconds / size))) if start < 0 else (float(np.median(seconds)), 0.0)
        return cls(float(start), float(per_byte), low, high)

    def seconds(self, work: Operation) -> float:
        """Return the seconds of an operation.

        Raises
        ------
        ValueError
            If it moves fewer or more bytes than any that was measured.
        """
        size = ends_bytes(work)
        if not self.low <= size <= self.high:
            raise ValueError(
                f"{work} moves {size} bytes; of {work.op} {self.low} to {self.high} were measured: measure a network "
                "with it (tilewise measure --model)"
            )
        return self.start + self.per_byte * size
