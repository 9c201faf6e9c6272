"""Element by element: what has no other operation to be the end of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tilewise.engine.graph import Node, Op
from tilewise.engine.lower import Writer
from tilewise.nn import Affine
from tilewise.nn.frozen import array


@dataclass(frozen=True)
class ElementWise(Op):
    """``y * alpha + beta`` per channel, if there is an affine, then the node's ending."""

    has_ending: ClassVar[bool] = True

    affine: Affine | None = None

    def emit(self, node: Node, writer: Writer) -> None:
        """Add an element-wise operation."""
        scale, bias = (None, None) if self.affine is None else (array(self.affine.alpha), array(self.affine.beta))
        writer.append("eltwise", node.name, **writer.wires(node), **writer.ending(node), scale=scale, bias=bias)
