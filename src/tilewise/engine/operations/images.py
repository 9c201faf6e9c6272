"""The images that a network is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler
from tilewise.engine.lower import Writer
from tilewise.engine.ports import Axis
from tilewise.engine.simulation import Simulated


@dataclass(frozen=True)
class Images(Op):
    """An input of the network.

    Parameters
    ----------
    axes : (Axis, Axis)
        Which heights and widths it may have.
    mean, deviation : tuple of float
        Per channel: callers' numbers v come in as ``(v - mean) / deviation``; empty for v itself.
    """

    axes: tuple[Axis, Axis] = (Axis(), Axis())
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the input."""
        writer.append(
            "input", node.name, y=writer.number(node), size=[axis.size for axis in self.axes],
            multiple=[axis.multiple for axis in self.axes],
            mean=np.array(self.mean, np.float32) if self.mean else None,
            deviation=np.array(self.deviation, np.float32) if self.mean else None,
        )  # fmt: skip


IMPORTS: dict[str, Handler] = {}
SIMULATIONS: dict[str, Simulated] = {}
