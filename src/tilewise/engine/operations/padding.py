"""Padding of any kind: zeros or other numbers, or what an axis itself has, reflected, repeated or around."""

from __future__ import annotations

import math
from typing import Any

from tilewise.engine.axes import CHANNEL
from tilewise.engine.fxnodes import operation
from tilewise.engine.graph import Activation
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.gathering import NO_END, Gather, Move, Part, along, cut, join, moved, pad, pick, repeats
from tilewise.engine.simulation import Simulated

AROUND = {"reflect": 5, "replicate": 6, "circular": 7}
"""Kinds of the moves that put an axis's own entries around it, by torch's names for the modes."""
BY_MODE = {"reflect": "reflection_pad", "replicate": "replication_pad"}
"""What torch's own operations for modes of padding are called."""
LARGEST = 2.0**100
"""Stands for infinity: it can still be divided by a step."""


def _pad(im: Importer, a: dict[str, Any]) -> Value:
    x, pads = im.value(a["self"]), list(map(im.number, a.get("pad", a.get("padding", ()))))
    x = im.image(a["self"]) if x.is_image else x
    mode = next((mode for mode, name in BY_MODE.items() if name in operation(im.node)), a.get("mode", "constant"))
    for i, (before, after) in enumerate(zip(pads[::2], pads[1::2], strict=True)):
        x = padded(im, x, len(x.shape) - i, (before, after), mode, float(a.get("value") or 0))
    return x


def padded(im: Importer, x: Value, axis: int, sides: tuple[int, int], mode: str, number: float = 0) -> Value:
    """Return a tensor with more before and after an axis, the batch being axis 0; numbers below 0 take away."""
    before, after = (max(side, 0) for side in sides)
    if min(sides) < 0:
        left = x.shape[axis - 1] + min(sides[0], 0) + min(sides[1], 0)
        x = pick(im, x, axis, (cut(max(-sides[0], 0), min(sides[1], 0) or NO_END, 1),), left)
    if before == after == 0:
        return x
    if math.isnan(number):
        raise im.refusal(f"puts {number} around; allowed: numbers")
    number = max(-LARGEST, min(number, LARGEST))  # around a maximum nothing is smaller
    size = before + x.shape[axis - 1] + after
    if mode in AROUND:
        return pick(im, x, axis, (Move(AROUND[mode], before, after),), size)
    if number != 0:
        one = im.alike(Activate(Activation(number, number)), pick(im, x, axis, (cut(0, 1, 1),), 1))
        ends = [pick(im, one, axis, repeats(count), count) if count else None for count in (before, after)]
        return join(im, [part for part in (ends[0], x, ends[1]) if part is not None], axis)
    value, base = along(im, x, axis)
    part = Part(first=before) if base == CHANNEL else Part.of(base, (pad(before, after),))
    return moved(im, Gather((part,)), [value.node], value, base, axis, size)


IMPORTS: dict[str, Handler] = {
    "aten::pad": _pad, "aten::constant_pad_nd": _pad,
    **{f"aten::{name}{axes}d": _pad for name in BY_MODE.values() for axes in (1, 2)},
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
