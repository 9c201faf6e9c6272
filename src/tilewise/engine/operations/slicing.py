"""Slices, splits, picked entries, and what is assigned to slices."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from tilewise.engine.axes import CHANNEL
from tilewise.engine.fxnodes import hint, size_of
from tilewise.engine.importer import ComputedSizeError, Handler, Importer, Value
from tilewise.engine.operations.gathering import (
    CROP,
    NO_END,
    Gather,
    Part,
    axis_of,
    cut,
    expanded,
    join,
    moved,
    pick,
)
from tilewise.engine.simulation import Simulated


def _slice(im: Importer, a: dict[str, Any]) -> Value:
    x, axis = im.value(a["self"]), axis_of(im, a)
    goal = size_of(a["end"]) if isinstance(a["end"], fx.Node) and a["start"] in (None, 0) and a["step"] == 1 else None
    if goal is not None and axis > 0:
        return _crop(im, x, axis, *goal)
    begin, end = im.number(a["start"] or 0), NO_END if a["end"] is None else im.number(a["end"])
    if begin == 0 and end >= NO_END and a["step"] == 1:
        return x
    return pick(im, a["self"], axis, (cut(begin, end, a["step"]),), im.out()[axis - 1])


def _scatter(im: Importer, a: dict[str, Any]) -> Value:
    """Return a tensor with a slice of it replaced, as assigning to a slice in place has it."""
    axis, everything = axis_of(im, a), a["end"] is None or a["end"] >= NO_END
    if a["start"] in (None, 0) and everything and a["step"] == 1:
        return im.value(a["src"])
    size = im.value(a["self"]).shape[axis - 1]
    begin, end, step = slice(a["start"], a["end"], a["step"]).indices(size)
    if axis == 0 or step != 1:
        raise im.refusal(f"replaces along axis {axis} in steps of {step}; allowed: one after the other, not of images")
    _need_a_fixed_number(im, a["self"], axis)
    sides = [pick(im, a["self"], axis, (cut(*span, 1),), span[1] - span[0]) for span in ((0, begin), (end, size))]
    return join(im, [x for x in (sides[0], im.value(a["src"]), sides[1]) if x.shape[axis - 1] > 0], axis)


def _copy(im: Importer, a: dict[str, Any]) -> Value:
    """Return what is put in the place of a tensor."""
    x = im.value(a["src"])
    return x if x.shape == im.out() else expanded(im, x, im.out())


def _crop(im: Importer, x: Value, axis: int, to: fx.Node, to_axis: int) -> Value:
    """Return the first of an axis, as many as an axis of another tensor has."""
    value, base = im.along(x, axis)
    goal, goal_base = im.along(im.value(to), to_axis)
    if base == CHANNEL or base != goal_base:
        raise ComputedSizeError(str(im.refusal("ends at a size that the model computes")))
    op = Gather((Part.of(base, (CROP,)),))
    return moved(im, op, [value.node], value, base, axis, im.out()[axis - 1], goal.node)


def _narrow(im: Importer, a: dict[str, Any]) -> Value:
    begin, length = im.number(a["start"]), im.number(a["length"])
    axis = axis_of(im, a)
    begin = begin if begin >= 0 else begin + im.value(a["self"]).shape[axis - 1]
    return pick(im, a["self"], axis, (cut(begin, begin + length, 1),), length)


def _select(im: Importer, a: dict[str, Any]) -> Value:
    return _one(im, a["self"], axis_of(im, a), im.number(a["index"]))


def _one(im: Importer, x: Any, axis: int, index: int) -> Value:
    """Return one entry of an axis, without the axis."""
    found = pick(im, x, axis, (cut(index, index + 1 if index != -1 else NO_END, 1),), 1)
    return im.view(found, found.axes[: axis - 1] + found.axes[axis:])


def _unbind(im: Importer, a: dict[str, Any]) -> list[Value]:
    axis = axis_of(im, a)
    if axis > 0:
        _need_a_fixed_number(im, a["self"], axis)
    return [_one(im, a["self"], axis, i) for i in range(len(im.node.meta["val"]))]


def _split(im: Importer, a: dict[str, Any]) -> list[Value]:
    axis, found, begin = axis_of(im, a), [], 0
    if axis > 0:
        _need_a_fixed_number(im, a["self"], axis)
    for part in im.node.meta["val"]:
        size = hint(part.shape[axis])
        found.append(pick(im, a["self"], axis, (cut(begin, begin + size, 1),), size))
        begin += size
    return found


def _need_a_fixed_number(im: Importer, x: Any, axis: int) -> None:
    """Refuse parts of an axis that grows with the image."""
    if any(digit.free for digit in im.value(x).axes[axis - 1]):
        im.need_fixed_sizes()


def _index(im: Importer, a: dict[str, Any]) -> Value:
    if "index" in a:
        axis, index = axis_of(im, a), a["index"]
    else:
        given = [i for i, index in enumerate(a["indices"]) if index is not None]
        if len(given) != 1:
            raise im.refusal(f"picks along {len(given)} axes at once; allowed: 1")
        axis, index = given[0], a["indices"][given[0]]
    picked = im.tensor(index)
    if axis == 0 or picked is None or picked.ndim != 1 or picked.dtype.is_floating_point or not len(picked):
        raise im.refusal("does not pick by whole numbers along one axis; allowed: a list of them, not of images")
    _need_a_fixed_number(im, a["self"], axis)
    count = im.value(a["self"]).shape[axis - 1]
    numbers = [int(i) % count for i in picked]
    value, base = im.along(a["self"], axis)
    runs = [cut(first, first + length, 1) for first, length in _runs(numbers)]
    firsts = np.cumsum([0, *(run.b - run.a for run in runs)]).tolist() if base == CHANNEL else [0] * len(runs)
    parts = tuple(Part.of(base, (run,))._replace(first=first) for run, first in zip(runs, firsts, strict=False))
    return moved(im, Gather(parts, base), [value.node] * len(runs), value, base, axis, len(numbers))


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """Return where numbers that rise by one each begin, and how many they are."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((number, 1))
    return runs


IMPORTS: dict[str, Handler] = {
    "aten::slice": _slice, "aten::narrow": _narrow, "aten::slice_scatter": _scatter, "aten::copy": _copy,
    "aten::select": _select, "aten::unbind": _unbind,
    **dict.fromkeys(
        ("aten::split", "aten::split_with_sizes", "aten::chunk", "aten::tensor_split", "aten::unsafe_chunk"), _split
    ),
    "aten::index": _index, "aten::index_select": _index,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
