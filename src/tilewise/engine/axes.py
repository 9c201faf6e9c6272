"""What each axis of a torch tensor holds of the engine's channels, rows and columns: permutes, reshapes cost nothing.

The engine keeps images as (N, H, W, C), whatever torch calls them. A digit is a part of a channel's, row's or column's
number: an axis of 12 channels that is viewed as (3, 4) has two digits, of 3 and of 4 values. An axis of a torch tensor
is a sequence of digits, the outermost first. Permuting moves axes, reshaping joins or splits them.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

CHANNEL, ROW, COLUMN = range(3)


class Digit(NamedTuple):
    """A part of a channel's, row's or column's number.

    Parameters
    ----------
    base : int
        Whose: 0 channel, 1 row, 2 column.
    size : int
        How many values it has, for the example.
    step : int
        What one more of it adds to the number, for the example.
    free : bool
        Whether ``size`` follows from the image's size.
    """

    base: int
    size: int
    step: int = 1
    free: bool = False


Axes: TypeAlias = tuple[tuple[Digit, ...], ...]
"""The digits of each axis after the batch."""


def of_image(chw: Sequence[int]) -> Axes:
    """Return the axes of an image as torch has it: channels, rows, columns."""
    return tuple(
        _joined((Digit(base, size, 1, free=base != CHANNEL),)) for base, size in enumerate(chw)
    )  # fmt: skip


def image_shape(shape: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Return channels, height and width of the image that an input (C, H, W), (C, W) or (C,) is."""
    channels, *sides = shape
    height, width = [1, 1, *sides][-2:]
    return channels, height, width


def of_input(shape: Sequence[int]) -> Axes:
    """Return the axes of an input (C, H, W), (C, W) or (C,)."""
    channels, *sides = of_image(image_shape(shape))
    return channels, *sides[3 - len(shape) :]


def shape_of(axes: Axes) -> tuple[int, ...]:
    """Return the extents of axes for the example."""
    return tuple(math.prod(digit.size for digit in axis) for axis in axes)


def sequence(axes: Axes, bases: Container[int] = (CHANNEL, ROW, COLUMN)) -> tuple[Digit, ...]:
    """Return all digits in the order of the flattened tensor, of some bases."""
    return _joined(digit for axis in axes for digit in axis if digit.base in bases)


def whole(axis: tuple[Digit, ...], base: int, size: int) -> bool:
    """Whether an axis is the channels, rows or columns, all of them and in order."""
    return axis == of_image([size if b == base else 1 for b in range(3)])[base]


def reshaped(axes: Axes, shape: Sequence[int], fixed: Sequence[bool] = ()) -> Axes | None:
    """Return the axes of a reshaped tensor, or None where an axis would cut through a digit.

    ``fixed`` says which extents are the same for all sizes of images: where rows are split, the other part grows, and
    what is one row for the example is one row for all.
    """
    left = list(sequence(axes))
    result: list[tuple[Digit, ...]] = []
    for i, size in enumerate(shape):
        axis: list[Digit] = []
        missing = size
        while left and (missing > 1 or (not axis and left[0].size == 1)):
            digit = left.pop(0)
            if missing % digit.size == 0:
                axis.append(digit)
                missing //= digit.size
            elif digit.size % missing == 0:
                rest = digit.size // missing
                grows = digit.free and not _is_fixed(fixed, i)
                if grows and (any(d.free for d in axis) or not (_is_fixed(fixed, i + 1) and rest % shape[i + 1] == 0)):
                    return None  # which part grows with the image?
                axis.append(Digit(digit.base, missing, digit.step * rest, grows))
                left.insert(0, Digit(digit.base, rest, digit.step, digit.free and not grows))
                missing = 1
            else:
                return None
        if missing > 1:
            return None
        result.append(tuple(axis))
    if left and result:
        result[-1] += tuple(left)
    if any(digit.size > 1 for digit in left):
        return None
    return tuple(_joined(d for d in axis if d.size > 1 or not _is_fixed(fixed, i)) for i, axis in enumerate(result))


def _is_fixed(fixed: Sequence[bool], i: int) -> bool:
    return i < len(fixed) and fixed[i]


def regrouped(axes: Axes, groups: Axes) -> Axes | None:
    """Return what axes are of another tensor, whose channels, rows and columns are ``groups`` of the same digits.

    None where two digits that grow with the image would be one number's, and not always side by side.
    """
    places: dict[Digit, Digit] = {}
    for base, group in enumerate(groups):
        step = 1
        for digit in reversed(group):
            places[digit] = Digit(base, digit.size, step, digit.free and base != CHANNEL)
            step *= digit.size
    sizes = shape_of(groups)
    result = []
    for axis in axes:
        if axis in groups:
            base = groups.index(axis)
            result.append(_joined((Digit(base, sizes[base], 1, base != CHANNEL and any(d.free for d in axis)),)))
        else:
            result.append(_joined(places[digit] for digit in axis))
    several = any(sum(digit.free for digit in group) > 1 and group not in axes for group in groups[1:])
    return None if several else tuple(result)


def groups_for(axes: Axes, lead: int) -> Axes:
    """Return channels, rows and columns of a tensor of which one axis is whole: channels, or columns if it grows."""
    first, others = axes[lead], [axis for i, axis in enumerate(axes) if i != lead]
    if any(digit.free for digit in first):
        channels = next((axis for axis in reversed(others) if not any(digit.free for digit in axis)), ())
        rows = tuple(digit for axis in others if axis is not channels for digit in axis)
        return channels, rows, first
    return groups_led_by(axes, [lead])


def groups_led_by(axes: Axes, leads: Sequence[int]) -> Axes:
    """Return channels, rows and columns of a tensor whose channels are some axes, all of these and nothing else."""
    others = [i for i in range(len(axes)) if i not in leads]
    growing = [i for i in others if any(digit.free for digit in axes[i])]
    # Rows of which two digits grow would not follow from the image's size alone.
    column = growing[-1] if len(growing) > 1 else others[-1] if others else -1
    parts = (leads, [i for i in others if i != column], [i for i in others if i == column])
    channels, rows, columns = (tuple(digit for i in part for digit in axes[i]) for part in parts)
    return channels, rows, columns


def groups_of_result(axes: Axes) -> Axes:
    """Return channels, rows and columns of a tensor whose numbers come pixel by pixel or channel by channel."""
    if not any(digit.free for digit in axes[-1]):
        return groups_for(axes, len(axes) - 1)
    count = next(i for i, axis in enumerate(axes) if any(digit.free for digit in axis))
    parts = (axes[:count], axes[count:-1], axes[-1:])
    channels, rows, columns = (tuple(digit for axis in part for digit in axis) for part in parts)
    return channels, rows, columns


def _joined(digits: Iterable[Digit]) -> tuple[Digit, ...]:
    """Return digits with neighbours that are one number as one digit, and without those that are always 0."""
    result: list[Digit] = []
    for digit in digits:
        if digit.size == 1 and not digit.free:
            continue
        outer = result[-1] if result else None
        follows = outer is not None and outer.base == digit.base and outer.step == digit.step * digit.size
        if outer is not None and follows and not (outer.free and digit.free):
            result[-1] = Digit(digit.base, outer.size * digit.size, digit.step, outer.free or digit.free)
        else:
            result.append(digit)
    return tuple(result)
