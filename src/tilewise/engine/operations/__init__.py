"""The operations that the engine serves, one file each.

A file says what torch's operations become (``IMPORTS``), the graph's node, what it adds to a program, and how torch
computes it to the engine's bits where torch's own function does not (``SIMULATIONS``). To add one, write its file
and enter it here.
"""

from __future__ import annotations

from tilewise.engine.importer import Handler
from tilewise.engine.operations import (
    activation,
    arithmetic,
    batch_norm,
    composed,
    convolution,
    gathering,
    images,
    normalization,
    padding,
    pixel_shuffle,
    pooling,
    quantization,
    reducing,
    reshaping,
    resizing,
    slicing,
    transposed,
)  # fmt: skip
from tilewise.engine.simulation import Simulated

MODULES = (
    images,
    convolution,
    transposed,
    batch_norm,
    activation,
    arithmetic,
    composed,
    quantization,
    pooling,
    reducing,
    normalization,
    gathering,
    slicing,
    padding,
    pixel_shuffle,
    resizing,
    reshaping,
)

IMPORTS: dict[str, Handler] = {name: handler for module in MODULES for name, handler in module.IMPORTS.items()}
"""What each of torch's operations becomes."""
SIMULATIONS: dict[str, Simulated] = {
    name: simulated for module in MODULES for name, simulated in module.SIMULATIONS.items()
}
"""What computes those that torch's own function does not compute to the engine's bits."""
