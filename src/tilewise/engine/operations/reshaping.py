"""What changes a shape, or nothing at all, and needs no work."""

from __future__ import annotations

from typing import Any

from torch import fx

from tilewise.engine.capture import operation
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.simulation import Simulated


def _reshape(im: Importer, a: dict[str, Any]) -> Value:
    x, shape = im.value(a.get("self", a.get("input"))), im.out()
    c, h, w = x.node.chw
    if shape not in {(c * h * w,), (c, h, w)}:
        raise im.refusal(
            f"gives the shape (N, {', '.join(map(str, shape))}); allowed: (N, {c * h * w}), (N, {c}, {h}, {w})"
        )
    return Value(x.node, shape)


def _nothing(im: Importer, a: dict[str, Any]) -> Value:
    if a.get("train"):
        raise im.refusal("drops values in evaluation too; allowed: training=self.training")
    return im.value(a.get("self", a.get("input")))


def _first_of(im: Importer, _: dict[str, Any]) -> Value:
    source, index = im.node.args
    if index != 0:
        assert isinstance(source, fx.Node)
        raise im.refusal(f"takes result {index} of {operation(source)}; allowed: 0")
    return im.value(source)


RESHAPES = (
    "aten::flatten", "aten::view", "aten::reshape", "aten::squeeze", "aten::unsqueeze", "aten::_unsafe_view",
)  # fmt: skip
NOTHINGS = (
    "aten::dropout", "aten::feature_dropout", "aten::contiguous", "aten::clone", "aten::detach", "aten::alias",
    "aten::lift_fresh_copy",
)  # fmt: skip
IMPORTS: dict[str, Handler] = {
    **dict.fromkeys(RESHAPES, _reshape), **dict.fromkeys(NOTHINGS, _nothing), "getitem": _first_of,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {}
