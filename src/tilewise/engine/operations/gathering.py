"""Slices, zero padding, concatenation, nearest upsampling: pixels put elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Simulated

PAD, CUT = 0, 2
"""Kinds of the moves that put zeros around, and that take slices."""
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


def cut(begin: int, end: int, step: int) -> Move:
    """Return the move that takes a slice."""
    return Move(CUT, begin, min(end, NO_END), step)


FILL = Move(3)
"""Each so often that they fill the size of the node's ``like``."""


class Part(NamedTuple):
    """Where an input goes: what is done to its rows and columns, and the channel of the result where it begins."""

    rows: tuple[Move, ...]
    cols: tuple[Move, ...]
    first: int


@dataclass(frozen=True)
class Gather(Op):
    """One part for each input."""

    moves: ClassVar[bool] = True
    adds_zeros: ClassVar[bool] = True

    parts: tuple[Part, ...]

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the gathering."""
        writer.append(
            "gather", node.name, x=[writer.number(x) for x in node.inputs], like=writer.number(node.like),
            y=writer.number(node), first=np.array([part.first for part in self.parts], np.int64),
            rows=_moves([part.rows for part in self.parts]), cols=_moves([part.cols for part in self.parts]),
        )  # fmt: skip

    @property
    def only_cuts(self) -> bool:
        """Whether it takes slices of one image, and nothing else."""
        return len(self.parts) == 1 and all(move.kind == CUT for move in (*self.parts[0].rows, *self.parts[0].cols))

    @property
    def zeros_around(self) -> tuple[int, int, int, int] | None:
        """Rows of zeros above and below, columns to the left and to the right, if it does nothing but add them."""
        if len(self.parts) > 1 or self.parts[0].first != 0:
            return None
        found: list[int] = []
        for moves in (self.parts[0].rows, self.parts[0].cols):
            if len(moves) > 1 or any(move.kind != PAD for move in moves):
                return None
            found += [moves[0].a, moves[0].b] if moves else [0, 0]
        return found[0], found[1], found[2], found[3]

    def then(self, i: int, inner: Gather) -> Gather:
        """Return what input ``i``, made by ``inner`` from one image, and this do together."""
        (before,), after = inner.parts, self.parts[i]
        part = Part(before.rows + after.rows, before.cols + after.cols, before.first + after.first)
        return Gather((*self.parts[:i], part, *self.parts[i + 1 :]))


def _moves(parts: list[tuple[Move, ...]]) -> Any:
    rows = [(i, *move) for i, moves in enumerate(parts) for move in moves]
    return np.array(rows, np.int64).reshape(-1, 5)


def _cat(im: Importer, a: dict[str, Any]) -> Value:
    parts = [im.value(x) for x in a["tensors"]]
    axis = a["dim"] % (len(parts[0].shape) + 1)
    if axis != 1 or any(p.shape[1:] != p.node.chw[1:] and p.node.chw[1:] != (1, 1) for p in parts):
        raise im.refusal(f"is along axis {axis}; allowed: 1, the channels of maps that are not flattened")
    firsts = np.cumsum([0, *(p.node.chw.channels for p in parts)]).tolist()
    where = tuple(Part((), (), first) for first in firsts[:-1])
    node = im.add(Gather(where), [p.node for p in parts], (firsts[-1], *parts[0].node.chw[1:]))
    return Value(node, im.out())


def _nearest(im: Importer, a: dict[str, Any]) -> Value:
    x, out = im.image(a["input"]), im.out()
    if a.get("scale_factors"):
        factors = a["scale_factors"]
    else:
        like = im.like(a["output_size"])
        if like is not None:
            return im.one(Gather((Part((FILL,), (FILL,), 0),)), x, out, like)
        im.need_fixed_sizes()
        factors = [size / old for size, old in zip(out[1:], x.node.chw[1:], strict=True)]
    if any(not math.isfinite(factor) or factor != int(factor) or factor < 1 for factor in factors):
        sizes = f"{x.node.chw.height}x{x.node.chw.width} to {out[1]}x{out[2]}"
        raise im.refusal(f"goes from {sizes}; allowed: whole factors")
    rows, cols = (repeat(int(factor)) for factor in factors)
    return im.one(Gather((Part((rows,), (cols,), 0),)), x, out)


def _slice(im: Importer, a: dict[str, Any]) -> Value:
    x, axis = im.value(a["self"]), a["dim"] % (len(im.value(a["self"]).shape) + 1)
    begin, end = im.number(a["start"] or 0), NO_END if a["end"] is None else im.number(a["end"])
    if begin == 0 and end >= NO_END and a["step"] == 1:
        return x
    if axis < 2:
        raise im.refusal(f"is along axis {axis}; allowed: 2 and 3, height and width")
    x = im.image(a["self"])
    move = (cut(begin, end, a["step"]),)
    part = Part(move, (), 0) if axis == 2 else Part((), move, 0)
    return im.one(Gather((part,)), x, im.out())


def _pad(im: Importer, a: dict[str, Any]) -> Value:
    x, pads = im.image(a["self"]), [*map(im.number, a["pad"]), 0, 0, 0, 0, 0, 0][:6]
    mode, value = a.get("mode", "constant"), a["value"] or 0
    if mode != "constant" or value != 0 or min(pads) < 0 or len(a["pad"]) > 6:
        raise im.refusal(f"is of {a['pad']} with {mode} {value}; allowed: zeros around height, width and channels")
    left, right, top, bottom, first, last = pads
    channels = first + x.node.chw.channels + last
    part = Part((pad(top, bottom),), (pad(left, right),), first)
    return im.one(Gather((part,)), x, (channels, *im.out()[1:]))


IMPORTS: dict[str, Handler] = {
    "aten::cat": _cat, "aten::upsample_nearest2d": _nearest, "aten::slice": _slice, "aten::pad": _pad,
    "aten::constant_pad_nd": _pad,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
