"""Zeros around an image, as numbers."""

from __future__ import annotations

from typing import TypeAlias

from torch import nn

Pair: TypeAlias = tuple[int, int]
"""Of rows and columns."""


def padding_of(conv: nn.Conv2d) -> Pair:
    """Return the rows and columns of zeros at each side of a convolution's input.

    ``"same"`` of an even extent has one more at the end, which is left out here: who asks does not take such layers.
    """
    (kh, kw), (dh, dw) = conv.kernel_size, conv.dilation
    if isinstance(conv.padding, str):
        return same_padding((kh, kw), (dh, dw)) if conv.padding == "same" else (0, 0)
    rows, columns = conv.padding
    return int(rows), int(columns)


def same_padding(kernel: Pair, dilation: Pair) -> Pair:
    """Return the padding that keeps an image's size at stride 1."""
    rows, columns = (d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return rows, columns
