"""Sums, means and maxima over any axes: rows and columns as they are, others as channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from tilewise.engine.functions import FUNCTIONS
from tilewise.engine.graph import Activation, Node, Op
from tilewise.engine.importer import Handler, Importer, Value, shown
from tilewise.engine.lower import Writer
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.pooling import AdaptivePool, adaptive_spans, means
from tilewise.engine.simulation import Run, Simulated
from tilewise.quant import QuantGrid
from tilewise.quant.rounding import root

IMAGE_AXES = 4
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
        return reduced(im, kind, im.value(a["self"]), a)

    return handler


def reduced(
    im: Importer, kind: str, x: Value, a: dict[str, Any], result: int | None = None, *, kept: bool = False
) -> Value:
    """Return a reduction; ``result`` is its number where torch has several, ``kept``: it is no result of torch's."""
    if a.get("dtype") is not None:
        raise im.refusal(f"is in {a['dtype']}; allowed: the type of the tensor")
    dims = dims_of(a, len(x.shape) + 1)
    if 0 in dims:
        raise im.refusal(f"is over the axes {dims} of {shown(x)}; allowed: not over the images")
    for step in steps(dims, len(x.shape) + 1):
        x = im.as_pixels(x, *step.axes) if step.of_pixels else im.as_channels(x, step.axes)
        axes = tuple(() if i in step.axes else axis for i, axis in enumerate(x.axes, 1))
        x = im.view(Value(_reduction(im, kind, x.node, of_pixels=step.of_pixels), x.shape), axes)
    if kept:
        return x
    axes = tuple(axis for i, axis in enumerate(x.axes, 1) if a.get("keepdim") or i not in dims)
    return Value(x.node, im.out(result), axes)


def _reduction(im: Importer, kind: str, x: Node, *, of_pixels: bool) -> Node:
    if not of_pixels:
        return im.add(Reduce(kind, channels=True), [x], (1, *x.chw[1:]))
    op = Reduce(kind, channels=False) if kind == "sum" else AdaptivePool(maximum=kind == "maximum", size=(1, 1))
    return im.add(op, [x], (x.chw.channels, 1, 1))


class Step(NamedTuple):
    """Axes that are reduced together, the batch being axis 0: rows and columns, or what has to be the channels."""

    axes: tuple[int, ...]
    of_pixels: bool


def steps(dims: list[int], rank: int) -> list[Step]:
    """Return how a reduction over some axes of a tensor goes.

    Both of the last two axes, or the two before the last one of four, come first, as rows and columns. What is left
    comes as channels. So the order of sums follows from the axes alone, not from where their numbers lie.
    """
    last = [rank - 2, rank - 1]
    pixels = last if set(last) <= set(dims) else dims if rank == IMAGE_AXES and dims == [1, 2] else []
    rest = tuple(dim for dim in dims if dim not in pixels)
    found = [Step(tuple(pixels), of_pixels=True), Step(rest, of_pixels=False)]
    return [step for step in found if step.axes]


def largest(im: Importer, a: dict[str, Any]) -> Value:
    """Return the largest values over the channels; torch has their places as a second result."""
    if "dim" not in a:
        raise im.refusal("is over all values, or of two tensors; allowed: over the channels")
    return reduced(im, "maximum", im.value(a["self"]), a, 0)


def _length(im: Importer, a: dict[str, Any]) -> Value:
    order = a.get("ord", a.get("p"))
    if order not in (2, 1):
        raise im.refusal(f"is of order {order}; allowed: 1 and 2")
    x = im.alike(Activate(Activation(function="square" if order == 2 else "abs")), im.value(a["self"]))
    total = reduced(im, "sum", x, a)
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


def dims_of(a: dict[str, Any], rank: int) -> list[int]:
    """Return the axes that a reduction is over; none: all."""
    dim = a.get("dim")
    return sorted(d % rank for d in ([dim] if isinstance(dim, int) else dim or range(rank)))


def reduction(x: Tensor, dims: list[int], kind: str, grid: QuantGrid | None = None) -> Tensor:
    """Return a sum or a mean, all axes kept; ``grid`` is that which a tensor lies in memory on."""
    for step in steps(dims, x.ndim):
        moved = x.movedim(step.axes, tuple(range(-len(step.axes), 0)))
        if not step.of_pixels:
            added = channel_sum(moved.flatten(-len(step.axes)).movedim(-1, 1))
            count = math.prod(x.shape[axis] for axis in step.axes)
            y = (added / count if kind == "mean" else added).movedim(1, -1)
        elif kind == "sum":
            y = pixel_sum(moved.reshape(len(x), -1, *moved.shape[-2:]))
        else:
            rows, cols = (adaptive_spans(size, 1) for size in moved.shape[-2:])
            y = means(moved.reshape(len(x), -1, *moved.shape[-2:]), grid, rows, cols)
        x = y.reshape([1 if axis in step.axes else size for axis, size in enumerate(x.shape)])
    return x


def _simulated(run: Run, node: fx.Node, a: dict[str, Any], x: Tensor, kind: str) -> Tensor:
    grid = run.grids.get(node.all_input_nodes[0])
    return reduction(x, dims_of(a, x.ndim), kind, grid).view(node.meta["val"].shape)


def _simulate_sum(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    return _simulated(run, node, a, a["self"], "sum")


def _simulate_mean(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    return _simulated(run, node, a, a["self"], "mean")


def _simulate_largest(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    source, x = node.all_input_nodes[0], a["self"]
    found = steps(dims_of(a, x.ndim), x.ndim)
    if all(step.of_pixels for step in found) and source in run.grids:
        run.grids[node] = run.grids[source]
    largest: Tensor = torch.amax(x, a["dim"], a["keepdim"])
    return largest


def _simulate_length(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    order = a.get("ord", a.get("p"))
    length = _simulated(run, node, a, FUNCTIONS["square" if order == 2 else "abs"].compute(a["self"]), "sum")
    return root(length) if order == 2 else length


IMPORTS: dict[str, Handler] = {
    "aten::mean": _reduce("mean"), "aten::sum": _reduce("sum"), "aten::amax": _reduce("maximum"),
    "aten::linalg_vector_norm": _length, "aten::norm": _length,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    "aten::mean": _simulate_mean, "aten::sum": _simulate_sum, "aten::amax": _simulate_largest,
    "aten::linalg_vector_norm": _simulate_length, "aten::norm": _simulate_length,
}  # fmt: skip
