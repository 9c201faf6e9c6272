"""Batch norms with running statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from tilewise.engine.graph import Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.simulation import Run, Simulated
from tilewise.nn import Affine, affine_of


@dataclass(frozen=True)
class BatchNorm(Op):
    """``y * alpha + beta`` per channel."""

    affine: Affine


def _batch_norm(im: Importer, a: dict[str, Any]) -> Value:
    mean, var = im.tensor(a["running_mean"]), im.tensor(a["running_var"])
    if mean is None or var is None or a.get("training"):
        raise im.refusal("uses the statistics of the batch; allowed: running statistics")
    x = im.as_channels(im.value(a["input"]), [1])
    return im.alike(BatchNorm(affine_of(im.tensor(a["weight"]), im.tensor(a["bias"]), mean, var, a["eps"])), x)


def _simulate(run: Run, node: fx.Node, a: dict[str, Any]) -> Any:
    x: Tensor = a["input"]
    if node not in run.folding:
        axes = (1, -1) + (1,) * (x.ndim - 2)
        affine = run.affine(node)
        x = x * affine.alpha.view(axes) + affine.beta.view(axes)
    return x if str(node.target).startswith("aten.batch_norm") else (x,)


IMPORTS: dict[str, Handler] = dict.fromkeys(
    ("aten::batch_norm", "aten::_native_batch_norm_legit_no_training"), _batch_norm
)
SIMULATIONS: dict[str, Simulated] = dict.fromkeys(IMPORTS, _simulate)
