"""Float transposed convolutions: a convolution of stride 1, and its pixels shuffled.

Those that ``tilewise.convert`` has taken are exported as these steps already (:class:`tilewise.nn.Transposed`).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx

from tilewise.engine.fxnodes import module_of
from tilewise.engine.importer import Handler, Importer, Value, pair
from tilewise.engine.layers import check_layer, float_layer
from tilewise.engine.operations.convolution import Conv, convolved
from tilewise.engine.operations.gathering import NO_END, Gather, Part, cut, pad
from tilewise.engine.operations.pixel_shuffle import shuffled
from tilewise.engine.simulation import Run, Simulated
from tilewise.nn import Conv2d
from tilewise.nn.transposed import Geometry, geometry, pieces


def _made(a: dict[str, Any], weight: Tensor, bias: Tensor | None) -> tuple[Geometry, Conv2d]:
    """Return what the convolution is made of."""
    numbers = (pair(a[name]) for name in ("stride", "padding", "output_padding", "dilation"))
    form = geometry(weight.shape[2:], *numbers)
    layer = float_layer(*pieces(weight, bias, a["groups"], form), groups=a["groups"])
    layer.phases = form.phases
    return form, layer


def _conv_transpose2d(im: Importer, a: dict[str, Any]) -> Value:
    x, weight, bias = im.image(a["input"]), im.tensor(a["weight"]), im.tensor(a["bias"])
    assert weight is not None
    form, layer = _made(a, weight, bias)
    name = module_of(im.node) or "conv_transpose2d"
    check_layer(name, layer)
    left, right, top, bottom = form.sides
    height, width = x.node.chw[1:]
    if any(form.sides):
        height, width = height + top + bottom, width + left + right
        rows, cols = (pad(top, bottom),), (pad(left, right),)
        x = im.one(Gather((Part(rows, cols, 0),)), x, (x.node.chw.channels, height, width))
    rows_out, cols_out = height - form.axes[0].window + 1, width - form.axes[1].window + 1
    node = im.add(Conv(layer), [x.node], (layer.out_channels, rows_out, cols_out), name)
    y = Value(node, node.chw)
    if form.phases > 1:
        y = shuffled(im, y, *form.factors)
    if any(form.surplus):
        rows, cols = ((cut(0, -more if more else NO_END, 1),) for more in form.surplus)
        y = im.one(Gather((Part(rows, cols, 0),)), y, im.out())
    return y


def _simulate(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    form, layer = _made(a, a["weight"], a["bias"])
    return form.shuffle(convolved(run, node, layer, F.pad(a["input"], form.sides)))


IMPORTS: dict[str, Handler] = {"aten::conv_transpose2d": _conv_transpose2d}
SIMULATIONS: dict[str, Simulated] = {"aten::conv_transpose2d": _simulate}
