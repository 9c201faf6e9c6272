"""Programs that PT2E has quantized: what stands around their layers as operations becomes grids and steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

from tilewise.doors.grids import grid_of
from tilewise.nn import Quantize
from tilewise.quant import QuantGrid

DOMAIN = "quantized_decomposed::"
ROUND, BACK, BACK_BY_CHANNEL = "quantize_per_tensor", "dequantize_per_tensor", "dequantize_per_channel"


class Given(NamedTuple):
    """What a program says of its tensors.

    Parameters
    ----------
    grids : dict
        On which grid the numbers of a tensor lie.
    steps : dict
        Steps of the weights that are integers, along their first axis or one for all.
    """

    grids: dict[fx.Node, QuantGrid]
    steps: dict[fx.Node, Any]


def register() -> None:
    """Let torch know the operations of quantized programs."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401 - what the import is for


def take_grids(model: fx.GraphModule) -> Given:
    """Let modules round tensors, and parameters hold what integer weights stand for, in place; return what they are.

    Raises
    ------
    ValueError
        If a scale is no positive number, or a zero point none of the integers.
    """
    given = Given({}, {})
    for node in list(model.graph.nodes):
        if _kind(node) == ROUND:
            _round(model, node, given)
    for node in list(model.graph.nodes):
        if _kind(node) in (BACK, BACK_BY_CHANNEL) and node.args[0].op == "get_attr":
            _weights(model, node, given)
    return given


def _kind(node: fx.Node) -> str:
    name = str(getattr(node.target, "name", lambda: "")()) if node.op == "call_function" else ""
    return name.removeprefix(DOMAIN).partition(".")[0] if name.startswith(DOMAIN) else ""


def _round(model: fx.GraphModule, node: fx.Node, given: Given) -> None:
    """Let one module do what an operation and those that go back from its integers do."""
    x, *numbers = node.args[:5]
    if any(isinstance(value, fx.Node) for value in numbers):
        return  # a scale that is computed
    scale, zero, low, high = (float(numbers[0]), *map(int, numbers[1:]))  # type: ignore[arg-type]
    try:
        grid = grid_of(scale, zero, low, high)
    except ValueError as error:
        raise ValueError(f"{node.name} {error}") from error
    same = [user for user in node.users if _kind(user) == BACK and list(user.args[1:5]) == numbers]
    if grid is None or len(same) < len(node.users):
        return
    name = f"{node.name}_grid"
    model.add_submodule(name, Quantize.on(grid))
    with model.graph.inserting_before(node):
        rounded = model.graph.call_module(name, (x,))
    rounded.meta = dict(same[0].meta) if same else {}
    for user in same:
        user.replace_all_uses_with(rounded)
        model.graph.erase_node(user)
    model.graph.erase_node(node)
    given.grids[rounded] = grid


def _weights(model: fx.GraphModule, node: fx.Node, given: Given) -> None:
    """Let a parameter hold the numbers that constant integers stand for."""
    integers = _tensor(model, node.args[0])
    scale, zero = (_tensor(model, value) for value in node.args[1:3])
    if integers is None or scale is None:
        return
    axis = int(node.args[3]) if _kind(node) == BACK_BY_CHANNEL else 0  # type: ignore[arg-type]
    shape = [-1 if i == axis else 1 for i in range(integers.ndim)] if scale.numel() > 1 else []
    offset = torch.zeros(()) if zero is None else zero.float()
    whole = integers.float() - (offset.reshape(shape) if offset.numel() > 1 else offset)
    name = f"{node.name}_weight"
    step = scale.float().reshape(shape)
    setattr(model, name, nn.Parameter(whole * step))
    with model.graph.inserting_before(node):
        real = model.graph.get_attr(name)
    real.meta = dict(node.meta)
    node.replace_all_uses_with(real)
    model.graph.erase_node(node)
    if axis == 0 or scale.numel() == 1:
        given.steps[real] = np.asarray(scale.detach().float().reshape(-1))


def _tensor(model: fx.GraphModule, value: Any) -> Tensor | None:
    """Return a number, or a tensor of the model's own; None of what it computes."""
    return torch.tensor(value) if isinstance(value, int | float) else own_tensor(model, value)


def own_tensor(model: fx.GraphModule, value: Any) -> Tensor | None:
    """Return the tensor that a node of the graph stands for, if it is one of the model's own."""
    if not isinstance(value, fx.Node) or value.op != "get_attr":
        return None
    found: Any = model
    for part in str(value.target).split("."):
        found = getattr(found, part)
    return found if isinstance(found, Tensor) else None
