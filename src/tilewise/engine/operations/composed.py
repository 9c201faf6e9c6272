"""What other operations make up: gated units, variances, minima, RMS norm, log softmax, and functions by other ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from tilewise.engine.functions import FUNCTIONS
from tilewise.engine.fxnodes import is_fixed, operation
from tilewise.engine.graph import Activation
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.arithmetic import binary, constant, extremum, scaled, total
from tilewise.engine.operations.gathering import cut, join, pick
from tilewise.engine.operations.reducing import dims_of, largest, reduced, reduction
from tilewise.engine.simulation import Run, Simulated
from tilewise.quant.rounding import root


def _function(im: Importer, x: Value, name: str) -> Value:
    return im.alike(Activate(Activation(function=name)), x)


def _number(value: float) -> Tensor:
    return torch.tensor(float(value))


def _gated(im: Importer, a: dict[str, Any]) -> Value:
    axis = a["dim"] % (len(im.value(a["self"]).shape) + 1)
    half = im.out()[axis - 1] if axis > 0 else 0
    x, gate = (pick(im, a["self"], axis, (cut(i * half, (i + 1) * half, 1),), half) for i in (0, 1))
    return binary(im, "multiply", x, _function(im, gate, "sigmoid"))


def _simulate_gated(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    x, gate = a["self"].chunk(2, a["dim"])
    product: Tensor = x * FUNCTIONS["sigmoid"].compute(gate)
    return product


def _cat(im: Importer, a: dict[str, Any]) -> Value:
    """Return tensors and parameters beside each other."""
    beside = next((im.values[x] for x in a["tensors"] if x in im.values), None) or im.value(a["tensors"][0])
    values = [im.values[x] if x in im.values else constant(im, beside, _of_one(im, x)) for x in a["tensors"]]
    still = [[is_fixed(size) for size in x.meta["val"].shape[1:]] for x in a["tensors"]]
    return join(im, values, a["dim"] % (len(beside.shape) + 1), still)


def _of_one(im: Importer, x: fx.Node) -> Tensor:
    """Return a parameter; for one image, if it is the same for all."""
    numbers = im.tensor(x)
    assert numbers is not None
    alike = numbers.ndim > 0 and len(numbers) > 1 and bool((numbers == numbers[:1]).all())
    return (numbers[:1] if alike else numbers).detach().float()


def _largest(im: Importer, a: dict[str, Any]) -> Value:
    return extremum("maximum")(im, a) if "other" in a else largest(im, a)


def _simulate_largest(_: Run, __: fx.Node, a: dict[str, Any]) -> Any:
    return torch.maximum(a["self"], a["other"]) if "other" in a else torch.max(a["self"], a["dim"], a["keepdim"])


def _least(im: Importer, a: dict[str, Any]) -> Value:
    if "other" in a:
        return extremum("minimum")(im, a)
    if "dim" not in a:
        raise im.refusal("is over all values; allowed: over axes, or of two tensors")
    several = not isinstance(im.node.meta["val"], Tensor)  # torch has their places as a second result
    most = reduced(im, "maximum", scaled(im, im.value(a["self"]), _number(-1)), a, 0 if several else None)
    return scaled(im, most, _number(-1))


def _simulate_least(_: Run, node: fx.Node, a: dict[str, Any]) -> Any:
    if "other" in a:
        return torch.minimum(a["self"], a["other"])
    least = torch.amin(a["self"], a["dim"], a["keepdim"])
    return least if isinstance(node.meta["val"], Tensor) else (least,)


def _variance(im: Importer, a: dict[str, Any]) -> Value:
    x, dims = im.value(a["self"]), dims_of(a, len(im.value(a["self"]).shape) + 1)
    mean = reduced(im, "mean", x, {"dim": dims, "keepdim": True}, kept=True)
    difference = binary(im, "subtract", x, mean)
    squares = reduced(im, "mean", _function(im, difference, "square"), {**a, "dim": dims})
    share = _share(a, [x.shape[dim - 1] for dim in dims])
    if share != 1:
        im.need_fixed_sizes()
    y = scaled(im, squares, _number(share))
    return _function(im, y, "sqrt") if operation(im.node) == "aten::std" else y


def _share(a: dict[str, Any], sizes: list[int]) -> float:
    """Return what the mean of squares is multiplied by."""
    count, correction = int(torch.tensor(sizes).prod()), a.get("correction", 1)
    if "unbiased" in a:
        correction = int(a["unbiased"])
    return count / (count - (1 if correction is None else correction))


def _simulate_variance(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x, dims = a["self"], dims_of(a, a["self"].ndim)
    difference = x - reduction(x, dims, "mean", run.grids.get(node.all_input_nodes[0]))
    squares = reduction(difference * difference, dims, "mean").reshape(node.meta["val"].shape)
    y = squares * _share(a, [x.shape[dim] for dim in dims])
    return root(y) if operation(node) == "aten::std" else y


def _rms_norm(im: Importer, a: dict[str, Any]) -> Value:
    x, weight = im.value(a["input"]), im.tensor(a["weight"])
    axes = list(range(len(x.shape) + 1))[-len(a["normalized_shape"]) :]
    mean = reduced(im, "mean", _function(im, x, "square"), {"dim": axes, "keepdim": True}, kept=True)
    root_of = _function(im, total(im, mean, _number(_eps(a))), "sqrt")
    y = binary(im, "multiply", x, _function(im, root_of, "reciprocal"))
    return y if weight is None else scaled(im, y, weight.detach().float())


def _eps(a: dict[str, Any]) -> float:
    return torch.finfo(torch.float32).eps if a["eps"] is None else float(a["eps"])


def _simulate_rms_norm(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["input"]
    axes = list(range(x.ndim))[-len(a["normalized_shape"]) :]
    y = x * (1 / root(reduction(x * x, axes, "mean") + _eps(a)))
    return y if a["weight"] is None else y * a["weight"]


def _log_sigmoid(im: Importer, a: dict[str, Any]) -> Value:
    x = _function(im, scaled(im, im.value(a["self"]), _number(-1)), "softplus")
    return scaled(im, x, _number(-1))


def _simulate_log_sigmoid(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    return -FUNCTIONS["softplus"].compute(-a["self"])


def _celu(im: Importer, a: dict[str, Any]) -> Value:
    if a["alpha"] != 1:
        raise im.refusal(f"has alpha {a['alpha']}; allowed: 1")
    return _function(im, im.value(a["self"]), "elu")


def _simulate_celu(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    return FUNCTIONS["elu"].compute(a["self"])


def _log_softmax(im: Importer, a: dict[str, Any]) -> Value:
    over = {"dim": a["dim"], "keepdim": True}
    x = im.value(a["self"])
    less = binary(im, "subtract", x, reduced(im, "maximum", x, over, kept=True))
    powers = reduced(im, "sum", _function(im, less, "exp"), over, kept=True)
    return binary(im, "subtract", less, _function(im, powers, "log"))


def _simulate_log_softmax(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["self"]
    less = x - x.amax(a["dim"], keepdim=True)
    powers = reduction(FUNCTIONS["exp"].compute(less), [a["dim"] % x.ndim], "sum")
    return less - FUNCTIONS["log"].compute(powers)


def _log_sum(im: Importer, a: dict[str, Any]) -> Value:
    x = im.value(a["self"])
    most = reduced(im, "maximum", x, {**a, "keepdim": True}, kept=True)
    powers = _function(im, binary(im, "subtract", x, most), "exp")
    logarithm = _function(im, reduced(im, "sum", powers, a), "log")
    return total(im, logarithm, reduced(im, "maximum", x, a))


def _simulate_log_sum(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x, dims = a["self"], dims_of(a, a["self"].ndim)
    most = x.amax(dims, keepdim=True)
    powers = reduction(FUNCTIONS["exp"].compute(x - most), dims, "sum")
    shape = node.meta["val"].shape
    y: Tensor = FUNCTIONS["log"].compute(powers).view(shape) + most.view(shape)
    return y


CONCATENATIONS = ("aten::cat", "aten::concat")
COMPOSED: dict[str, tuple[Handler, Callable[..., Any]]] = {
    "aten::glu": (_gated, _simulate_gated), "aten::amin": (_least, _simulate_least),
    "aten::max": (_largest, _simulate_largest), "aten::min": (_least, _simulate_least),
    "aten::var": (_variance, _simulate_variance), "aten::std": (_variance, _simulate_variance),
    "aten::rms_norm": (_rms_norm, _simulate_rms_norm), "aten::log_softmax": (_log_softmax, _simulate_log_softmax),
    "aten::_log_softmax": (_log_softmax, _simulate_log_softmax), "aten::logsumexp": (_log_sum, _simulate_log_sum),
    "aten::log_sigmoid": (_log_sigmoid, _simulate_log_sigmoid), "aten::celu": (_celu, _simulate_celu),
}  # fmt: skip
IMPORTS: dict[str, Handler] = {
    **dict.fromkeys(CONCATENATIONS, _cat), **{name: handler for name, (handler, _) in COMPOSED.items()},
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {name: simulate for name, (_, simulate) in COMPOSED.items()}
