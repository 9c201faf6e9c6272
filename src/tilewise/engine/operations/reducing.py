"""Sums, means and maxima over all channels, or over height and width."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from tilewise.engine.functions import FUNCTIONS, root
from tilewise.engine.graph import Activation, Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.pooling import AdaptivePool, simulate_mean
from tilewise.engine.simulation import Run, Simulated

LANES = 16
"""So many sums over channels are kept, side by side."""


@dataclass(frozen=True)
class Reduce(Op):
    """One of the native operation's kinds, over all channels of each pixel or over all pixels."""

    has_ending: ClassVar[bool] = True

    kind: str
    channels: bool

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the operation."""
        writer.append(
            "reduce", node.name, **writer.wires(node), **writer.ending(node), kind=self.kind, channels=self.channels
        )


def _reduce(kind: str) -> Handler:
    def handler(im: Importer, a: dict[str, Any]) -> Value:
        return _reduced(im, kind, im.image(a["self"]), a.get("dim"), a.get("dtype"))

    return handler


def _reduced(im: Importer, kind: str, x: Value, dim: Any, dtype: Any = None) -> Value:
    if dtype is not None:
        raise im.refusal(f"is in {dtype}; allowed: the type of the tensor")
    dims = sorted(d % 4 for d in ([dim] if isinstance(dim, int) else dim or ()))
    if dims not in ([1], [2, 3]):
        raise im.refusal(f"is over the axes {dims}; allowed: 1, the channels, or 2 and 3, height and width")
    channels, height, width = x.node.chw
    shape = im.out()
    if dims == [1]:
        return im.one(Reduce(kind, channels=True), x, (1, height, width))._replace(shape=shape)
    op = Reduce(kind, channels=False) if kind == "sum" else AdaptivePool(maximum=kind == "maximum", size=(1, 1))
    return im.one(op, x, (channels, 1, 1))._replace(shape=shape)


def _largest(im: Importer, a: dict[str, Any]) -> Value:
    """Return the largest values over the channels; torch has their places as a second result."""
    if "dim" not in a or a["dim"] % 4 != 1:
        raise im.refusal("is over all values, or over height or width alone; allowed: over axis 1, the channels")
    x = im.image(a["self"])
    _, height, width = x.node.chw
    return im.one(Reduce("maximum", channels=True), x, (1, height, width))._replace(shape=im.out(0))


def _length(im: Importer, a: dict[str, Any]) -> Value:
    order = a.get("ord", a.get("p"))
    if order not in (2, 1):
        raise im.refusal(f"is of order {order}; allowed: 1 and 2")
    x = im.image(a["self"])
    x = im.alike(Activate(Activation(function="square" if order == 2 else "abs")), x)
    total = _reduced(im, "sum", x, a["dim"], a.get("dtype"))
    return im.alike(Activate(Activation(function="sqrt")), total) if order == 2 else total


def channel_sum(x: Tensor) -> Tensor:
    """Return the sum over axis 1, kept, in the engine's order: 16 sums side by side, then in halves."""
    padded = F.pad(x.movedim(1, -1), (0, -x.shape[1] % LANES))
    parts: tuple[Tensor, ...] = torch.split(padded, LANES, -1)
    total = torch.zeros_like(parts[0])
    for part in parts:
        total = total + part
    while total.shape[-1] > 1:
        half = total.shape[-1] // 2
        total = total[..., :half] + total[..., half:]
    return total.movedim(-1, 1)


def pixel_sum(x: Tensor) -> Tensor:
    """Return the sum over axes 2 and 3, kept, in the engine's order: rows from left to right, then the rows."""
    row = torch.zeros_like(x[..., 0])
    for column in x.unbind(3):
        row = row + column
    total = torch.zeros_like(row[..., 0])
    for one in row.unbind(2):
        total = total + one
    return total[..., None, None]


def _dims(a: dict[str, Any]) -> list[int]:
    return sorted(d % 4 for d in ([a["dim"]] if isinstance(a["dim"], int) else a["dim"]))


def _simulate_sum(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    total = channel_sum(a["self"]) if _dims(a) == [1] else pixel_sum(a["self"])
    return total.view(node.meta["val"].shape)


def _simulate_mean(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    if _dims(a) == [2, 3]:
        return simulate_mean(run, node, a)
    x: Tensor = a["self"]
    return (channel_sum(x) / x.shape[1]).view(node.meta["val"].shape)


def _simulate_largest(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    source = node.all_input_nodes[0]
    if _dims(a) == [2, 3] and source in run.grids:
        run.grids[node] = run.grids[source]
    largest: Tensor = torch.amax(a["self"], a["dim"], a["keepdim"])
    return largest


def _simulate_length(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    order, total = a.get("ord", a.get("p")), channel_sum if _dims(a) == [1] else pixel_sum
    square: Callable[[Tensor], Tensor] = FUNCTIONS["square" if order == 2 else "abs"].compute
    length = total(square(a["self"])).view(node.meta["val"].shape)
    return root(length) if order == 2 else length


IMPORTS: dict[str, Handler] = {
    "aten::mean": _reduce("mean"), "aten::sum": _reduce("sum"), "aten::amax": _reduce("maximum"),
    "aten::max": _largest, "aten::linalg_vector_norm": _length, "aten::norm": _length,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    "aten::mean": _simulate_mean, "aten::sum": _simulate_sum, "aten::amax": _simulate_largest,
    "aten::linalg_vector_norm": _simulate_length, "aten::norm": _simulate_length,
}  # fmt: skip
