"""Element by element: numbers per channel, and what has no other operation to be the end of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tilewise.engine.graph import Node, Op
from tilewise.engine.lower import Writer
from tilewise.nn.frozen import array


@dataclass(frozen=True)
class ElementWise(Op):
    """``y * scale + bias`` per channel, each where there is one, then the node's ending."""

    has_ending: ClassVar[bool] = True

    scale: Tensor | None = None
    bias: Tensor | None = None

    def emit(self, node: Node, writer: Writer) -> None:
        """Add an element-wise operation."""
        scale, bias = (None if x is None else array(x) for x in (self.scale, self.bias))
        writer.append("eltwise", node.name, **writer.wires(node), **writer.ending(node), scale=scale, bias=bias)
