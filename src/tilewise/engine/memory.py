"""Where tensors lie in the arena: two that are needed at the same time never share a byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64


class Lifetime(NamedTuple):
    """Bytes of a tensor, the step that writes it first and the last one that reads it."""

    size: int
    first: int
    last: int

    def meets(self, other: Lifetime) -> bool:
        """Whether both are needed in some step."""
        return self.first <= other.last and other.first <= self.last


def arrange(tensors: Sequence[Lifetime]) -> tuple[list[int], int]:
    """Give each tensor an offset, and the bytes that all need.

    Large ones choose first; each takes the smallest gap that holds it among those it meets, or the end.

    Parameters
    ----------
    tensors : sequence of Lifetime
        In any order.

    Returns
    -------
    list of int
        Offsets, multiples of ``ALIGNMENT``.
    int
        End of the last tensor.
    """
    offsets = [-1] * len(tensors)
    for i in sorted(range(len(tensors)), key=lambda i: (-tensors[i].size, tensors[i].first)):
        taken = sorted(
            (offsets[j], offsets[j] + _aligned(t.size))
            for j, t in enumerate(tensors)
            if offsets[j] >= 0 and t.meets(tensors[i])
        )
        offsets[i] = _best_gap(taken, tensors[i].size)
    return offsets, max((o + _aligned(t.size) for o, t in zip(offsets, tensors, strict=True)), default=0)


def _best_gap(taken: list[tuple[int, int]], size: int) -> int:
    """Start of the smallest gap of at least ``size`` bytes between the taken places, or the end of the last one."""
    end, gaps = 0, []
    for begin, finish in taken:
        if begin - end >= size:
            gaps.append((begin - end, end))
        end = max(end, finish)
    return min(gaps)[1] if gaps else end


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
