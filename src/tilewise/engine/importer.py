"""From an exported model to the engine's own graph. What torch's operations become is said in ``operations/``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor, fx

from tilewise.engine.axes import CHANNEL, Axes, of_image, reshaped, sequence, shape_of, whole
from tilewise.engine.capture import Captured, arguments, hint, is_fixed, module_of, operation, place, size_of
from tilewise.engine.graph import Chw, Extent, Graph, Node, Op, Output


class Value(NamedTuple):
    """A tensor of the model.

    Parameters
    ----------
    node : Node
        What makes it.
    shape : tuple of int
        Its extents for the example, without the batch axis.
    order : Axes, optional
        What its axes hold of the node's channels, rows and columns; None: they are the image's, in order, reshaped.
    """

    node: Node
    shape: tuple[int, ...]
    order: Axes | None = None

    @property
    def axes(self) -> Axes:
        """What its axes hold of the node's channels, rows and columns."""
        if self.order is None and self.shape == self.node.chw:
            return of_image(self.node.chw)
        pixel = len(self.shape) == 1 and self.node.chw[1:] == (1, 1)
        found = reshaped(of_image(self.node.chw), self.shape, [pixel]) if self.order is None else self.order
        assert found is not None, f"{self.shape} of {self.node.chw}"
        return found

    @property
    def is_image(self) -> bool:
        """Whether its axes are channels, rows and columns."""
        own, image = (
            [[digit for digit in axis if digit.size > 1] for axis in axes]
            for axes in (self.axes, of_image(self.node.chw))
        )
        return own == image

    def holds_channels(self, axis: int) -> bool:
        """Whether an axis, the batch being axis 0, is the channels."""
        return whole(self.axes[axis - 1], CHANNEL, self.node.chw.channels)


def shown(x: Value) -> str:
    """Return a tensor's shape as errors show it."""
    return f"(N{''.join(f', {extent}' for extent in x.shape)})"


class ComputedSizeError(ValueError):
    """The model computes a size in a way that the engine does not follow: it can serve the example's size only."""


class Importer:
    """Reads an exported model.

    Parameters
    ----------
    captured : Captured
        The model.
    handlers : mapping of str to callable
        What each operation of torch becomes: ``handler(importer, arguments)`` returns the value that it makes.
    """

    def __init__(self, captured: Captured, handlers: Mapping[str, Handler]) -> None:
        self.captured, self.handlers = captured, handlers
        self.graph = Graph()
        self.values: dict[fx.Node, Value] = {}
        self.node: fx.Node = next(iter(captured.inputs.values()))

    def run(self, make_input: Callable[[str, fx.Node], Op]) -> Graph:
        """Return the graph; ``make_input`` gives the op of each input.

        Raises
        ------
        ValueError
            Naming the operation or layer, its place in the model and what is served, if the engine lacks it.
        """
        for name, node in self.captured.inputs.items():
            chw = Chw(*(hint(size) for size in node.meta["val"].shape[1:]))
            self.values[node] = Value(self.add(make_input(name, node), [], chw, name), chw)
        for node in self.captured.graph.nodes:
            if node.op == "call_function" and not _is_size(node):
                self.node = node
                self.values[node] = self.handler(node)(self, arguments(node))
        for name, node in self.captured.outputs.items():
            if node not in self.values:
                raise ValueError(f"the model's result {name!r} does not depend on its input")
            self.graph.outputs.append(self.output(name, node))
        return self.graph

    def handler(self, node: fx.Node) -> Handler:
        """Return what an operation becomes."""
        found = self.handlers.get(operation(node))
        if found is None:
            known = {name.split("::")[-1] for name in self.handlers if not name.split("::")[-1].startswith("_")}
            raise self.refusal("is not supported; supported are: " + ", ".join(sorted(known - {"layer", "getitem"})))
        return found

    def output(self, name: str, node: fx.Node) -> Output:
        """Return a result of the network."""
        found, sizes = self.values[node], node.meta["val"].shape[1:]
        image, seen = of_image(found.node.chw), sequence(found.axes)
        bases = {digit.base for digit in seen}  # without those of one pixel whatever the image's size
        channels_last = seen == sequence((*image[1:], image[0]), bases) != sequence(image, bases)
        if not channels_last and seen != sequence(image, bases):
            raise ValueError(f"the model's result {name!r} has channels, rows and columns in an order of its own")
        axes = None if found.is_image else tuple(Extent.of(axis, found.node.chw) for axis in found.axes)
        grows = any(is_fixed(size) and axis.grows for size, axis in zip(sizes, axes or (), strict=False))
        fixed = grows and found.node.chw[1:] != (1, 1)
        return Output(name, found.node, channels_last, axes, math.prod(found.shape) if fixed else 0)

    def refusal(self, why: str) -> ValueError:
        """Return what to raise at the current operation."""
        return ValueError(f"{operation(self.node).removeprefix('aten::')} {place(self.node)} {why}")

    def add(self, op: Op, inputs: list[Node], chw: Iterable[int], name: str = "", like: Node | None = None) -> Node:
        """Append a node named after the module that the current operation belongs to."""
        kind = operation(self.node).split("::")[-1] if self.node.op == "call_function" else ""
        module = module_of(self.node)
        node = Node(name or (f"{module}.{kind}" if module else kind)[-256:], op, inputs, Chw(*chw), like)
        self.graph.nodes.append(node)
        return node

    def value(self, x: Any) -> Value:
        """Return a tensor that the network computes."""
        if not isinstance(x, fx.Node) or x not in self.values:
            raise self.refusal("works on a parameter or a number; allowed: tensors that the network computes")
        return self.values[x]

    def image(self, x: Any) -> Value:
        """Return a tensor of shape (N, C, H, W)."""
        found = self.value(x)
        if not found.is_image:
            raise self.refusal(f"reads a tensor of shape {shown(found)}; allowed: (N, C, H, W)")
        return found

    def channels_last(self, x: Any) -> Value:
        """Return a tensor whose last axis is the channels."""
        found = self.value(x)
        if not found.holds_channels(len(found.shape)):
            raise self.refusal(f"works on the last axis of {shown(found)}, which is not the channels")
        return found

    def tensor(self, x: Any) -> Tensor | None:
        """Return the value of a parameter."""
        if x is None:
            return None
        if not isinstance(x, fx.Node) or x.name not in self.captured.tensors:
            raise self.refusal("has weights that the network computes; allowed: parameters and buffers")
        return self.captured.tensors[x.name]

    def out(self, result: int | None = None) -> tuple[int, ...]:
        """Return the shape that torch found for the current result, or one of them, without the batch axis."""
        found = self.node.meta["val"]
        shape = (found if result is None else found[result]).shape
        if not shape or not self.captured.is_batch(shape[0]):
            shown = tuple(hint(size) for size in shape)
            raise self.refusal(f"gives a tensor of shape {shown}; allowed: the images stay the first axis")
        return tuple(hint(size) for size in shape[1:])

    def number(self, x: Any) -> int:
        """Return an argument that must be the same for all sizes of images."""
        if isinstance(x, fx.Node):
            raise ComputedSizeError(str(self.refusal("takes a size that the model computes")))
        return int(x)

    def need_fixed_sizes(self) -> None:
        """Refuse the current operation where images may have any size."""
        if any(axis.size == 0 for axes in self.captured.axes.values() for axis in axes):
            raise ComputedSizeError(str(self.refusal("has a result of fixed size")))

    def like(self, sizes: Iterable[Any]) -> Node | None:
        """Return the tensor whose height and width these are, or None where they are numbers."""
        found = [size_of(size) if isinstance(size, fx.Node) else None for size in sizes]
        if found == [None, None] and not any(isinstance(size, fx.Node) for size in sizes):
            return None
        (height, width) = found
        if height is None or width is None or height[0] is not width[0] or (height[1], width[1]) != (2, 3):
            raise ComputedSizeError(str(self.refusal("takes a size that the model computes")))
        return self.image(height[0]).node

    def one(self, op: Op, x: Value, chw: Iterable[int], like: Node | None = None) -> Value:
        """Append a node that reads an image and makes one."""
        node = self.add(op, [x.node], chw, like=like)
        return Value(node, node.chw)

    def alike(self, op: Op, x: Value) -> Value:
        """Append a node that keeps the shape."""
        return x._replace(node=self.add(op, [x.node], x.node.chw))

    def view(self, x: Value, axes: Axes) -> Value:
        """Return the same numbers with other axes."""
        return Value(x.node, shape_of(axes), axes)


Handler: TypeAlias = Callable[[Importer, dict[str, Any]], Value]


def pair(value: Any) -> tuple[Any, Any]:
    """Return one number for both axes, or two."""
    values = [value] if isinstance(value, int | fx.Node) else list(value)
    return values[0], values[-1]


def _is_size(node: fx.Node) -> bool:
    """Whether a node computes a number, not a tensor."""
    return not isinstance(node.meta.get("val"), Tensor | tuple | list)
