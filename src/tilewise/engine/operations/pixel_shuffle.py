"""Pixel and channel shuffles: those that no operation of their own does are views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tilewise.engine.axes import reshaped
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Simulated


@dataclass(frozen=True)
class Shuffle(Op):
    """Channels become pixels: ``factor * factor`` of them one."""

    moves: ClassVar[bool] = True
    keeps_grid: ClassVar[bool] = True

    factor: int

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the shuffle."""
        writer.append("pixel_shuffle", node.name, **writer.wires(node), factor=self.factor)


def _pixel_shuffle(im: Importer, a: dict[str, Any]) -> Value:
    return shuffled(im, im.image(a["self"]), a["upscale_factor"], a["upscale_factor"])


def shuffled(im: Importer, x: Value, high: int, wide: int) -> Value:
    """Return an image of which ``high * wide`` channels became one, with so many times the rows and columns."""
    channels, height, width = x.node.chw
    if high == wide:
        return im.one(Shuffle(high), x, (channels // high**2, height * high, width * wide))
    split = reshaped(x.axes, (channels // (high * wide), high, wide, height, width), (True, True, True))
    assert split is not None
    left, row, column, rows, columns = split
    return im.arranged(im.view(x, (left, rows + row, columns + column)), (left, rows + row, columns + column))


def _pixel_unshuffle(im: Importer, a: dict[str, Any]) -> Value:
    x, factor = im.image(a["self"]), a["downscale_factor"]
    c, h, w = x.shape
    split = reshaped(x.axes, (c, h // factor, factor, w // factor, factor), (True, False, True, False, True))
    if split is None:
        raise im.refusal(f"takes {factor}x{factor} pixels of {h}x{w} together; allowed: whole ones")
    channels, rows, row, columns, column = split
    return im.view(x, (channels + row + column, rows, columns))


def _channel_shuffle(im: Importer, a: dict[str, Any]) -> Value:
    x, groups = im.image(a.get("self", a.get("input"))), a["groups"]
    c, h, w = x.shape
    split = reshaped(x.axes, (groups, c // groups, h, w))
    if split is None:
        raise im.refusal(f"is of {groups} groups of {c} channels; allowed: a number that divides them")
    return im.view(x, (split[1] + split[0], *split[2:]))


IMPORTS: dict[str, Handler] = {
    "aten::pixel_shuffle": _pixel_shuffle, "aten::pixel_unshuffle": _pixel_unshuffle,
    "aten::channel_shuffle": _channel_shuffle, "aten::native_channel_shuffle": _channel_shuffle,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
