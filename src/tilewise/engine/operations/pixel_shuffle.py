"""Pixel shuffle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Simulated


@dataclass(frozen=True)
class Shuffle(Op):
    """Channels become pixels: ``factor * factor`` of them one."""

    moves: ClassVar[bool] = True
    keeps_grid: ClassVar[bool] = True

    factor: int

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the shuffle."""
        writer.append("pixel_shuffle", node.name, **writer.wires(node), factor=self.factor)


def _pixel_shuffle(im: Importer, a: dict[str, Any]) -> Value:
    return im.one(Shuffle(a["upscale_factor"]), im.image(a["self"]), im.out())


IMPORTS: dict[str, Handler] = {"aten::pixel_shuffle": _pixel_shuffle}
SIMULATIONS: dict[str, Simulated] = {}
