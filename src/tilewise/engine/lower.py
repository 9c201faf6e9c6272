"""From the optimized graph to the program: tensors and operations get their numbers and names."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.engine.graph import Activation, Graph, Node
from tilewise.engine.program import Program, split_fields


def lower(graph: Graph, precision: str = "float32") -> Program:
    """Return the program of a graph that has been through all passes, for the same ``precision``."""
    writer = Writer(graph, precision)
    for node in graph.nodes:
        node.op.emit(node, writer)
    for output in graph.outputs:
        x = writer.number(output.node)
        axes = None if output.axes is None else np.array(output.axes, np.int64).reshape(-1, 4)
        writer.append(
            "output", output.name, x=x, channels_last=output.channels_last, axes=axes, values=output.values
        )  # fmt: skip
    return Program(tensors=tuple(map(_tensor, graph.nodes)), operations=tuple(writer.operations), arrays=writer.arrays)


class Writer:
    """Takes the operations of a program, one after the other.

    Parameters
    ----------
    graph : Graph
        Whose operations come.
    precision : str
        Of float convolutions.
    """

    def __init__(self, graph: Graph, precision: str) -> None:
        self.precision = precision
        self.numbers = {node: i for i, node in enumerate(graph.nodes)}
        # Float sums of a network with integers are rounded in one order everywhere; a float network may be faster.
        self.ordered = any(node.grid is not None for node in graph.nodes)
        self.operations: list[dict[str, Any]] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    def number(self, node: Node | None) -> int | None:
        """Return the number of a node's tensor."""
        return None if node is None else self.numbers[node]

    def append(self, op: str, name: str, /, **fields: Any) -> None:
        """Add an operation; None among its arrays stands for no array."""
        plain, arrays = split_fields(op, fields)
        self.arrays |= {f"{len(self.operations)}.{field}": value for field, value in arrays.items()}
        self.operations.append({"op": op, "name": name, **plain})

    def wires(self, node: Node) -> dict[str, Any]:
        """Return what an operation of one input reads and writes."""
        return {"x": self.number(node.inputs[0]), "y": self.number(node)}

    def ending(self, node: Node) -> dict[str, Any]:
        """Return residual and activation."""
        return {"residual": self.number(node.residual), **(node.activation or Activation()).fields(node.chw.channels)}


def _tensor(node: Node) -> dict[str, Any]:
    entry = {"name": node.name, "channels": node.chw.channels, "dtype": node.dtype}
    if node.grid is None or node.bf16:
        return entry
    return entry | {f: getattr(node.grid, f) for f in ("step", "factor", "low", "high")}
