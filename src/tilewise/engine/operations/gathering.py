"""Concatenation, flips, repetition: pixels and channels put elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tilewise.engine.axes import CHANNEL, COLUMN, ROW, groups_for, groups_of_result, of_image
from tilewise.engine.fxnodes import is_fixed
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Simulated

IMAGE_AXES = 3
"""Channels, rows and columns."""
PAD, CUT = 0, 2
"""Kinds of the moves that put zeros around, and that take slices."""
FACTOR = 2**8
"""Most times that a move puts each."""
NO_END = 2**48
"""End of a slice that goes to the end of the image, as the native operation has it."""


class Move(NamedTuple):
    """What is done to the rows or columns of an image: one of the native operation's moves, and its numbers."""

    kind: int
    a: int = 0
    b: int = 0
    c: int = 0


def pad(before: int, after: int) -> Move:
    """Return the move that puts zeros before and after."""
    return Move(PAD, before, after)


def repeat(factor: int) -> Move:
    """Return the move that puts each so often."""
    return Move(1, factor)


def repeats(count: int) -> tuple[Move, ...]:
    """Return the moves that put a single entry so often."""
    if count <= FACTOR:
        return (repeat(count),)
    return repeat(FACTOR), repeat(-(-count // FACTOR)), cut(0, count, 1)


def cut(begin: int, end: int, step: int) -> Move:
    """Return the move that takes a slice."""
    return Move(CUT, begin, min(end, NO_END), step)


FLIP = Move(3)
"""The last one first."""
CROP = Move(4)
"""At most as many as the node's ``like`` has."""


def extent(moves: tuple[Move, ...], size: int) -> int:
    """Return how many entries moves leave of so many."""
    for move in moves:
        match move.kind:
            case 0 | 5 | 6 | 7:
                size += move.a + move.b
            case 1:
                size *= move.a
            case 2:
                size = len(range(*slice(move.a, move.b, move.c).indices(size)))
            case _:
                pass
    return size


class Part(NamedTuple):
    """What is done to an input's rows, columns and channels, and where in the result its channels begin."""

    rows: tuple[Move, ...] = ()
    cols: tuple[Move, ...] = ()
    first: int = 0
    channels: tuple[Move, ...] = ()

    @classmethod
    def of(cls, base: int, moves: tuple[Move, ...]) -> Part:
        """Return a part of which channels, rows or columns are moved."""
        return cls(
            rows=moves if base == ROW else (), cols=moves if base == COLUMN else (),
            channels=moves if base == CHANNEL else (),
        )  # fmt: skip

    def then(self, after: Part) -> Part:
        """Return what this and then another part do."""
        return Part(
            self.rows + after.rows, self.cols + after.cols, self.first + after.first, self.channels + after.channels
        )  # fmt: skip


@dataclass(frozen=True)
class Gather(Op):
    """One part for each input; they lie beside each other along channels (0), rows (1) or columns (2)."""

    moves: ClassVar[bool] = True
    adds_zeros: ClassVar[bool] = True

    parts: tuple[Part, ...]
    axis: int = CHANNEL

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the gathering."""
        writer.append(
            "gather", node.name, x=[writer.number(x) for x in node.inputs], y=writer.number(node),
            like=writer.number(node.like), axis=self.axis,
            first=np.array([part.first for part in self.parts], np.int64),
            rows=_moves([part.rows for part in self.parts]), cols=_moves([part.cols for part in self.parts]),
            channels=_moves([part.channels for part in self.parts]),
        )  # fmt: skip

    def takes(self, inner: Gather, made: Node) -> bool:
        """Whether this can do what ``inner``, which made a tensor of one image, does too."""
        if len(inner.parts) > 1 or made.like is not None:
            return False
        (before,) = inner.parts
        whole = extent(before.channels, made.inputs[0].chw.channels) == made.chw.channels
        return whole or (self.axis == CHANNEL and not any(part.channels for part in self.parts))

    @property
    def only_cuts(self) -> bool:
        """Whether it takes slices of one image, and nothing else."""
        if len(self.parts) > 1 or self.parts[0].channels:
            return False
        return all(move.kind == CUT for move in (*self.parts[0].rows, *self.parts[0].cols))

    @property
    def zeros_around(self) -> tuple[int, int, int, int] | None:
        """Rows of zeros above and below, columns to the left and to the right, if it does nothing but add them."""
        if len(self.parts) > 1 or self.parts[0].first != 0 or self.parts[0].channels:
            return None
        found: list[int] = []
        for moves in (self.parts[0].rows, self.parts[0].cols):
            if len(moves) > 1 or any(move.kind != PAD for move in moves):
                return None
            found += [moves[0].a, moves[0].b] if moves else [0, 0]
        return found[0], found[1], found[2], found[3]

    def then(self, i: int, inner: Gather) -> Gather:
        """Return what input ``i``, made by ``inner`` from one image, and this do together."""
        (before,) = inner.parts
        return replace(self, parts=(*self.parts[:i], before.then(self.parts[i]), *self.parts[i + 1 :]))


def _moves(parts: list[tuple[Move, ...]]) -> Any:
    rows = [(i, *move) for i, moves in enumerate(parts) for move in moves]
    return np.array(rows, np.int64).reshape(-1, 5)


def _stack(im: Importer, a: dict[str, Any]) -> Value:
    values = [im.value(x) for x in a["tensors"]]
    axis = a["dim"] % (len(values[0].shape) + 2)
    if axis == 0:
        raise im.refusal("is along the images; allowed: another axis")
    return join(im, [im.view(x, (*x.axes[: axis - 1], (), *x.axes[axis - 1 :])) for x in values], axis)


def join(im: Importer, values: list[Value], axis: int, still: Sequence[Sequence[bool]] = ()) -> Value:
    """Return tensors beside each other along an axis, the batch being axis 0; ``still``: which of their axes stay."""
    if axis == 0:
        raise im.refusal("is along the images; allowed: another axis")
    parts = [im.along(x, axis) for x in values]
    if any(_frame(*part, axis) != _frame(*parts[0], axis) for part in parts):
        values = [_settled(*pair) for pair in zip(values, still, strict=True)] if still else values
        parts = [im.along(_plain(im, x, axis), axis) for x in values]
        if any(_frame(*part, axis) != _frame(*parts[0], axis) for part in parts):
            raise im.refusal("puts tensors together whose channels, rows and columns do not go together")
    x, base = parts[0]
    sizes = [y.node.chw[base] for y, _ in parts]
    firsts = np.cumsum([0, *sizes]).tolist()[:-1] if base == CHANNEL else [0] * len(sizes)
    op = Gather(tuple(Part(first=first) for first in firsts), base)
    return moved(im, op, [y.node for y, _ in parts], x, base, axis, sum(sizes))


def _settled(x: Value, still: Sequence[bool]) -> Value:
    """Return a tensor without growth along axes of a fixed extent: rows are taken to grow wherever they come from."""
    pairs = zip(x.axes, still, strict=True)
    axes = (tuple(digit._replace(free=digit.free and not stays) for digit in axis) for axis, stays in pairs)
    return x._replace(order=tuple(axes))


def _frame(x: Value, base: int, axis: int) -> Any:
    """Return what tensors must have in common to lie beside each other."""
    others = [extent for b, extent in enumerate(x.node.chw) if b != base]
    return base, others, x.axes[: axis - 1], x.axes[axis:]


def _plain(im: Importer, x: Value, axis: int) -> Value:
    """Return a tensor whose channels, rows and columns follow from its axes, not from where its numbers lie."""
    groups = groups_of_result(x.axes) if len(x.axes) <= IMAGE_AXES else groups_for(x.axes, axis - 1)
    return im.arranged(x, groups)


def moved(
    im: Importer, op: Gather, nodes: list[Node], x: Value, base: int, axis: int, size: int, like: Node | None = None
) -> Value:
    """Append a gathering whose result is like ``x``, with another extent of one axis, which is all of ``base``."""
    chw = x.node.chw._replace(**{x.node.chw._fields[base]: size})
    axes = (*x.axes[: axis - 1], of_image(chw)[base], *x.axes[axis:])
    return im.view(Value(im.add(op, nodes, chw, like=like), x.shape), axes)


def along(im: Importer, x: Any, axis: int) -> tuple[Value, int]:
    """Return a tensor of which an axis, the batch being axis 0, is channels, rows or columns, and which."""
    if axis == 0:
        raise im.refusal("is along the images; allowed: another axis")
    return im.along(x, axis)


def pick(im: Importer, x: Any, axis: int, moves: tuple[Move, ...], size: int) -> Value:
    """Return what moves along an axis leave of a tensor: ``size`` entries, for the example."""
    value, base = along(im, x, axis)
    return moved(im, Gather((Part.of(base, moves),)), [value.node], value, base, axis, size)


def _flip(im: Importer, a: dict[str, Any]) -> Value:
    x = im.value(a["self"])
    for axis in (d % (len(x.shape) + 1) for d in a["dims"]):
        x = pick(im, x, axis, (FLIP,), x.shape[axis - 1])
    return x


def _roll(im: Importer, a: dict[str, Any]) -> Value:
    x = im.value(a["self"])
    if not a["dims"]:
        raise im.refusal("is of the flattened tensor; allowed: along axes")
    for shift, dim in zip(map(im.number, a["shifts"]), a["dims"], strict=True):
        axis = dim % (len(x.shape) + 1)
        if axis == 0 or abs(shift) >= x.shape[axis - 1]:
            raise im.refusal(f"is by {shift} along axis {axis}; allowed: less than the axis has, not of images")
        if shift == 0:
            continue
        value, base = im.along(x, axis)
        parts = [Part.of(base, (cut(-shift, NO_END, 1),)), Part.of(base, (cut(0, -shift, 1),))]
        if base == CHANNEL:
            parts[1] = parts[1]._replace(first=shift % value.node.chw.channels)
        x = moved(im, Gather(tuple(parts), base), [value.node] * 2, value, base, axis, x.shape[axis - 1])
    return x


def repeated(im: Importer, x: Value, times: Sequence[Any]) -> Value:
    """Return a tensor put beside itself along its axes, so many times each, the batch being axis 0."""
    counts = [im.number(count) for count in times]
    counts = [1] * (len(x.shape) + 1 - len(counts)) + counts
    if counts[0] != 1 or len(counts) > len(x.shape) + 1:
        raise im.refusal(f"repeats images or adds axes: {counts}; allowed: along other axes")
    for axis, count in enumerate(counts):
        if count > 1:
            x = join(im, [x] * count, axis)
    return x


def expanded(im: Importer, x: Value, out: tuple[int, ...]) -> Value:
    """Return a tensor with single entries repeated until it has a shape, which is the current result's or nearly."""
    x = im.view(x, ((),) * (len(out) - len(x.shape)) + x.axes)
    for axis, (old, new) in enumerate(zip(x.shape, out, strict=True), 1):
        if old != new:
            if not is_fixed(im.node.meta["val"].shape[axis]):
                im.need_fixed_sizes()
            in_place = x.shape[axis - 1 :] == x.node.chw[axis - 1 :] and len(x.shape) == IMAGE_AXES
            value, base = (x, axis - 1) if in_place else im.along(x, axis)
            x = moved(im, Gather((Part.of(base, repeats(new)),)), [value.node], value, base, axis, new)
    return x


def _repeat_interleave(im: Importer, a: dict[str, Any]) -> Value:
    if a["dim"] is None:
        raise im.refusal("is of the flattened tensor; allowed: along an axis")
    axis, count = axis_of(im, a), im.number(a["repeats"])
    return pick(im, a["self"], axis, (repeat(count),), count * im.value(a["self"]).shape[axis - 1])


def axis_of(im: Importer, a: dict[str, Any]) -> int:
    """Return the axis that an operation is along, the batch being axis 0."""
    return int(a["dim"]) % (len(im.value(a["self"]).shape) + 1)


IMPORTS: dict[str, Handler] = {
    "aten::stack": _stack, "aten::flip": _flip, "aten::roll": _roll, "aten::repeat_interleave": _repeat_interleave,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
