"""How far the sums of an integer convolution can reach, from its own weights: the bound behind every exact layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Reach(NamedTuple):
    """Smallest and largest sum of every output channel, int64 arrays of shape (K,)."""

    lowest: NDArray[np.int64]
    highest: NDArray[np.int64]

    @property
    def width(self) -> int:
        """Largest ``highest - lowest`` of a channel: what a modulus has to exceed."""
        return int((self.highest - self.lowest).max(initial=0))


def reach(weight: NDArray[np.integer], low: int, high: int) -> Reach:
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
    return Reach(positive * low + negative * high, positive * high + negative * low)


def channel_blocks(weight: NDArray[np.integer], low: int, high: int, serves: Callable[[Reach], bool]) -> list[slice]:
    """Cut the input channels into the fewest equal blocks (but for the last) whose sums all serve.

    Parameters
    ----------
    weight : integers of shape (K, C, ...)
        Of the layer.
    low, high : int
        Limits of the input.
    serves : function of Reach
        Whether sums that reach so far come back exactly.

    Raises
    ------
    ValueError
        If not even single channels serve, with the bound.
    """
    channels = weight.shape[1]
    for count in range(1, channels + 1):
        size = -(-channels // count)
        blocks = [slice(first, min(first + size, channels)) for first in range(0, channels, size)]
        if all(serves(reach(weight[:, block], low, high)) for block in blocks):
            return blocks
    width = max(reach(weight[:, c : c + 1], low, high).width for c in range(channels))
    raise ValueError(f"sums of a single channel differ by {width}, more than any block allows")
