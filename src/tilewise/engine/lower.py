"""From the optimized graph to the plan: tensors get memory, operations their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.engine.exact import Fields, by_itself, exact_node
from tilewise.engine.graph import Conv, Eltwise, Gather, Graph, Input, Node, Pool, Resize, Shuffle
from tilewise.engine.layers import check_sums
from tilewise.engine.memory import Lifetime, arrange
from tilewise.engine.plan import ITEM_BYTES, OPERATIONS, Array, Plan
from tilewise.nn import QuantizedConv, WinogradConv2d
from tilewise.nn.frozen import array
from tilewise.quant import Exact, Residue

LANES = 16


def lower(graph: Graph, precision: str = "float32") -> Plan:
    """Give the plan of a graph that has been through all passes, for the same ``precision``."""
    return _Lowering(graph, precision).run()


class _Lowering:
    def __init__(self, graph: Graph, precision: str) -> None:
        self.graph, self.precision = graph, precision
        self.readers = graph.readers()
        self.number = {node: i for i, node in enumerate(graph.nodes)}
        # Float sums of a network with integers are rounded in one order everywhere; a float network may be faster.
        self.unfused = any(node.grid is not None for node in graph.nodes)
        self.nodes: list[dict[str, Any]] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    def run(self) -> Plan:
        graph = self.graph
        strides = [self.stride(node) for node in graph.nodes]
        offsets, arena_bytes = arrange(
            [self.lifetime(n, stride) for n, stride in zip(graph.nodes, strides, strict=True)]
        )
        tensors = [
            self.tensor(node, stride, offset)
            for node, stride, offset in zip(graph.nodes, strides, offsets, strict=True)
        ]
        for node in graph.nodes:
            self.emit(node)
        self.append("export_nchw", "output", x=self.number[graph.output])
        return Plan(
            batch=graph.batch,
            arena_bytes=arena_bytes,
            input_shape=tuple(graph.nodes[0].chw),
            output_shape=tuple(graph.output_shape),
            tensors=tuple(tensors),
            nodes=tuple(self.nodes),
            arrays=self.arrays,
        )

    def stride(self, node: Node) -> int:
        """Distance of two pixels: whole vectors, but no more than needed for images that only a direct layer reads."""
        direct = all(
            isinstance(r.op, Conv) and not isinstance(r.op.layer, WinogradConv2d) and r.residual is not node
            for r in self.readers[node]
        )
        lanes = 4 if isinstance(node.op, Input) and direct and node is not self.graph.output else LANES
        return -(-node.chw.channels // lanes) * lanes

    def lifetime(self, node: Node, stride: int) -> Lifetime:
        size = self.graph.batch * node.chw.height * node.chw.width * stride * ITEM_BYTES[node.dtype]
        last = max((self.number[reader] for reader in self.readers[node]), default=self.number[node])
        return Lifetime(size, self.number[node], len(self.graph.nodes) if node is self.graph.output else last)

    @staticmethod
    def tensor(node: Node, stride: int, offset: int) -> dict[str, Any]:
        channels, height, width = node.chw
        grid = {"step": 1.0, "factor": 1.0, "low": 0, "high": 255}
        if node.grid is not None:
            grid = {f: getattr(node.grid, f) for f in grid}
        return {
            "height": height, "width": width, "channels": channels, "stride": stride, "offset": offset,
            "dtype": node.dtype, **grid,
        }  # fmt: skip

    def append(self, op: str, name: str, /, **fields: Any) -> None:
        """Add an operation; arrays among its fields go where arrays are kept, None among them nowhere."""
        plain = {}
        for field, value in fields.items():
            if not isinstance(OPERATIONS[op][field], Array):
                plain[field] = value
            elif value is not None:
                self.arrays[f"{len(self.nodes)}.{field}"] = value
        self.nodes.append({"op": op, "name": name, **plain})

    def emit(self, node: Node) -> None:
        """Add the operations of a node."""
        wires = {"y": self.number[node]}
        if node.inputs:
            wires["x"] = self.number[node.inputs[0]]
        match node.op:
            case Input():
                self.append("import_nchw", node.name, **wires)
            case Conv():
                self.emit_conv(node, node.op, {**wires, **self.end(node)})
            case Eltwise(affine):
                scale, bias = (None, None) if affine is None else (array(affine.alpha), array(affine.beta))
                self.append("eltwise", node.name, **wires, **self.end(node), scale=scale, bias=bias)
            case Pool(maximum, rows, cols, divisor):
                self.append("pool", node.name, **wires, maximum=maximum, rows=rows, cols=cols, divisor=divisor)
            case Gather(parts):
                for i, (x, part) in enumerate(zip(node.inputs, parts, strict=True)):
                    wires["x"] = self.number[x]
                    self.append("gather", node.name, **wires, **part._asdict(), clear=i == 0)
            case Shuffle(factor):
                self.append("pixel_shuffle", node.name, **wires, factor=factor)
            case Resize():
                self.append("resize", node.name, **wires, **vars(node.op))
            case _:
                raise AssertionError(f"{node.op} is still there after fusion")

    def end(self, node: Node) -> dict[str, Any]:
        """Residual and activation."""
        residual = None if node.residual is None else self.number[node.residual]
        low, high = (None, None) if node.clamp is None else (_limit(node.clamp.low), _limit(node.clamp.high))
        return {"residual": residual, "act_low": low, "act_high": high}

    def emit_conv(self, node: Node, conv: Conv, wires: dict[str, Any]) -> None:
        layer = conv.layer
        numbers = layer.frozen()
        check_sums(node.name, layer, numbers)
        bf16 = self.precision == "bf16" and numbers.grid is None
        weight = to_bf16(numbers.weight) if bf16 else numbers.weight
        same = [d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        named = {"same": (same[0], same[1]), "valid": (0, 0)}
        padding = named[layer.padding] if isinstance(layer.padding, str) else tuple(layer.padding)
        if not isinstance(layer, WinogradConv2d):
            direct = {
                **wires, "weight": weight, "scale": numbers.scale, "bias": numbers.bias,
                "stride": tuple(layer.stride), "padding": padding, "dilation": tuple(layer.dilation),
                "unfused": self.unfused and numbers.grid is None and not bf16,
            }  # fmt: skip
            op, fields = _exact(layer, node, direct, vars(numbers.grid) if numbers.grid else None) or ("direct", direct)
            self.append(op, node.name, **fields)
            return
        self.append(
            "fast", node.name, **wires, algorithm=layer.algorithm.name, bt=numbers.bt, at=numbers.at,
            integer=numbers.integer, u=weight, mult=numbers.mult, scale=numbers.scale,
            v_limit=numbers.v_limit, fraction_bits=numbers.fraction_bits, bias=numbers.bias,
            stride=layer.algorithm.stride, padding=padding, block=0,
        )  # fmt: skip


def _exact(layer: QuantizedConv, node: Node, direct: Fields, grid: Fields | None) -> tuple[str, Fields] | None:
    """Give an exact layer's operation: what its spec names; where that leaves the choice, only what is faster."""
    spec = layer.spec
    if grid is None or not isinstance(spec, Exact | Residue):
        return None
    channels, pixels = min(layer.in_channels, layer.out_channels), node.chw.height * node.chw.width
    choices = by_itself(spec, layer.kernel_size[0], channels, pixels) if isinstance(spec, Exact) else (spec,)
    size = {"height": node.chw.height, "width": node.chw.width}
    return next(filter(None, (exact_node(direct, grid, size, choice) for choice in choices)), None)


def to_bf16(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Give the upper halves of finite floats, rounded to the nearest, in the middle to the even one."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _limit(value: float) -> float | None:
    """JSON has no infinity: none stands for it."""
    return None if abs(value) == float("inf") else value
