"""Quantization to a grid: the result lies in memory as its integers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, fx

from tilewise.engine.graph import Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.layers import check_grid
from tilewise.engine.simulation import Run, Simulated
from tilewise.nn import Grid, Quantize


@dataclass(frozen=True)
class Quantization(Op):
    """To the integers of a grid."""

    grid: Grid


def import_quantization(im: Importer, layer: Quantize, name: str, x: Value) -> Value:
    """Return what a ``Quantize`` becomes."""
    if not layer.range.ready:
        raise ValueError(f"layer {name!r} has no range yet; calibrate(model, batches) or train it first")
    grid = Grid.of(layer.range)
    check_grid(name, grid)
    return im.alike(Quantization(grid), x)


def simulate_quantization(run: Run, node: fx.Node, layer: Quantize, x: Tensor) -> Tensor:
    """Return what a ``Quantize`` computes, and note its grid."""
    run.grids[node] = Grid.of(layer.range)
    quantized: Tensor = layer(x)
    return quantized


IMPORTS: dict[str, Handler] = {}
SIMULATIONS: dict[str, Simulated] = {}
