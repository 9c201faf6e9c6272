"""Numbers moved among channels, rows and columns, for what reads them in another order than they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tilewise.engine.axes import Axes
from tilewise.engine.graph import Node, Op
from tilewise.engine.lower import Writer


@dataclass(frozen=True)
class Rearrange(Op):
    """Channels, rows and columns of the result, as digits of those of what is read."""

    moves: ClassVar[bool] = True
    keeps_grid: ClassVar[bool] = True

    axes: Axes

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the move."""
        digits = sorted((digit for axis in self.axes for digit in axis), key=lambda digit: (digit.base, -digit.step))
        channels, rows, cols = (np.array([digits.index(digit) for digit in axis], np.int64) for axis in self.axes)
        sizes = [(digit.base, 0 if digit.free else digit.size) for digit in digits]
        writer.append(
            "rearrange", node.name, **writer.wires(node), digits=np.array(sizes, np.int64).reshape(-1, 2),
            channels=channels, rows=rows, cols=cols,
        )  # fmt: skip
