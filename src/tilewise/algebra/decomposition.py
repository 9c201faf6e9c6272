"""Strided and large convolutions as sums of small ones of stride 1, in one bilinear triple."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from tilewise.algebra.bilinear import Bilinear


class Piece(NamedTuple):
    """Filter taps ``first, first + stride, ...`` of a convolution: ``taps`` of them."""

    first: int
    taps: int


def pieces(r: int, stride: int, most: int) -> list[Piece]:
    """Cut ``r`` filter taps into pieces that are convolutions of stride 1.

    Taps that are equal modulo the stride meet the same samples, ``d[p::stride]``, one sample further for each output:
    a convolution of stride 1. Where it has more than ``most`` taps it is cut into equal parts, the longer ones first.

    Parameters
    ----------
    r, stride : int
        Taps, and samples from one output to the next.
    most : int
        Taps of a piece, at most.

    Raises
    ------
    ValueError
        If one of them is below 1.

    Examples
    --------
    >>> pieces(3, 2, 4)
    [Piece(first=0, taps=2), Piece(first=1, taps=1)]
    >>> pieces(7, 1, 4)
    [Piece(first=0, taps=4), Piece(first=4, taps=3)]
    """
    for name, value in (("r", r), ("stride", stride), ("most", most)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    found = []
    for phase in range(min(stride, r)):
        taps, begin = -(-(r - phase) // stride), 0
        for rest in range(-(-taps // most), 0, -1):
            length = -(-(taps - begin) // rest)
            found.append(Piece(phase + stride * begin, length))
            begin += length
    return found


def decompose(
    m: int, r: int, stride: int, served: Callable[[int, int], Bilinear], *, most: int = 4, name: str | None = None
) -> Bilinear:
    """Build F(m, r) of any stride out of served algorithms of stride 1.

    ``y_i = sum_k g_k d_{stride i + k}`` is a sum of convolutions of stride 1, one for each of :func:`pieces`. Their
    products stand side by side, so that ``A^T`` makes the sum. Nested in two dimensions this is the sum over all pairs
    of pieces, rectangular ones among them, of Huang et al.

    Parameters
    ----------
    m, r, stride : int
        Outputs, filter taps, and samples from one output to the next.
    served : callable
        ``served(m, taps)`` gives the algorithm of a piece, of stride 1.
    most : int
        Taps of a piece, at most.
    name : str, optional
        What the pieces' taps are appended to, as in ``"F(4, 3) of 2+1 taps"``; ``F(m, r)`` by default.

    Returns
    -------
    Bilinear
        Proved before it is returned.

    Raises
    ------
    ValueError
        If a size is below 1, or a piece's algorithm is for other sizes.

    References
    ----------
    Huang et al., "DWM: A Decomposable Winograd Method for Convolution Acceleration", AAAI 2020, arXiv 2002.00552,
    section 3.
    """
    parts = pieces(r, stride, most)
    tile = stride * (m - 1) + r
    g, bt, columns = [], [], []
    for part in parts:
        a = served(m, part.taps)
        if (a.m, a.r, a.stride) != (m, part.taps, 1):
            raise ValueError(
                f"the piece is {a.name}, F({a.m}, {a.r}) of stride {a.stride}; it must be F({m}, {part.taps}) of "
                "stride 1"
            )
        g += [_spread(row, part.first, stride, r) for row in a.G]
        bt += [_spread(row, part.first, stride, tile) for row in a.BT]
        columns += list(zip(*a.AT, strict=True))
    label = f"{name or f'F({m}, {r})'} of {'+'.join(str(part.taps) for part in parts)} taps"
    return Bilinear(label, m, r, tuple(zip(*columns, strict=True)), tuple(g), tuple(bt), stride).normalized().verify()


def _spread(row: tuple[Fraction, ...], first: int, step: int, size: int) -> tuple[Fraction, ...]:
    """Put numbers to places ``first, first + step, ...`` of a row of ``size``."""
    places = [Fraction(0)] * size
    places[first : first + step * len(row) : step] = row
    return tuple(places)
