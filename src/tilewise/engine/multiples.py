"""Padding that a model computes from the image's size, and that is nothing for multiples of some number.

Many U-Nets pad a map to that of their other half, and many filters pad images to a multiple of 8: written for any size,
but without effect on most. The engine serves the sizes of which all such padding is 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

from torch import fx

from tilewise.engine.axes import image_shape
from tilewise.engine.fxnodes import hint, operation
from tilewise.engine.ports import Axis

PADS = ("aten::pad", "aten::constant_pad_nd", "aten::reflection_pad2d", "aten::replication_pad2d")
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
"""That networks ask of sizes."""
MOST_SYMBOLS = 2
PERIODS = 24
"""So many multiples are tried: beyond those, quotients and remainders by what networks divide by repeat."""


def without_padding(
    graph: fx.Graph, inputs: Mapping[str, fx.Node], axes: dict[str, tuple[Axis, Axis]]
) -> dict[str, tuple[Axis, Axis]]:
    """Replace computed padding that is 0 for the example by 0, where multiples can be asked of sizes that keep it so.

    Parameters
    ----------
    graph : torch.fx.Graph
        An exported model; changed in place.
    inputs : mapping of str to torch.fx.Node
        Images by name.
    axes : dict of str to (Axis, Axis)
        Which heights and widths each input may have.

    Returns
    -------
    dict of str to (Axis, Axis)
        The same, with the multiples that are needed.
    """
    symbols = {
        str(size): (name, i, hint(size))
        for name, node in inputs.items()
        for i, size in enumerate(image_shape(node.meta["val"].shape[1:])[1:])
    }
    for node in graph.nodes:
        if node.op != "call_function" or operation(node) not in PADS:
            continue
        computed = [pad for pad in node.args[1] if isinstance(pad, fx.Node)]
        found = [_multiples(pad.meta["val"], symbols) for pad in computed]
        if not computed or None in found:
            continue
        for multiples in found:
            axes = _narrowed(axes, {symbols[symbol][:2]: m for symbol, m in (multiples or {}).items()})
        node.update_arg(1, [0 if pad in computed else pad for pad in node.args[1]])
    graph.eliminate_dead_code()
    return axes


def _multiples(size: Any, symbols: Mapping[str, Any]) -> dict[str, int] | None:
    """Return what a size's symbols have to be multiples of for it to be 0; None: nothing, or not for the example."""
    expression = size.node.expr
    free = sorted(expression.free_symbols, key=str)
    if hint(size) != 0 or len(free) > MOST_SYMBOLS or any(str(symbol) not in symbols for symbol in free):
        return None
    tried = list(itertools.product(range(1, PERIODS + 1), repeat=len(free)))
    for multiple in MULTIPLES:
        if any(symbols[str(symbol)][2] % multiple for symbol in free):
            return None
        if all(int(expression.xreplace(dict(zip(free, (multiple * k for k in ks), strict=True)))) == 0 for ks in tried):
            return {str(symbol): multiple for symbol in free}
    return None


def _narrowed(
    axes: dict[str, tuple[Axis, Axis]], multiples: Mapping[tuple[str, int], int]
) -> dict[str, tuple[Axis, Axis]]:
    found = {name: list(both) for name, both in axes.items()}
    for (name, i), multiple in multiples.items():
        axis = found[name][i]
        found[name][i] = axis._replace(multiple=math.lcm(axis.multiple, multiple)) if axis.size == 0 else axis
    return {name: (height, width) for name, (height, width) in found.items()}
