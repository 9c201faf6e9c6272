"""The arithmetic of the interpreter of programs (conftest.py), in NumPy: sums, transforms, formats, moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tilewise as tw
from tilewise.algebra import Planar
from tilewise.algebra.program import PLANAR, UNROLLED, Program, output_program, program

F32 = np.float32
Floats = NDArray[np.float32]
NO_END = 2**48
"""End of a slice that goes to the end of the image."""


def channel_sum(x: Floats) -> Floats:
    """Sums over the channels: 16 side by side, then in halves."""
    sums = np.zeros((*x.shape[:-1], 16), F32)
    for c in range(x.shape[-1]):
        sums[..., c % 16] += x[..., c]
    for half in (8, 4, 2, 1):
        sums = sums[..., :half] + sums[..., half : 2 * half]
    return sums


def pixel_sum(x: Floats) -> Floats:
    """Sums over the pixels: each row from left to right, then the rows."""
    total = np.zeros_like(x[:, 0, 0])
    for i in range(x.shape[1]):
        row = np.zeros_like(total)
        for j in range(x.shape[2]):
            row = row + x[:, i, j]
        total = total + row
    return total[:, None, None]


def padded(x: NDArray[Any], padding: Sequence[int]) -> NDArray[Any]:
    """Zeros above, below, to the left and to the right."""
    top, bottom, left, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def of_all_inputs(u: NDArray[Any], channels: int) -> NDArray[Any]:
    """U with zeros for the channels of other groups."""
    taps, k, c = u.shape
    whole = np.zeros((taps, k, channels), u.dtype)
    for filter_ in range(k):
        first = filter_ // (k * c // channels) * c
        whole[:, filter_, first : first + c] = u[:, filter_]
    return whole


def moved(x: Floats, axis: int, goal: int | None, kind: int, a: int, b: int, c: int) -> Floats:
    """What a move of a gather makes of an image's rows (axis 1), columns (2) or channels (3)."""
    if kind == 0:
        return np.pad(x, [(a, b) if i == axis else (0, 0) for i in range(4)])
    if kind == 2:
        return x[(slice(None),) * axis + (slice(a, None if b == NO_END else b, c),)]
    if kind == 4:
        return x[(slice(None),) * axis + (slice(0, goal),)]
    if kind > 4:
        return np.pad(x, [(a, b) if i == axis else (0, 0) for i in range(4)], ["reflect", "edge", "wrap"][kind - 5])
    return np.flip(x, axis) if kind == 3 else np.repeat(x, a, axis)


def taps(pixels: int, out: int, scale: float, mode: int, align_corners: bool) -> tuple[list[Any], list[Floats]]:
    """Pixels for each of ``out``, and the weight of each, in float32."""
    i, half, last = np.arange(out, dtype=F32), F32(0.5), F32(pixels - 1)
    step = (
        F32((pixels - 1) / (out - 1) if out > 1 else 0) if align_corners else F32(1 / scale if scale else pixels / out)
    )
    between = step * i if align_corners else step * (i + half) - half
    if pixels == out:
        between = i
    if mode == 1:
        return [np.minimum((step * i).astype(np.int64), pixels - 1)], [np.ones(out, F32)]
    if mode == 2:
        place = np.maximum(step * (i + half) - half, F32(0)) + half
        return [np.minimum(place.astype(np.int64), pixels - 1)], [np.ones(out, F32)]
    if mode == 0:
        between = np.maximum(between, F32(0))
    low = np.minimum(np.floor(between), last)
    part = np.clip(between - low, 0, 1).astype(F32)
    first = low.astype(np.int64)
    if mode == 0:
        return [first, np.minimum(first + 1, pixels - 1)], [F32(1) - part, part]
    inner = [((F32(1.25) * t - F32(2.25)) * t) * t + F32(1) for t in (part, F32(1) - part)]
    outer = [((F32(-0.75) * t + F32(3.75)) * t - F32(6)) * t + F32(3) for t in (part + F32(1), F32(1) - part + F32(1))]
    places = [np.clip(first + k, 0, pixels - 1) for k in (-1, 0, 1, 2)]
    return places, [outer[0], inner[0], inner[1], outer[1]]


def to_bf16(x: NDArray[Any]) -> NDArray[np.uint16]:
    """Upper halves of the nearest floats whose lower halves are empty; of two as near the even one."""
    bits = x.astype(F32).view(np.uint32)
    lower, upper = bits >> 16, (bits >> 16) + 1
    rest = bits & 0xFFFF
    up = (rest > 0x8000) | ((rest == 0x8000) & (lower % 2 == 1))
    return np.where(up, upper, lower).astype(np.uint16)


def widened(halves: NDArray[np.uint16]) -> Floats:
    """The floats whose upper halves these are."""
    return (halves.astype(np.uint32) << 16).view(F32)


def named() -> Iterator[tuple[NDArray[Any], Program]]:
    """Named output transforms, and their programs."""
    for name in (*UNROLLED, *PLANAR):
        a = tw.algorithm(*name)
        matrix = np.array([[int(x) for x in row] for row in a.AT])
        if isinstance(a, Planar):
            assert a.factors is not None
            yield matrix, output_program(a.factors)
        else:
            yield matrix, program(matrix.tolist())


NAMED = list(named())


def steps_of(matrix: NDArray[Any]) -> tuple[list[Any], list[int]]:
    """Named output transforms as their program, other matrices row by row, ascending."""
    for known, found in NAMED:
        if matrix.shape == known.shape and (matrix == known).all():
            return list(found.steps), list(found.outputs)
    rows = [[(factor, i) for i, factor in enumerate(row) if factor != 0] for row in matrix]
    return rows, list(range(len(rows)))


def sandwich(matrix: NDArray[Any], tiles: NDArray[Any], planar: bool = False) -> NDArray[Any]:
    """``matrix @ tile @ matrix.T``, of tiles that are vectors ``matrix @ tile``; each product and sum rounded."""
    steps, outputs = steps_of(matrix)

    def left(parts: NDArray[Any]) -> NDArray[Any]:
        values = list(parts)
        for step in steps:
            total = np.zeros_like(parts[0])
            for factor, number in step:
                total = total + parts.dtype.type(factor) * values[number]
            values.append(total)
        return np.stack([values[len(parts) + k] for k in outputs])

    return left(tiles) if planar else left(left(tiles).swapaxes(0, 1)).swapaxes(0, 1)
