"""How far the sums of an integer convolution can reach, from its own weights: the bound behind every exact layer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SumReach(NamedTuple):
    """Smallest and largest sum of every output channel, int64 arrays of shape (K,)."""

    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Largest ``highest - lowest`` of a channel: what a modulus has to exceed."""
        return int((self.highest - self.lowest).max(initial=0))


def reach(weight: NDArray[np.integer], low: int, high: int) -> SumReach:
    """Bound ``sum w * x`` over all integer inputs between two limits, which it attains.

    Parameters
    ----------
    weight : integers of shape (K, ...)
        Everything behind the first axis is summed over.
    low, high : int
        ``low <= 0 <= high``, so that zero padding lies between them.

    Raises
    ------
    ValueError
        If 0 does not lie between the limits.
    """
    if not low <= 0 <= high:
        raise ValueError(f"inputs from {low} to {high}; padding is 0, which must lie between them")
    w = weight.reshape(len(weight), -1).astype(np.int64)
    positive, negative = np.maximum(w, 0).sum(1), np.minimum(w, 0).sum(1)
    return SumReach(positive * low + negative * high, positive * high + negative * low)


def equal_blocks(channels: int, count: int) -> list[slice]:
    """Cut channels into at most so many blocks of one size, but for the last."""
    size = -(-channels // count)
    return [slice(first, min(first + size, channels)) for first in range(0, channels, size)]


def channel_blocks(weight: NDArray[np.integer], low: int, high: int, capacity: int) -> list[slice]:
    """Cut the input channels into the fewest equal blocks whose sums differ by no more than a number.

    Parameters
    ----------
    weight : integers of shape (K, C, ...)
        Of the layer.
    low, high : int
        Limits of the input.
    capacity : int
        Largest width of a block's sums.

    Raises
    ------
    ValueError
        If not even single channels serve, with the bound.
    """
    channels = weight.shape[1]
    for count in range(1, channels + 1):
        blocks = equal_blocks(channels, count)
        if all(reach(weight[:, block], low, high).width <= capacity for block in blocks):
            return blocks
    width = max(reach(weight[:, c : c + 1], low, high).width for c in range(channels))
    raise ValueError(f"sums over a single channel differ by {width}; allowed: {capacity}")
