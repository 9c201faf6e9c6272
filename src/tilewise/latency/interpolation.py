"""Between the points of a grid: linear in each coordinate, never beyond the outermost points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from tilewise.common.padding import same_padding
from tilewise.latency.records import Convolution

Point = tuple[float, ...]


def family(work: Convolution) -> tuple[object, ...]:
    """Give what all points of one grid have in common."""
    shape = work.shape
    same = shape.padding == same_padding(shape.kernel, shape.dilation)
    return work.candidate, work.unfused, shape.batch, shape.kernel, shape.stride, shape.dilation, same


def coordinates(work: Convolution) -> Point:
    """Give a convolution's place: logarithms of C, of K / C and of the square root of the pixels that it reads."""
    shape = work.shape
    return (
        math.log2(shape.in_channels),
        math.log2(shape.out_channels / shape.in_channels),
        math.log2(shape.height * shape.width) / 2,
    )


def interpolate(points: Mapping[Point, float], at: Point) -> float:
    """Interpolate multilinearly within the smallest cell of a grid around a point.

    Parameters
    ----------
    points : mapping of tuple of float to float
        Values at the grid's points, at least one; the grid is the product of all coordinates that occur.
    at : tuple of float
        Where.

    Raises
    ------
    ValueError
        If ``at`` lies beyond the grid (:class:`OutsideError`), or a corner of its cell is missing
        (:class:`MissingError`).
    """
    corners: list[list[tuple[float, float]]] = []
    for i, x in enumerate(at):
        values = sorted({point[i] for point in points})
        if not values[0] - TOLERANCE <= x <= values[-1] + TOLERANCE:
            raise OutsideError(i, values[0], values[-1])
        low = max((v for v in values if v <= x + TOLERANCE), default=values[0])
        high = min((v for v in values if v >= x - TOLERANCE), default=values[-1])
        share = 0.0 if high - low <= TOLERANCE else (x - low) / (high - low)
        corners.append([(low, 1 - share), (high, share)] if share else [(low, 1.0)])
    total = 0.0
    for corner in itertools.product(*corners):
        point = tuple(value for value, _ in corner)
        if point not in points:
            raise MissingError(point)
        total += points[point] * math.prod(share for _, share in corner)
    return total


TOLERANCE = 1e-9


class OutsideError(ValueError):
    """A coordinate is beyond the grid's."""

    def __init__(self, axis: int, low: float, high: float) -> None:
        super().__init__(f"coordinate {axis} is outside {low} to {high}")
        self.axis, self.low, self.high = axis, low, high


class MissingError(ValueError):
    """A corner of the cell was not measured."""

    def __init__(self, point: Point) -> None:
        super().__init__(f"the point {point} is missing")
        self.point = point
