"""The engine in torch: the exported model, operation by operation, to the bits that the engine gives.

It knows nothing of the passes, the program or memory, so that comparing the two checks all of those. What it shares
with the engine is the number contract (docs/contracts/numbers.md): batch norms folded into the convolution before
them, float sums in one order, means of 8-bit tensors over their integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, fx

from tilewise.engine.axes import CHANNEL, Axes, image_shape, of_image, of_input, reshaped, shape_of, whole
from tilewise.engine.capture import Captured
from tilewise.engine.fxnodes import arguments, hint, operation
from tilewise.engine.views import NOTHINGS, VIEWS, viewed
from tilewise.nn import Affine, Linear, QuantizedConv, affine_of
from tilewise.quant import FLOAT_BITS, QuantGrid

KEEPS_GRID = VIEWS | {
    "getitem", *(f"aten::{name}" for name in (
        "max_pool2d", "adaptive_max_pool2d", "slice", "narrow", "select", "unbind", "split", "split_with_sizes",
        "chunk", "unsafe_chunk", "tensor_split", "index", "index_select", "pad", "constant_pad_nd", "reflection_pad1d",
        "reflection_pad2d", "replication_pad1d", "replication_pad2d", "cat", "concat", "stack",
        "flip", "roll", "repeat", "tile", "expand", "repeat_interleave", "upsample_nearest2d",
        "_upsample_nearest_exact2d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
    )),
}  # fmt: skip
"""What leaves the numbers of a tensor on its grid."""
MOVES_PHASES = frozenset({"aten::pixel_shuffle", "aten::slice"})
"""What a transposed convolution does with its convolution's result."""


class Run:
    """One run of an exported model.

    Parameters
    ----------
    captured : Captured
        The model.
    simulated : mapping of str to callable
        What computes the operations that torch's own function does not compute to the engine's bits.

    Attributes
    ----------
    values : dict
        What each node gave.
    grids : dict
        The grid of every tensor that lies in memory as integers.
    folding : dict
        The convolution or linear layer that takes a batch norm in: the one that nothing else reads.
    folded : dict
        What the batch norm does, by the layer that takes it in.
    ordered : bool
        Whether float sums are rounded in one order.
    """

    def __init__(self, captured: Captured, simulated: Mapping[str, Simulated]) -> None:
        self.captured, self.simulated = captured, simulated
        self.values: dict[fx.Node, Any] = {}
        self.grids: dict[fx.Node, QuantGrid] = {}
        self._axes: dict[fx.Node, tuple[tuple[int, ...], Axes]] = {}
        found = ((node, self._folding(node)) for node in captured.graph.nodes)
        self.folding = {node: layer for node, layer in found if layer is not None}
        self.folded = {layer: self.affine(node) for node, layer in self.folding.items()}
        convs = (layer for layer in captured.layers.values() if isinstance(layer, QuantizedConv))
        self.ordered = any(conv.spec.bits != FLOAT_BITS for conv in convs)

    def outputs(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the results by name."""
        given = {node: inputs[name] for name, node in self.captured.inputs.items()}
        for node in self.captured.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = given.get(node, self.captured.tensors.get(node.name))
                if node in given:
                    shape = tuple(given[node].shape[1:])
                    self._axes[node] = image_shape(shape), of_input(shape)
            elif node.op == "call_function":
                self.values[node] = self._compute(node)
                self._note(node)
        return {name: self.values[node] for name, node in self.captured.outputs.items()}

    def axes_of(self, node: fx.Node) -> tuple[tuple[int, ...], Axes]:
        """Return channels, height and width of the map that a tensor is a view of, and what its axes hold of it."""
        return self._axes[node]

    def affine(self, node: fx.Node) -> Affine:
        """Return what a batch norm does per channel."""
        a = arguments(node)
        names = ("weight", "bias", "running_mean", "running_var")
        weight, bias, mean, var = (None if a[n] is None else self.captured.tensors[a[n].name] for n in names)
        assert mean is not None
        assert var is not None
        return affine_of(weight, bias, mean, var, a["eps"])

    def _folding(self, node: fx.Node) -> fx.Node | None:
        """Return the layer that takes a node in, if that is a batch norm: the one that makes what it alone reads."""
        if node.op != "call_function" or "batch_norm" not in operation(node):
            return None
        x, between = node.all_input_nodes[0], list[fx.Node]()
        while x.op == "call_function" and len(x.users) == 1:
            if self._is_linear(x) or self._is_conv(x):
                return x if self._keeps_channels(x, between) else None
            if operation(x) not in VIEWS | MOVES_PHASES:
                return None
            between.insert(0, x)
            x = x.all_input_nodes[0]
        return None

    def _keeps_channels(self, x: fx.Node, between: list[fx.Node]) -> bool:
        """Whether axis 1 of what views make of a layer's result is the layer's output channels, all of them."""
        layer, shape = self._layer(x), [hint(size) for size in x.meta["val"].shape[1:]]
        if layer is not None and layer.phases:
            return all(operation(view) in NOTHINGS | MOVES_PHASES for view in between)
        if any(operation(view) in MOVES_PHASES for view in between):
            return False
        first = shape.pop(-1 if self._is_linear(x) else 0)
        others = reshaped(of_image((1, math.prod(shape), 1)), shape, [True] * len(shape))
        channels = of_image((first, 1, 1))[0]
        axes = None if others is None else (*others, channels) if self._is_linear(x) else (channels, *others)
        for view in between:
            axes = None if axes is None else viewed(view, axes)
        return axes is not None and whole(axes[0], CHANNEL, first)

    def _compute(self, node: fx.Node) -> Any:
        found = self.simulated.get(operation(node))
        if found is not None:
            return found(self, node, fx.map_arg(arguments(node), lambda n: self.values[n]))
        assert callable(node.target)
        return node.target(*fx.map_arg(node.args, lambda n: self.values[n]), **node.kwargs)

    def _note(self, node: fx.Node) -> None:
        """Keep what later operations need to know about a tensor."""
        read = node.all_input_nodes[:1] if operation(node) in VIEWS else node.all_input_nodes
        sources = [x for x in read if x in self._axes]
        value = self.values[node]
        if isinstance(value, Tensor):
            self._axes[node] = self._axes_of_result(node, value, sources)
        grids = [self.grids.get(x) for x in read if x in self._axes or x in self.grids]
        keeps = operation(node) in KEEPS_GRID and not arguments(node).get("value")  # numbers that are put around
        if keeps and grids and grids[0] is not None and all(g == grids[0] for g in grids):
            self.grids[node] = grids[0]

    def _axes_of_result(self, node: fx.Node, value: Tensor, sources: list[fx.Node]) -> tuple[tuple[int, ...], Axes]:
        """Return the map that a result is a view of, and its axes: what it reads has them, or it is one itself."""
        shape = tuple(value.shape[1:])
        for source in sources:
            chw, axes = self._axes[source]
            if self._is_linear(node) and axes and whole(axes[-1], CHANNEL, chw[0]):
                chw, axes = (shape[-1], *chw[1:]), (*axes[:-1], of_image((shape[-1], 1, 1))[0])
            elif operation(node) in VIEWS:
                axes = viewed(node, axes) or ()
            if shape_of(axes) == shape and not self._is_conv(node):
                return chw, axes
        chw = (*shape, 1, 1)[:3] if len(shape) <= 3 else (math.prod(shape), 1, 1)
        own = reshaped(of_image(chw), shape)
        assert own is not None
        return chw, own

    def _layer(self, node: fx.Node) -> QuantizedConv | None:
        """Return the quantized layer that a node calls, if it does."""
        found = self.captured.layers[arguments(node)["name"]] if operation(node) == "tilewise::layer" else None
        return found if isinstance(found, QuantizedConv) else None

    def _is_linear(self, node: fx.Node) -> bool:
        return operation(node) == "aten::linear" or isinstance(self._layer(node), Linear)

    def _is_conv(self, node: fx.Node) -> bool:
        layer = self._layer(node)
        is_layer = layer is not None and not isinstance(layer, Linear)
        return is_layer or operation(node) in ("aten::conv1d", "aten::conv2d", "aten::conv_transpose2d")


Simulated: TypeAlias = Callable[[Run, fx.Node, dict[str, Any]], Any]
"""Computes a node from its arguments by name."""
