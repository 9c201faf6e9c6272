"""Sums, means and maxima over all channels, or over height and width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from tilewise.engine.axes import Axes, of_image
from tilewise.engine.functions import FUNCTIONS, root
from tilewise.engine.graph import Activation, Node, Op
from tilewise.engine.importer import Handler, Importer, Value, shown
from tilewise.engine.lower import Writer
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.pooling import AdaptivePool, adaptive_spans, means
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
        return _reduced(im, kind, im.value(a["self"]), a)

    return handler


def _reduced(im: Importer, kind: str, x: Value, a: dict[str, Any], result: int | None = None) -> Value:
    """Return a reduction; ``result`` is its number where torch has several."""
    if a.get("dtype") is not None:
        raise im.refusal(f"is in {a['dtype']}; allowed: the type of the tensor")
    dims, (channels, height, width) = _dims(a, len(x.shape) + 1), x.node.chw
    kept = [() if i + 1 in dims else axis for i, axis in enumerate(x.axes) if a.get("keepdim") or i + 1 not in dims]
    if len(dims) == 1 and len(x.shape) > 1 and x.holds_channels(dims[0]):
        node = im.add(Reduce(kind, channels=True), [x.node], (1, height, width))
    elif dims == ([2, 3] if x.is_image else [1, 2]) and (x.is_image or x.axes == _last(x)):
        pool = AdaptivePool(maximum=kind == "maximum", size=(1, 1))
        node = im.add(Reduce(kind, channels=False) if kind == "sum" else pool, [x.node], (channels, 1, 1))
    else:
        raise im.refusal(f"is over the axes {dims} of {shown(x)}; allowed: the channels, or both height and width")
    return Value(node, im.out(result), None if x.is_image else tuple(kept))


def _last(x: Value) -> Axes:
    """Return the axes of an image with the channels last."""
    channels, *pixels = of_image(x.node.chw)
    return (*pixels, channels)


def _largest(im: Importer, a: dict[str, Any]) -> Value:
    """Return the largest values over the channels; torch has their places as a second result."""
    if "dim" not in a:
        raise im.refusal("is over all values, or of two tensors; allowed: over the channels")
    return _reduced(im, "maximum", im.value(a["self"]), a, 0)


def _length(im: Importer, a: dict[str, Any]) -> Value:
    order = a.get("ord", a.get("p"))
    if order not in (2, 1):
        raise im.refusal(f"is of order {order}; allowed: 1 and 2")
    x = im.alike(Activate(Activation(function="square" if order == 2 else "abs")), im.value(a["self"]))
    total = _reduced(im, "sum", x, a)
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


def _dims(a: dict[str, Any], rank: int) -> list[int]:
    """Return the axes that a reduction is over; none: all."""
    dim = a.get("dim")
    return sorted(d % rank for d in ([dim] if isinstance(dim, int) else dim or range(rank)))


def _simulated(run: Run, node: fx.Node, a: dict[str, Any], x: Tensor, kind: str) -> Tensor:
    """Return a reduction, with the channels as axis 1 while it is computed."""
    dims, shape = _dims(a, x.ndim), node.meta["val"].shape
    if len(dims) == 1:
        total = channel_sum(x.movedim(dims[0], 1))
        return (total / x.shape[dims[0]] if kind == "mean" else total).view(shape)
    image = x if dims == [2, 3] else x.movedim(3, 1)
    if kind == "sum":
        return pixel_sum(image).view(shape)
    rows, cols = (adaptive_spans(size, 1) for size in image.shape[2:])
    return means(image, run.grids.get(node.all_input_nodes[0]), rows, cols).view(shape)


def _simulate_sum(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    return _simulated(run, node, a, a["self"], "sum")


def _simulate_mean(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    return _simulated(run, node, a, a["self"], "mean")


def _simulate_largest(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    source, x = node.all_input_nodes[0], a["self"]
    if len(_dims(a, x.ndim)) == 2 and source in run.grids:
        run.grids[node] = run.grids[source]
    largest: Tensor = torch.amax(x, a["dim"], a["keepdim"])
    return largest


def _simulate_length(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    order = a.get("ord", a.get("p"))
    length = _simulated(run, node, a, FUNCTIONS["square" if order == 2 else "abs"].compute(a["self"]), "sum")
    return root(length) if order == 2 else length


IMPORTS: dict[str, Handler] = {
    "aten::mean": _reduce("mean"), "aten::sum": _reduce("sum"), "aten::amax": _reduce("maximum"),
    "aten::max": _largest, "aten::linalg_vector_norm": _length, "aten::norm": _length,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    "aten::mean": _simulate_mean, "aten::sum": _simulate_sum, "aten::amax": _simulate_largest,
    "aten::linalg_vector_norm": _simulate_length, "aten::norm": _simulate_length,
}  # fmt: skip
