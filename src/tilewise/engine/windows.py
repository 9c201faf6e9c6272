"""Which pixels an output pixel is made from: pooling windows, slices, interpolation, along one axis."""

from __future__ import annotations

import numpy as np

from tilewise.engine.graph import Floats, Ints


def pool_spans(size: int, out: int, kernel: int, stride: int, padding: int) -> Ints:
    """(begin, end) of each window, clipped to the image."""
    begin = np.arange(out, dtype=np.int64) * stride - padding
    return np.stack([begin.clip(0), (begin + kernel).clip(max=size)], axis=1)


def adaptive_spans(size: int, out: int) -> Ints:
    """(begin, end) of the windows that ``out`` outputs share an axis of ``size`` pixels by."""
    i = np.arange(out, dtype=np.int64)
    return np.stack([i * size // out, -((i + 1) * -size // out)], axis=1)


def all_of(size: int) -> Ints:
    """Every pixel in its place."""
    return np.arange(size, dtype=np.int64)


def padded(size: int, before: int, after: int) -> Ints:
    """Every pixel, with zeros (-1) around."""
    return np.pad(all_of(size), (before, after), constant_values=-1)


def repeated(size: int, factor: int) -> Ints:
    """Every pixel ``factor`` times."""
    return np.repeat(all_of(size), factor)


def interpolated(size: int, out: int, scale: float | None, *, align_corners: bool) -> tuple[Ints, Floats]:
    """(low, high) pixels and the weight of the high one, as torch's bilinear interpolation in float32.

    ``scale`` is the factor that the caller gave, None where only a size was given.
    """
    i = np.arange(out, dtype=np.float32)
    if align_corners:
        position = i * np.float32((size - 1) / (out - 1) if out > 1 else 0)
    else:
        step = np.float32(1 / scale if scale is not None else size / out)
        position = np.maximum(step * (i + np.float32(0.5)) - np.float32(0.5), np.float32(0))
    low = np.minimum(position.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    weight = np.clip(position - low.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack([low, high], axis=1), weight
