"""The engine in torch: the exported model, operation by operation, to the bits that the engine gives.

It knows nothing of the passes, the program or memory, so that comparing the two checks all of those. What it shares
with the engine is the number contract (docs/contracts/numbers.md): batch norms folded into the convolution before
them, float sums in one order, means of 8-bit tensors over their integers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor, fx

from tilewise.engine.capture import Captured, arguments, operation
from tilewise.nn import Affine, QuantizedConv, affine_of
from tilewise.quant import FLOAT_BITS, QuantGrid

SUMS = ("aten::conv2d", "aten::linear", "aten::conv_transpose2d")
"""What takes in a batch norm after it, beside quantized layers."""
KEEPS_GRID = frozenset({
    "aten::max_pool2d", "aten::adaptive_max_pool2d", "getitem", "aten::slice", "aten::pad", "aten::constant_pad_nd",
    "aten::cat", "aten::upsample_nearest2d", "aten::pixel_shuffle", "aten::flatten", "aten::view", "aten::reshape",
    "aten::squeeze", "aten::unsqueeze", "aten::dropout", "aten::contiguous", "aten::clone", "aten::detach",
})  # fmt: skip
"""What leaves the numbers of a tensor on its grid."""


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
        self._maps: dict[fx.Node, tuple[int, ...]] = {}
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
            elif node.op == "call_function":
                self.values[node] = self._compute(node)
                self._note(node)
        return {name: self.values[node] for name, node in self.captured.outputs.items()}

    def map_of(self, node: fx.Node) -> tuple[int, ...]:
        """Return the shape of the map that a tensor is, or was before it was flattened."""
        return self._maps.get(node, tuple(self.values[node].shape))

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
        x, moved = node.all_input_nodes[0], False
        while x.op == "call_function" and list(x.users) == [node]:
            if operation(x) in SUMS or self._is_layer(x):
                phases = self._is_layer(x) and self.captured.layers[arguments(x)["name"]].phases
                return x if phases or not moved else None
            if operation(x) not in ("aten::pixel_shuffle", "aten::slice"):
                return None
            x, node, moved = x.all_input_nodes[0], x, True
        return None

    def _is_layer(self, node: fx.Node) -> bool:
        """Whether a node is a quantized convolution or linear layer."""
        found = operation(node) == "tilewise::layer" and self.captured.layers[arguments(node)["name"]]
        return isinstance(found, QuantizedConv)

    def _compute(self, node: fx.Node) -> Any:
        found = self.simulated.get(operation(node))
        if found is not None:
            return found(self, node, fx.map_arg(arguments(node), lambda n: self.values[n]))
        assert callable(node.target)
        return node.target(*fx.map_arg(node.args, lambda n: self.values[n]), **node.kwargs)

    def _note(self, node: fx.Node) -> None:
        """Keep what later operations need to know about a tensor."""
        sources = [x for x in node.all_input_nodes if x in self._maps or x in self.captured.inputs.values()]
        value = self.values[node]
        if isinstance(value, Tensor) and (
            value.ndim == 4 or operation(node) in (*SUMS, "aten::mean") or self._is_layer(node)
        ):
            self._maps[node] = (*value.shape, 1, 1)[:4]
        elif sources and sources[0] in self._maps:
            self._maps[node] = self._maps[sources[0]]
        grids = [self.grids.get(x) for x in sources]
        if operation(node) in KEEPS_GRID and grids and grids[0] is not None and all(g == grids[0] for g in grids):
            self.grids[node] = grids[0]


Simulated: TypeAlias = Callable[[Run, fx.Node, dict[str, Any]], Any]
"""Computes a node from its arguments by name."""
