"""From an exported model to the engine's own graph. What torch's operations become is said in ``operations/``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from torch import Tensor, fx

from tilewise.engine.axes import (
    CHANNEL,
    COLUMN,
    ROW,
    Axes,
    groups_for,
    groups_led_by,
    groups_of_result,
    image_shape,
    of_image,
    of_input,
    regrouped,
    reshaped,
    sequence,
    shape_of,
    whole,
)
from tilewise.engine.capture import Captured
from tilewise.engine.fxnodes import arguments, hint, is_fixed, module_of, operation, place, size_of
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
        own = of_image(self.node.chw)
        return self.shape == self.node.chw and all(
            axis == image or (axis == () and len(image) == 1 and image[0].size == 1)
            for axis, image in zip(self.axes, own, strict=True)
        )

    def holds_channels(self, axis: int) -> bool:
        """Whether an axis, the batch being axis 0, is the channels."""
        return whole(self.axes[axis - 1], CHANNEL, self.node.chw.channels)


def shown(x: Value) -> str:
    """Return a tensor's shape as errors show it."""
    return f"(N{''.join(f', {extent}' for extent in x.shape)})"


class Problem(NamedTuple):
    """What the engine lacks of an operation of the model."""

    node: fx.Node
    text: str


class UnsupportedError(ValueError):
    """The model has operations or layers that the engine lacks: ``problems`` are all of them."""

    def __init__(self, problems: list[Problem], supported: Iterable[str]) -> None:
        texts = [problem.text for problem in problems]
        if len(texts) > 1:
            texts.insert(0, f"the engine lacks {len(texts)} things that the model has:")
        if any(text.endswith(NOT_SUPPORTED) for text in texts):
            texts[-1] += "; supported are: " + ", ".join(supported)
        super().__init__("\n".join(texts))
        self.problems = problems


NOT_SUPPORTED = "is not supported"


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
        self.parts: dict[fx.Node, list[Value]] = {}
        self.problems: list[Problem] = []
        self.guessed: set[fx.Node] = set()
        self.node: fx.Node = next(iter(captured.inputs.values()))

    def run(self, make_input: Callable[[str, fx.Node], Op]) -> Graph:
        """Return the graph; ``make_input`` gives the op of each input.

        Raises
        ------
        UnsupportedError
            Naming all operations and layers that the engine lacks, each with its place in the model and what is served.
        """
        for name, node in self.captured.inputs.items():
            shape = tuple(hint(size) for size in node.meta["val"].shape[1:])
            made = self.add(make_input(name, node), [], image_shape(shape), name)
            self.values[node] = Value(made, shape, of_input(shape))
        for node in self.captured.graph.nodes:
            if node.op == "call_function" and not _is_size(node):
                self.node = node
                self._take(node)
        for name, node in self.captured.outputs.items():
            if node not in self.values:
                raise ValueError(f"the model's result {name!r} does not depend on its input")
            self.node = node
            if node not in self.guessed:
                self.graph.outputs.append(self.output(name, node))
        if self.problems:
            known = {name.split("::")[-1] for name in self.handlers if not name.split("::")[-1].startswith("_")}
            raise UnsupportedError(self.problems, sorted(known - {"layer", "getitem"}))
        return self.graph

    def _take(self, node: fx.Node) -> None:
        """Take an operation over; note what is wrong with it, and go on with a tensor of its shape."""
        try:
            made = self.handler(node)(self, arguments(node))
        except ComputedSizeError:
            raise
        except ValueError as error:
            if operation(node) not in self.handlers or not self.guessed.intersection(node.all_input_nodes):
                self.problems.append(Problem(node, str(error)))
            made = self._guess(node)
        else:
            if self.guessed.intersection(node.all_input_nodes):
                self.guessed.add(node)
        if isinstance(made, list):
            self.parts[node] = made
        elif made is not None:
            self.values[node] = made

    def _guess(self, node: fx.Node) -> Value | list[Value]:
        """Return tensors of the shape of a result that the engine lacks, to find what else it lacks."""
        found = node.meta["val"]
        values = []
        for tensor in [found] if isinstance(found, Tensor) else found:
            shape = tuple(map(hint, tensor.shape[1:])) if isinstance(tensor, Tensor) else ()
            if len(shape) != 3:
                self.guessed.add(node)  # in which order it would lie, nobody knows
            chw = shape if len(shape) == 3 else (math.prod(shape), 1, 1)
            values.append(Value(self.add(Op(), [], chw), shape))
        return values[0] if isinstance(found, Tensor) else values

    def handler(self, node: fx.Node) -> Handler:
        """Return what an operation becomes."""
        found = self.handlers.get(operation(node))
        if found is None:
            raise self.refusal(NOT_SUPPORTED)
        return found

    def output(self, name: str, node: fx.Node) -> Output:
        """Return a result of the network."""
        found = self.values[node]
        order = _order(found)
        if order is None:
            found = self.arranged(found, groups_of_result(found.axes))
            order = _order(found)
            assert order is not None
        axes = None if found.is_image else tuple(Extent.of(axis, found.node.chw) for axis in found.axes)
        sizes = node.meta["val"].shape[1:]
        grows = any(is_fixed(size) and axis.grows for size, axis in zip(sizes, axes or (), strict=False))
        fixed = grows and found.node.chw[1:] != (1, 1)
        return Output(name, found.node, order == "NHWC", axes, math.prod(found.shape) if fixed else 0)

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

    def result(self, source: fx.Node, index: int) -> Value:
        """Return one of the tensors that an operation makes."""
        made = self.parts.get(source) or [self.value(source)]
        if not -len(made) <= index < len(made):
            raise self.refusal(f"takes result {index} of {operation(source)}; allowed: 0 to {len(made) - 1}")
        return made[index]

    def image(self, x: Any) -> Value:
        """Return a tensor of shape (N, C, H, W)."""
        found = self.value(x)
        if found.is_image:
            return Value(found.node, found.node.chw)
        if len(found.shape) != 3:
            raise self.refusal(f"reads a tensor of shape {shown(found)}; allowed: (N, C, H, W)")
        return self.arranged(found, found.axes)

    def channels_last(self, x: Any) -> Value:
        """Return a tensor whose last axis is the channels, all of them and nothing else."""
        found = self.value(x)
        if found.holds_channels(len(found.shape)):
            return found
        last = len(found.shape) - 1
        if any(digit.free for digit in found.axes[last]):
            self.need_fixed_sizes()
        others = groups_for(found.axes, last)
        return self.arranged(found, others if others[0] == found.axes[last] else (others[2], others[1], others[0]))

    def along(self, x: Any, axis: int) -> tuple[Value, int]:
        """Return a tensor of which an axis, the batch being axis 0, is channels, rows or columns, and which."""
        found = x if isinstance(x, Value) else self.value(x)
        for base in range(3):
            if whole(found.axes[axis - 1], base, found.node.chw[base]):
                return found, base
        arranged = self.arranged(found, groups_for(found.axes, axis - 1))
        return arranged, CHANNEL if not any(digit.free for digit in found.axes[axis - 1]) else COLUMN

    def as_channels(self, x: Value, axes: Sequence[int]) -> Value:
        """Return a tensor whose channels are some axes, the batch being axis 0: all of these, and nothing else."""
        if len(axes) == 1 and x.holds_channels(axes[0]):
            return x
        return self.arranged(x, groups_led_by(x.axes, [axis - 1 for axis in axes]))

    def as_pixels(self, x: Value, row: int, column: int) -> Value:
        """Return a tensor whose rows and columns are two axes, the batch being axis 0: all of these."""
        bases, pixels = (ROW, COLUMN), (x.axes[row - 1], x.axes[column - 1])
        if all(
            whole(axis, base, x.node.chw[base]) or (x.node.chw[base] == 1 and axis == ())
            for base, axis in zip(bases, pixels, strict=True)
        ):
            return x
        others = tuple(digit for i, axis in enumerate(x.axes, 1) if i not in (row, column) for digit in axis)
        return self.arranged(x, (others, *pixels))

    def ordered_as(self, y: Value, x: Value) -> Value:
        """Return the tensor ``y`` with its channels, rows and columns where ``x`` has them.

        The two have the same shape, but for axes of which ``y`` has one entry; of channels, rows and columns it has all
        or one.
        """
        if (y.axes, y.node.chw) == (x.axes, x.node.chw):
            return y
        shared = [mine == theirs for mine, theirs in zip(x.shape, y.shape, strict=True)]
        digits = [digit for axis, both in zip(x.axes, shared, strict=True) if both for digit in axis]
        fixed = [self.has_fixed_sizes or not digit.free for digit in digits]
        split = reshaped(y.axes, [digit.size for digit in digits], fixed)
        if split is None:
            self.need_fixed_sizes()
            raise self.refusal(f"works on tensors {shown(x)} whose channels, rows and columns do not go together")
        pairs = sorted(zip(digits, split, strict=True), key=lambda pair: -pair[0].step)
        groups = tuple(tuple(d for mine, theirs in pairs if mine.base == base for d in theirs) for base in range(3))
        axes = tuple(axis if both else () for axis, both in zip(x.axes, shared, strict=True))
        return Value(self.rearrange(y, groups), y.shape, axes)

    def arranged(self, x: Value, groups: Axes) -> Value:
        """Return a tensor whose channels, rows and columns are these digits of another one's: its numbers move."""
        axes = regrouped(x.axes, groups)
        if axes is None:
            self.need_fixed_sizes()
            raise self.refusal(f"puts the axes of {shown(x)} together in a way that depends on the image's size")
        return Value(self.rearrange(x, groups), x.shape, axes)

    def rearrange(self, x: Value, groups: Axes) -> Node:
        """Append a node whose channels, rows and columns are these digits of a tensor's."""
        from tilewise.engine.operations.rearranging import Rearrange  # the operations import this module

        if any(digit.free for digit in groups[CHANNEL]):
            self.need_fixed_sizes()
        return self.add(Rearrange(groups), [x.node], shape_of(groups))

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

    @property
    def has_fixed_sizes(self) -> bool:
        """Whether images have the size of the example."""
        return all(axis.size > 0 for axes in self.captured.axes.values() for axis in axes)

    def need_fixed_sizes(self) -> None:
        """Refuse the current operation where images may have any size."""
        if not self.has_fixed_sizes:
            raise ComputedSizeError(str(self.refusal("has a result of fixed size")))

    def like(self, sizes: Iterable[Any]) -> Node | None:
        """Return the tensor whose height and width these are, or None where they are numbers."""
        height, width = sizes
        if not isinstance(height, fx.Node) and not isinstance(width, fx.Node):
            return None
        high, wide = (size_of(size) if isinstance(size, fx.Node) else None for size in (height, width))
        if high and wide and high[0] is wide[0] and (high[1], wide[1]) == (2, 3):
            return self.image(high[0]).node
        wanted = [str(size.meta["val"] if isinstance(size, fx.Node) else size) for size in (height, width)]
        for node, value in self.values.items():
            made = node.meta["val"]  # several tensors of a node that splits one
            if value.is_image and isinstance(made, Tensor) and [str(size) for size in made.shape[2:]] == wanted:
                return value.node
        raise ComputedSizeError(str(self.refusal("takes a size that the model computes")))

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


Handler: TypeAlias = Callable[[Importer, dict[str, Any]], Value | list[Value] | None]
"""Returns what an operation becomes; None if it is no more than a parameter."""


def pair(value: Any) -> tuple[Any, Any]:
    """Return one number for both axes, or two."""
    values = [value] if isinstance(value, int | fx.Node) else list(value)
    return values[0], values[-1]


def _order(x: Value) -> str | None:
    """Return in which order a tensor's numbers come pixel by pixel, or channel by channel; None: neither."""
    image, seen = of_image(x.node.chw), [digit[:3] for digit in sequence(x.axes)]
    bases = {base for base, *_ in seen}  # without those of one pixel whatever the image's size
    for order, axes in {"NCHW": image, "NHWC": (*image[1:], image[0])}.items():
        if seen == [digit[:3] for digit in sequence(axes, bases)]:
            return order
    return None


def _is_size(node: fx.Node) -> bool:
    """Whether a node computes a number, not a tensor."""
    return not isinstance(node.meta.get("val"), Tensor | tuple | list)
