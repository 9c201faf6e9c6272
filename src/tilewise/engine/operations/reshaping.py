"""What changes a shape, or nothing at all, and needs no work."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.simulation import Simulated
from tilewise.engine.views import VIEWS, viewed


def _view(im: Importer, a: dict[str, Any]) -> Value:
    x, shape = im.value(a.get("self", a.get("input"))), im.out()
    if a.get("train"):
        raise im.refusal("drops values in evaluation too; allowed: training=self.training")
    if im.node.meta["val"].dtype != torch.float32:
        raise im.refusal(f"gives {im.node.meta['val'].dtype}; allowed: torch.float32")
    axes = viewed(im.node, x.axes)
    if axes is None:
        im.need_fixed_sizes()
        raise im.refusal(
            f"gives the shape (N, {', '.join(map(str, shape))}) to (N, {', '.join(map(str, x.shape))}); "
            "allowed: axes that are joined, or split into equal parts"
        )
    return Value(x.node, shape, axes)


def _result_of(im: Importer, _: dict[str, Any]) -> Value:
    source, index = im.node.args
    assert isinstance(source, fx.Node)
    assert isinstance(index, int)
    return im.result(source, index)


IMPORTS: dict[str, Handler] = {**dict.fromkeys(VIEWS, _view), "getitem": _result_of}
SIMULATIONS: dict[str, Simulated] = {}
