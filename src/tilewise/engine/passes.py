"""What makes a graph fast without changing a bit of its result.

Batch norms go into convolutions; residuals, activations and quantization to the end of the operation before them;
quantization in front of what only moves numbers, so that fewer bytes are moved.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from tilewise.engine.graph import Graph, Node
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.arithmetic import Add
from tilewise.engine.operations.batch_norm import BatchNorm
from tilewise.engine.operations.convolution import Conv
from tilewise.engine.operations.elementwise import ElementWise
from tilewise.engine.operations.gathering import Gather
from tilewise.engine.operations.images import Images
from tilewise.engine.operations.pixel_shuffle import Shuffle
from tilewise.engine.operations.quantization import Quantization
from tilewise.nn import WinogradConv2d
from tilewise.quant import QuantGrid


def optimize(graph: Graph, precision: str = "float32") -> Graph:
    """Run all passes, in place; ``precision`` is that of float convolutions."""
    drop_unread(graph)
    fold_batch_norms(graph)
    compose_gathers(graph)  # before quantizations come between them
    quantize_inputs(graph)
    while join_equal_quantizations(graph) or hoist(graph):
        pass
    absorb_padding(graph)
    compose_gathers(graph)
    fuse(graph)
    widen_inputs(graph)
    if precision == "bf16":
        narrow_inputs(graph)
    return graph


def drop_unread(graph: Graph) -> None:
    """Take out what no result needs; inputs stay."""
    needed = {output.node for output in graph.outputs}
    for node in reversed(list(graph.nodes)):
        if node in needed:
            needed.update(node.reads())
        elif not isinstance(node.op, Images):
            graph.remove(node)


def fold_batch_norms(graph: Graph) -> None:
    """Multiply a batch norm into the convolution before it, if nothing else reads that one."""
    readers = graph.readers()
    for node in list(graph.nodes):
        if not isinstance(node.op, BatchNorm):
            continue
        x = _maker(node, graph, readers)
        if x is not None and isinstance(x.op, Conv) and x.op.layer.affine() is None:
            layer = copy.copy(x.op.layer)  # a layer used in two places may have a batch norm of its own in each
            layer.fold(*node.op.affine)
            x.op = replace(x.op, layer=layer)
            _bypass(graph, node, node.inputs[0])
            readers = graph.readers()


def _maker(node: Node, graph: Graph, readers: dict[Node, list[Node]]) -> Node | None:
    """Return the convolution that makes what a node alone reads; of a transposed one the pixels are moved between."""
    x, moved = node.inputs[0], False
    while graph.is_read_only_by(x, node, readers):
        if isinstance(x.op, Conv):
            return x if x.op.layer.phases or not moved else None
        if not isinstance(x.op, Shuffle) and not (isinstance(x.op, Gather) and x.op.only_cuts):
            return None
        x, node, moved = x.inputs[0], x, True
    return None


def quantize_inputs(graph: Graph) -> None:
    """Let every quantized convolution read a tensor on its grid."""
    for node in list(graph.nodes):
        if isinstance(node.op, Conv) and not node.op.is_float:
            (x,) = node.inputs
            grid = QuantGrid.of(node.op.layer.get_range("input_range"))
            quantized = Node(f"{node.name}.quantize", Quantization(grid), [x], x.chw)
            graph.insert_after(x, quantized)
            node.inputs = [quantized]


def join_equal_quantizations(graph: Graph) -> bool:
    """Take out quantizations to a grid that a tensor is on already, or that another one does too."""
    changed = False
    seen: dict[tuple[Node, QuantGrid], Node] = {}
    for node in list(graph.nodes):
        if not isinstance(node.op, Quantization):
            continue
        (x,) = node.inputs
        same = x if _grid(x) == node.op.grid else seen.setdefault((x, node.op.grid), node)
        if same is not node:
            _bypass(graph, node, same)
            changed = True
    return changed


def hoist(graph: Graph) -> bool:
    """Move one quantization, or one activation, in front of what only moves numbers. Tells whether there was one.

    Of what puts several tensors together, a quantization goes to those that nothing needs in float. It stays for the
    others; what is on its grid already, it does not change.
    """
    readers = graph.readers()
    for node in graph.nodes:
        if not isinstance(node.op, Quantization | Activate):
            continue
        (mover,) = node.inputs
        if not _commutes(mover, node.op) or not graph.is_read_only_by(mover, node, readers):
            continue
        if isinstance(node.op, Quantization):
            found = [x for x in mover.inputs if _wants_grid(x, node.op, graph, readers)]
        else:
            found = mover.inputs if all(_wants_activation(x, mover, graph, readers) for x in mover.inputs) else []
        for x in dict.fromkeys(found):
            before = Node(node.name, node.op, [x], x.chw)
            graph.insert_after(x, before)
            mover.replace(x, before)
        if found:
            if isinstance(node.op, Activate):
                _bypass(graph, node, mover)
            return True
    return False


def _commutes(mover: Node, op: Quantization | Activate) -> bool:
    """Whether moving numbers first and then rounding or activating them is the same as the other way round."""
    return mover.op.moves if isinstance(op, Quantization) else op.activation.commutes(mover.op)


def _wants_activation(x: Node, mover: Node, graph: Graph, readers: dict[Node, list[Node]]) -> bool:
    """Whether ``x`` may be activated for the mover, which alone needs it, and could do so at its end."""
    if not (x.op.has_ending or isinstance(x.op, BatchNorm | Add) or x.op.moves):
        return False
    return not graph.is_output(x) and all(reader is mover for reader in readers[x])


def _wants_grid(x: Node, op: Quantization, graph: Graph, readers: dict[Node, list[Node]]) -> bool:
    """Whether ``x``, which is on no grid yet, is needed on this one only, however it is moved before."""
    if graph.is_output(x) or isinstance(x.op, Quantization) or _grid(x) == op.grid or not readers[x]:
        return False
    return all(
        reader.op == op or (reader.op.moves and reader.residual is not x and _wants_grid(reader, op, graph, readers))
        for reader in readers[x]
    )  # fmt: skip


def absorb_padding(graph: Graph) -> None:
    """Let a convolution pad its own input, where it alone reads what zeros are put around."""
    for node in list(graph.nodes):
        x = node.inputs[0] if node.inputs else node
        if not isinstance(node.op, Conv) or node.op.flattened or not isinstance(x.op, Gather):
            continue
        zeros = x.op.zeros_around
        if zeros is None or x.chw.channels != x.inputs[0].chw.channels:
            continue
        if graph.is_read_only_by(x, node, graph.readers()):
            node.op = replace(node.op, padding=zeros)
            _bypass(graph, x, x.inputs[0])


def compose_gathers(graph: Graph) -> None:
    """Let one gather do what two in a row do."""
    readers = graph.readers()
    for node in list(graph.nodes):
        if not isinstance(node.op, Gather):
            continue
        for i, x in enumerate(list(node.inputs)):
            if not isinstance(x.op, Gather) or not graph.is_read_only_by(x, node, readers):
                continue
            if not node.op.takes(x.op, x):
                continue
            node.op = node.op.then(i, x.op)
            node.inputs[i] = x.inputs[0]
            graph.remove(x)
        readers = graph.readers()


def fuse(graph: Graph) -> None:
    """Give additions, activations and quantizations to the operation before them, or make them operations."""
    for node in list(graph.nodes):
        readers = graph.readers()
        x = node.inputs[0] if node.inputs else node
        alone = graph.is_read_only_by(x, node, readers)
        match node.op:
            case Add():
                _fuse_add(graph, node, readers)
            case ElementWise(None, bias) if bias is not None and alone and _takes_bias(x):
                assert isinstance(x.op, ElementWise)
                x.op = ElementWise(x.op.scale, bias)
                _absorb(graph, node, x)
            case Activate(activation) if alone and _ends(x) and x.activation is None:
                x.activation = activation
                _absorb(graph, node, x)
            case Quantization() if alone and x.grid is None and not x.op.keeps_grid:
                x.grid = node.op.grid
                _absorb(graph, node, x)
            case BatchNorm():
                node.op = ElementWise(*node.op.affine)
            case Activate(activation):
                node.activation, node.op = activation, ElementWise()
            case Quantization():
                node.grid, node.op = node.op.grid, ElementWise()
            case _:
                pass
    _pass_grids_on(graph)


def _fuse_add(graph: Graph, node: Node, readers: dict[Node, list[Node]]) -> None:
    """Add at the end of the later one of the operands that can; a convolution rather than another."""
    able = [
        x for x in node.inputs
        if _ends(x) and x.residual is None and x.activation is None and graph.is_read_only_by(x, node, readers)
    ]  # fmt: skip
    if not able:
        node.op, node.residual = ElementWise(), node.inputs.pop()
        return
    chosen = max(able, key=lambda x: (isinstance(x.op, Conv), graph.nodes.index(x)))
    (chosen.residual,) = (x for x in node.inputs if x is not chosen)
    _absorb(graph, node, chosen)


def _ends(x: Node) -> bool:
    """Whether the operation has an end for residuals and activations that is still open."""
    return x.op.has_ending and x.grid is None


def _takes_bias(x: Node) -> bool:
    """Whether an element-wise operation can add numbers to what it computes now."""
    plain = _ends(x) and x.residual is None and x.activation is None
    return plain and isinstance(x.op, ElementWise) and x.op.bias is None


def _absorb(graph: Graph, node: Node, x: Node) -> None:
    """Let ``x``, which does the work of ``node`` now, run in its place."""
    graph.remove(x)
    graph.insert_before(node, x)
    _bypass(graph, node, x)


def _pass_grids_on(graph: Graph) -> None:
    """Operations that only move numbers keep the grid of what they read."""
    for node in graph.nodes:
        grids = {x.grid for x in node.inputs}
        if node.op.moves and node.grid is None and len(grids) == 1:
            (node.grid,) = grids


def widen_inputs(graph: Graph) -> None:
    """Let float convolutions read float tensors."""
    for node in list(graph.nodes):
        if isinstance(node.op, Conv) and node.op.is_float and node.inputs[0].grid is not None:
            (x,) = node.inputs
            wide = Node(f"{node.name}.dequantize", ElementWise(), [x], x.chw)
            graph.insert_before(node, wide)
            node.inputs = [wide]


def narrow_inputs(graph: Graph) -> None:
    """Let direct float convolutions read bfloat16: what they alone read is stored so, of the rest a copy is."""
    readers = graph.readers()
    copies: dict[Node, Node] = {}
    for node in list(graph.nodes):
        if not _is_direct_float(node):
            continue
        (x,) = node.inputs
        alone = all(_is_direct_float(reader) and reader.residual is not x for reader in readers[x])
        if alone and not graph.is_output(x) and isinstance(x.op, Images | Conv | ElementWise):
            x.bf16 = True
        elif x in copies:
            node.inputs = [copies[x]]
        else:
            copies[x] = Node(f"{node.name}.bf16", ElementWise(), [x], x.chw, bf16=True)
            graph.insert_before(node, copies[x])
            node.inputs = [copies[x]]


def _is_direct_float(node: Node) -> bool:
    if not isinstance(node.op, Conv) or isinstance(node.op.layer, WinogradConv2d):
        return False
    return node.op.is_float


def _grid(x: Node) -> QuantGrid | None:
    """Grid that a tensor's numbers are on before fusion, if they are."""
    if isinstance(x.op, Quantization):
        return x.op.grid
    grids = {_grid(y) for y in x.inputs}
    return grids.pop() if x.op.moves and len(grids) == 1 else None


def _bypass(graph: Graph, node: Node, replacement: Node) -> None:
    """Take a node out; what read it reads the replacement."""
    graph.replace(node, replacement)
    graph.remove(node)
