"""From an ONNX graph to a torch.fx one: constants are folded, sizes stay sizes, the rest becomes modules and calls."""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tilewise.doors.reading import MAX_VALUES, Array, OnnxGraph, OnnxNode
from tilewise.quant import QuantGrid

OPEN_SIZES = (224, 48, 32, 640, 512)
"""Heights and widths that a network is tried with where its file leaves them open, until one suits it."""
OPEN_CHANNELS = 3
TENSOR = "onnx_tensor"
"""Where a node of a network's graph has, in its ``meta``, the name of the file's tensor that it is."""
GROWING = ("ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample", "OneHot")
"""What makes more numbers than it reads."""
MOVERS = frozenset((
    "Concat", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "DepthToSpace",
    "SpaceToDepth", "Expand", "Tile", "Gather", "Identity", "Dropout", "MaxPool", "GlobalMaxPool",
))  # fmt: skip
"""What leaves numbers on the grid that they are on."""


class Sizes:
    """A tensor of whole numbers that a network computes from the sizes of its images, number by number.

    Parameters
    ----------
    items : list of int, float or torch.fx.Node
        The numbers.
    scalar : bool
        Whether it has no axis; else it has one.
    """

    def __init__(self, items: Iterable[Any], *, scalar: bool = False) -> None:
        self.items, self.scalar = list(items), scalar


class Integers(NamedTuple):
    """A tensor of integers that stand for ``(q - zero) * grid.step``.

    Parameters
    ----------
    real : torch.fx.Node
        The numbers that they stand for.
    grid : QuantGrid
        Of these; its integers are ``q - zero``.
    zero : int
        The zero point.
    dtype : torch.dtype
        Of the integers.
    """

    real: fx.Node
    grid: QuantGrid
    zero: int
    dtype: torch.dtype

    @property
    def kind(self) -> tuple[QuantGrid, int, torch.dtype]:
        """All but the numbers."""
        return self[1:]


Value: TypeAlias = "Array | Sizes | Integers | fx.Node"
Handler: TypeAlias = "Callable[[Builder, OnnxNode], Value | list[Value]]"


class Unsupported(ValueError):  # noqa: N818 - what it says is what an operation is
    """An operation that is read, but not in this form."""


class Builder:
    """Makes a ``torch.fx.GraphModule`` of an ONNX graph.

    Parameters
    ----------
    graph : OnnxGraph
        As :func:`tilewise.doors.reading.read_onnx` returns it.
    handlers : mapping of str to callable
        What each operator becomes.
    size : int
        Height and width to try the network with, where its file leaves them open.
    """

    def __init__(self, graph: OnnxGraph, handlers: Mapping[str, Handler], size: int = OPEN_SIZES[0]) -> None:
        self.source, self.handlers, self.trial = graph, handlers, size
        self.root, self.graph = nn.Module(), fx.Graph()
        self.values: dict[str, Value] = dict(graph.constants)
        self.readers = Counter(name for node in graph.nodes for name in node.reads())
        self.readers.update(graph.outputs)
        self.grids: dict[fx.Node, QuantGrid] = {}
        """On which grid the numbers of a tensor lie."""
        self.steps: dict[str, tuple[Array, int]] = {}
        """Steps of constants that integers stand for, and the axis along which they are."""
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._attributes: dict[str, fx.Node] = {}

    def run(self) -> fx.GraphModule:
        """Return the network, in evaluation mode.

        Raises
        ------
        ValueError
            Naming all operators that are not read, or the first operation that can not be.
        """
        if unknown := self._unknown(self.source):
            raise ValueError(f"these operators are not read: {unknown}; read are {', '.join(sorted(self.handlers))}")
        for name, shape in self.source.inputs.items():
            placeholder = self.graph.placeholder(_identifier(name))
            open_extents = (1, OPEN_CHANNELS, self.trial, self.trial) if len(shape) == 4 else (1,) * len(shape)
            extents: list[int] = [extent or other for extent, other in zip(shape, open_extents, strict=True)]
            with self._fake:
                placeholder.meta["val"] = torch.empty(extents)
            self.values[name] = placeholder
        for node in self.source.nodes:
            self._convert(node)
        for name, value in self.values.items():
            if isinstance(value, fx.Node):
                value.meta.setdefault(TENSOR, name)
        results = {name: self.tensor(name) for name in self.source.outputs}
        self.graph.output(next(iter(results.values())) if len(results) == 1 else results)
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph, "OnnxModel").eval()

    def _unknown(self, graph: OnnxGraph) -> str:
        """Return the operators that are not read, and how many of each there are."""
        found = Counter(node.kind for node in graph.nodes if node.kind not in self.handlers)
        return ", ".join(f"{kind} ({count})" for kind, count in sorted(found.items()))

    def branch(self, graph: OnnxGraph) -> list[Value]:
        """Convert operations that stand in another one, and return their results."""
        if unknown := self._unknown(graph):
            raise Unsupported(f"has a branch with operators that are not read: {unknown}")
        self.values.update(graph.constants)
        for node in graph.nodes:
            self._convert(node)
        return [self.values[name] for name in graph.outputs]

    def _convert(self, node: OnnxNode) -> None:
        try:
            read = [self.values[name] for name in node.inputs if name]
            constant = node.kind != "If" and all(isinstance(value, np.ndarray) for value in read)
            if constant and (folded := self._fold(node)) is not None:
                self.values.update(zip(node.outputs, folded, strict=False))
                self._keep_steps(node)
                return
            found = self._moved(node) if node.kind in MOVERS else self.handlers[node.kind](self, node)
        except Unsupported as error:
            raise ValueError(f"{node.kind} {node.name!r} {error}") from error
        except Exception as error:
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise ValueError(f"{node.kind} {node.name!r} can not be read: {reason}") from error
        outputs = found if isinstance(found, list) else [found]
        self.values.update(zip(filter(None, node.outputs), outputs, strict=False))

    def _keep_steps(self, node: OnnxNode) -> None:
        """Note the steps of constants that were integers."""
        if node.kind == "DequantizeLinear" and not node.get("block_size", 0):
            scale = self.values[node.inputs[1]]
            assert isinstance(scale, np.ndarray)
            self.steps[node.outputs[0]] = scale, node.get("axis", 1)
        elif node.kind in ("Reshape", "Transpose", "Identity") and node.inputs[0] in self.steps:
            scale, _ = self.steps[node.inputs[0]]
            if scale.size == 1 or node.kind == "Identity":
                self.steps[node.outputs[0]] = self.steps[node.inputs[0]]

    def _moved(self, node: OnnxNode) -> Value | list[Value]:
        """Convert what moves numbers; integers of one grid stay integers of it."""
        given = {name: v for name in node.inputs if isinstance(v := self.values.get(name), Integers)}
        kinds = {value.kind for value in given.values()}
        tensors = [v for name in node.inputs if isinstance(v := self.values.get(name), fx.Node)]
        if len(kinds) > 1 or (kinds and tensors):
            raise Unsupported("moves integers of different scales; allowed: of one")
        self.values.update((name, value.real) for name, value in given.items())
        found = self.handlers[node.kind](self, node)
        self.values.update(given)
        grids = {self.grids.get(x) for x in (*tensors, *(value.real for value in given.values()))}
        grid = grids.pop() if len(grids) == 1 else None
        made = found if isinstance(found, list) else [found]
        if grid is not None:
            self.grids.update((value, grid) for value in made if isinstance(value, fx.Node))
        if kinds:
            (kind,) = kinds
            made = [Integers(value, *kind) if isinstance(value, fx.Node) else value for value in made]
        return made if isinstance(found, list) else made[0]

    def _fold(self, node: OnnxNode) -> list[Array] | None:
        """Compute an operation of constants; None where its result depends on sizes after all."""
        from onnx import helper
        from onnx.reference import ReferenceEvaluator

        if node.kind == "Constant" and "value" in node.attributes:
            return [node.attributes["value"]]
        given = {name: self.values[name] for name in node.inputs if name}
        if not all(isinstance(value, np.ndarray) for value in given.values()):
            return None
        if node.kind in GROWING:
            self._check_growth(node, [value for value in given.values() if isinstance(value, np.ndarray)])
        graph = helper.make_graph(
            [node.proto], "constant", [helper.make_empty_tensor_value_info(name) for name in given],
            [helper.make_empty_tensor_value_info(name) for name in node.outputs if name],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.opset)])
        try:
            evaluator = ReferenceEvaluator(model)
        except (NotImplementedError, RuntimeError):  # an operator, or a version of it, that onnx itself lacks
            return self._fold_by_torch(node)
        return [np.asarray(value) for value in evaluator.run(None, given)]

    def _fold_by_torch(self, node: OnnxNode) -> list[Array]:
        """Compute an operation of constants by what it becomes."""
        first, *others = [name for name in node.inputs if name]
        values = {name: value for name in node.inputs if isinstance(value := self.values.get(name), np.ndarray)}
        inputs: dict[str, list[int | None]] = {first: list(values[first].shape)}
        graph = OnnxGraph([node], {name: values[name] for name in others}, inputs, node.outputs[:1])
        with torch.no_grad():
            return [Builder(graph, self.handlers).run()(torch.from_numpy(np.array(values[first]))).numpy()]

    @staticmethod
    def _check_growth(node: OnnxNode, given: list[Array]) -> None:
        """Refuse what would fill the memory before anyone sees an image."""
        if node.kind == "Range":
            start, limit, delta = (float(value) for value in given)
            count = (limit - start) / delta if delta else math.inf
        elif node.kind in ("ConstantOfShape", "Expand"):
            count = math.prod(int(extent) for extent in given[-1].reshape(-1))
        elif node.kind == "Tile":
            count = given[0].size * math.prod(int(repeat) for repeat in given[1].reshape(-1))
        else:
            raise Unsupported("of constants; allowed: of what the network computes")
        if not count <= MAX_VALUES:
            raise Unsupported(f"gives {count:.0f} numbers; allowed: {MAX_VALUES}")

    def value(self, node: OnnxNode, place: int) -> Value | None:
        """Return an input; None if it is left out."""
        name = node.inputs[place] if place < len(node.inputs) else ""
        return self.values[name] if name else None

    def constant(self, node: OnnxNode, place: int) -> Array | None:
        """Return an input that has to be known without images; None if it is left out."""
        found = self.value(node, place)
        if found is None or isinstance(found, np.ndarray):
            return found
        if isinstance(found, Sizes) and all(isinstance(item, int | float) for item in found.items):
            return np.array(found.items[0] if found.scalar else found.items)
        raise Unsupported(f"has an input {node.inputs[place]!r} that the network computes; allowed: a constant")

    def known(self, node: OnnxNode, place: int) -> Array | None:
        """Return an input if it is a constant, else None."""
        found = self.value(node, place)
        return found if isinstance(found, np.ndarray) else None

    def ints(self, node: OnnxNode, place: int, attribute: str = "") -> list[Any] | None:
        """Return whole numbers, or sizes that the network computes, from an attribute or an input; None if neither."""
        if attribute in node.attributes:
            given = node.attributes[attribute]
            return list(given) if isinstance(given, list) else [given]
        found = self.value(node, place)
        if found is None:
            return None
        if isinstance(found, Sizes):
            return list(found.items)
        if isinstance(found, np.ndarray):
            return [int(value) for value in found.reshape(-1)]
        raise Unsupported(f"has an input {node.inputs[place]!r} that the network computes; allowed: sizes")

    def tensor(self, name: str) -> fx.Node:
        """Return a tensor as a node of the graph; constants become parameters (buffers, if they are no floats)."""
        found = self.values[name]
        if isinstance(found, fx.Node):
            return found
        if isinstance(found, Integers):
            return self.call(integers_of, found.real, found.grid.factor, found.zero, found.dtype)
        if isinstance(found, Sizes):
            kind = torch.float32 if any(isinstance(item, float) for item in found.items) else torch.int64
            return self.call(torch.tensor, found.items[0] if found.scalar else found.items, dtype=kind)
        if name not in self._attributes:
            self._attributes[name] = self.parameter(name, found)
        return self._attributes[name]

    def input(self, node: OnnxNode, place: int) -> fx.Node:
        """Return an input as a node of the graph."""
        return self.tensor(node.inputs[place])

    def parameter(self, name: str, values: Array) -> fx.Node:
        """Put an array among the network's parameters."""
        target = self._free(name)
        tensor = torch.from_numpy(np.array(values))
        if tensor.is_floating_point():
            self.root.register_parameter(target, nn.Parameter(tensor.float()))
        else:
            self.root.register_buffer(target, tensor)
        return self._tried(self.graph.get_attr(target), getattr(self.root, target))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """Append a call."""
        node = self.graph.call_function(function, args, kwargs)
        return self._tried(node, self._run(lambda: function(*self._fakes(args), **self._fakes(kwargs))))

    def method(self, name: str, x: fx.Node, *args: Any) -> fx.Node:
        """Append a call of a tensor's method."""
        node = self.graph.call_method(name, (x, *args))
        return self._tried(node, self._run(lambda: getattr(self._fakes(x), name)(*self._fakes(args))))

    def module(self, module: nn.Module, node: OnnxNode, *args: fx.Node, like: nn.Module | None = None) -> fx.Node:
        """Append a module under the operation's name; ``like`` gives results of its shape, and is easier to try."""
        target = self._free(node.name)
        self.root.add_module(target, module.eval())
        called = self.graph.call_module(target, args)
        return self._tried(called, self._run(lambda: (like or module)(*self._fakes(args))))

    def size(self, x: fx.Node, axis: int) -> Any:
        """Return an extent: a number of the graph where it may differ from image to image, else a number."""
        is_open = axis == 0 or any(None in shape[1:] for shape in self.source.inputs.values())
        return self.method("size", x, axis) if is_open else int(shape_of(x)[axis])

    def number(self, function: Callable[..., Any], *items: Any) -> Any:
        """Return what a function makes of numbers: in the graph, where one of them is there."""
        if any(isinstance(item, fx.Node) for item in items):
            return self.call(function, *items)
        return function(*items)

    def product(self, items: Iterable[Any]) -> Any:
        """Return the product of numbers, some of them of the graph."""
        found: Any = 1
        for item in items:
            found = item if isinstance(found, int) and found == 1 else self.number(operator.mul, found, item)
        return found

    def _run(self, function: Callable[[], Any]) -> Any:
        with self._fake, torch.no_grad():
            return function()

    def _fakes(self, value: Any) -> Any:
        return fx.map_arg(value, lambda node: node.meta["val"])

    def _tried(self, node: fx.Node, value: Any) -> fx.Node:
        if isinstance(value, Tensor) and not isinstance(value, FakeTensor):
            value = self._fake.from_tensor(value)
        node.meta["val"] = value
        return node

    def _free(self, name: str) -> str:
        """Return a name for a module or parameter that is not taken."""
        wanted = _identifier(name)
        taken = {*self.root._modules, *self.root._parameters, *self.root._buffers}  # noqa: SLF001 - all three
        found, count = wanted, 1
        while found in taken or hasattr(nn.Module, found):
            found, count = f"{wanted}_{count}", count + 1
        return found


def integers_of(real: Tensor, factor: float, zero: int, dtype: torch.dtype) -> Tensor:
    """Return the integers that stand for numbers of a grid."""
    return (torch.round(real * factor) + zero).to(dtype)


def shape_of(x: fx.Node) -> list[int]:
    """Return the shape that a tensor has where the network is tried."""
    return [int(extent) for extent in x.meta["val"].shape]


def _identifier(name: str) -> str:
    found = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[:200] or "value"
    return f"_{found}" if found[0].isdigit() else found
