"""What moves numbers and changes none."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tilewise.doors.building import Builder, Handler, Sizes, Unsupported, shape_of
from tilewise.doors.operators.sizes import of_sizes
from tilewise.doors.reading import OnnxNode

LAST = 2**31 - 1
"""Where a slice may end that goes to the end: files have numbers beyond."""


def _concat(b: Builder, node: OnnxNode) -> fx.Node | Sizes:
    if any(isinstance(b.values[name], Sizes) for name in node.inputs):
        return of_sizes(b, node)
    return b.call(torch.cat, [b.tensor(name) for name in node.inputs], node.get("axis", 1))


def _reshape(b: Builder, node: OnnxNode) -> fx.Node | Sizes:
    found, wanted = b.value(node, 0), b.ints(node, 1, "shape")
    if wanted is None:
        raise Unsupported("has no shape")
    if isinstance(found, Sizes):
        return Sizes(found.items, scalar=not wanted)
    x = b.input(node, 0)
    shape = shape_of(x)
    if not node.get("allowzero", 0):
        wanted = [b.size(x, i) if isinstance(e, int) and e == 0 else e for i, e in enumerate(wanted)]
    if shape and wanted and wanted[0] in (shape[0], -1):  # files name the number of images they were made with
        images = shape[0]
        if len(wanted) == 2 and len(shape) > 1 and wanted[1] in (-1, x.meta["val"].numel() // images):
            return b.call(torch.flatten, x, 1)
        wanted[0] = b.size(x, 0) if wanted[0] == images else -1
    return b.method("reshape", x, wanted)


def _flatten(b: Builder, node: OnnxNode) -> fx.Node:
    x, axis = b.input(node, 0), node.get("axis", 1)
    rank = len(shape_of(x))
    axis = axis + rank if axis < 0 else axis
    if axis == 1:
        return b.call(torch.flatten, x, 1) if rank > 1 else b.method("unsqueeze", x, 1)
    return b.method("reshape", x, [b.product(b.size(x, i) for i in range(axis)), -1])


def _transpose(b: Builder, node: OnnxNode) -> fx.Node:
    x = b.input(node, 0)
    order = node.get("perm", list(reversed(range(len(shape_of(x))))))
    return b.method("permute", x, *order)


def _squeeze(b: Builder, node: OnnxNode) -> Any:
    found, axes = b.value(node, 0), b.ints(node, 1, "axes")
    if isinstance(found, Sizes):
        return Sizes(found.items, scalar=True)
    x = b.input(node, 0)
    rank = len(shape_of(x))
    gone = {axis % rank for axis in axes} if axes else {i for i, extent in enumerate(shape_of(x)) if extent == 1}
    for axis in sorted(gone, reverse=True):
        x = b.call(torch.squeeze, x, axis)
    return x


def _unsqueeze(b: Builder, node: OnnxNode) -> Any:
    found, axes = b.value(node, 0), b.ints(node, 1, "axes")
    if isinstance(found, Sizes):
        return Sizes(found.items)
    x = b.input(node, 0)
    rank = len(shape_of(x)) + len(axes or [])
    for axis in sorted(axis % rank for axis in axes or []):
        x = b.call(torch.unsqueeze, x, axis)
    return x


def _slice(b: Builder, node: OnnxNode) -> Any:
    starts, ends = b.ints(node, 1, "starts"), b.ints(node, 2, "ends")
    assert starts is not None
    assert ends is not None
    axes = b.ints(node, 3, "axes") or list(range(len(starts)))
    steps = b.ints(node, 4) or [1] * len(starts)
    found = b.value(node, 0)
    if isinstance(found, Sizes):
        return Sizes(found.items[slice(starts[0], ends[0], steps[0])])
    x = b.input(node, 0)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if isinstance(step, int) and step < 0:
            if (step, start) != (-1, -1) or not isinstance(end, int) or end > -LAST:
                raise Unsupported(f"goes backwards from {start} to {end} by {step}; allowed: whole axes, by -1")
            x = b.call(torch.flip, x, [axis])
            continue
        last = None if isinstance(end, int) and end >= LAST else end
        x = b.call(sliced, x, axis % len(shape_of(x)), start, last, step)
    return x


def sliced(x: Tensor, axis: int, start: Any, end: Any, step: Any) -> Tensor:
    """Return part of one axis."""
    return x[(slice(None),) * axis + (slice(start, end, step),)]


def _split(b: Builder, node: OnnxNode) -> Any:
    x, axis = b.input(node, 0), node.get("axis", 0)
    sizes = b.ints(node, 1, "split")
    if sizes is None:
        count = node.get("num_outputs", len(node.outputs))
        part = -(-shape_of(x)[axis] // count)
        sizes = [min(part, shape_of(x)[axis] - i * part) for i in range(count)]
    parts = b.call(torch.split, x, sizes, axis)
    return [b.call(_item, parts, i) for i in range(len(sizes))]


def _item(values: Any, place: int) -> Any:
    return values[place]


def _pad(b: Builder, node: OnnxNode) -> fx.Node:
    x, pads = b.input(node, 0), b.ints(node, 1, "pads")
    value = b.constant(node, 2)
    number = node.get("value", 0.0) if value is None else value.reshape(()).item()
    rank = len(shape_of(x))
    axes = [axis % rank for axis in b.ints(node, 3) or range(rank)]
    assert pads is not None
    sides: list[Any] = [0] * (2 * rank)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        sides[2 * (rank - 1 - axis)], sides[2 * (rank - 1 - axis) + 1] = before, after
    if all(isinstance(side, int) and side == 0 for side in sides):
        return x
    fewest = 2 if node.get("mode", "constant") == "constant" else 2 * (rank - 2)  # torch pads all of a map, or nothing
    while len(sides) > fewest and sides[-2:] == [0, 0]:
        sides = sides[:-2]
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    mode = modes.get(node.get("mode", "constant"))
    if mode is None:
        raise Unsupported(f"has mode {node.get('mode')!r}; allowed: {', '.join(modes)}")
    return b.call(F.pad, x, sides, mode, number) if mode == "constant" else b.call(F.pad, x, sides, mode)


def _depth_to_space(b: Builder, node: OnnxNode) -> fx.Node:
    x, block = b.input(node, 0), node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return b.module(nn.PixelShuffle(block), node, x)
    n, (c, h, w) = b.size(x, 0), (b.size(x, axis) for axis in (1, 2, 3))
    if not isinstance(c, int):
        c = shape_of(x)[1]
    deep = c // block**2
    # The block's places come first among the channels: with the other order it is a pixel shuffle.
    y = b.method("reshape", x, [n, block * block, deep, h, w])
    y = b.method("reshape", b.method("transpose", y, 1, 2), [n, c, h, w])
    return b.module(nn.PixelShuffle(block), node, y)


def _space_to_depth(b: Builder, node: OnnxNode) -> fx.Node:
    x, block = b.input(node, 0), node.get("blocksize")
    y = b.module(nn.PixelUnshuffle(block), node, x)
    n, c = b.size(x, 0), shape_of(x)[1]
    h, w = (b.size(y, axis) for axis in (2, 3))
    y = b.method("reshape", y, [n, c, block * block, h, w])
    return b.method("reshape", b.method("transpose", y, 1, 2), [n, c * block * block, h, w])


def _expand(b: Builder, node: OnnxNode) -> fx.Node:
    x, wanted = b.input(node, 0), b.ints(node, 1)
    assert wanted is not None
    shape = shape_of(x)
    own = [1] * (len(wanted) - len(shape)) + shape
    wanted = [1] * (len(own) - len(wanted)) + wanted
    added = len(own) - len(shape)
    extents = [
        -1 if isinstance(want, int) and want == 1 and axis >= added else want for axis, want in enumerate(wanted)
    ]
    return b.method("expand", x, *extents)


def _tile(b: Builder, node: OnnxNode) -> fx.Node:
    repeats = b.ints(node, 1)
    assert repeats is not None
    return b.method("repeat", b.input(node, 0), *repeats)


HANDLERS: dict[str, Handler] = {
    "Concat": _concat, "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Slice": _slice, "Split": _split, "Pad": _pad, "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth, "Expand": _expand, "Tile": _tile,
}  # fmt: skip
