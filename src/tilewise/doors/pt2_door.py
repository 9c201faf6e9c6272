"""Programs of torch.export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest import mock
from zipfile import is_zipfile

import torch
from torch import fx, nn

from tilewise.doors.decomposed import Given, own_tensor, register, take_grids
from tilewise.doors.grids import quantized_layer

CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)
SAFE = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
"""What keeps torch from running code that a file names."""


def from_pt2(path: str | Path) -> fx.GraphModule:
    """Read a ``.pt2`` file of ``torch.export.save`` as a torch module, to be converted and compiled like any other.

    Convolutions, linear layers and batch norms are modules again, under the names that they had; all else is the
    program's own operations. It serves the sizes that it was exported for. No code that a file names is run. Programs
    that PT2E has quantized keep their integers, in layers with 8-bit inputs and weights.

    Parameters
    ----------
    path : path
        A file that ``torch.export.save`` wrote.

    Returns
    -------
    torch.fx.GraphModule
        In evaluation mode.

    Raises
    ------
    ValueError
        If it is damaged, or another kind of file.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> model = tilewise.from_pt2("classifier.pt2")
    >>> model = tilewise.convert(model, {"*": tilewise.Direct(bits=8)})
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no exported program at {path}")
    if not is_zipfile(path):
        raise ValueError(f"{path} is no program of torch.export, or a damaged one")
    register()
    try:
        with mock.patch.dict(os.environ, SAFE):
            program = torch.export.load(path)
        exported = program.module(check_guards=False)
    except Exception as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ValueError(f"{path} is no program of torch.export, or a damaged one: {reason}") from error
    assert isinstance(exported, fx.GraphModule)
    model = fx.GraphModule(exported, exported.graph, "ExportedModel")
    _take_tensors(model.graph, program.call_spec.out_spec)
    try:
        given = take_grids(model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for node in list(model.graph.nodes):
        if node.op == "call_function":
            _to_module(model, node, given)
    for node in list(model.graph.nodes):
        if node.op == "get_attr" and not node.users:
            model.graph.erase_node(node)
    model.graph.lint()
    model.recompile()
    return model.eval()


def _take_tensors(graph: fx.Graph, results: Any) -> None:
    """Let a program's graph take tensors one by one, and give what the exported model gave."""
    graph.set_codegen(fx.graph.CodeGen())
    output = graph.output_node()
    output.args = (results.unflatten(list(output.args[0])),)  # type: ignore[arg-type]


def _to_module(model: fx.GraphModule, node: fx.Node, given: Given) -> None:
    """Let a module compute what an operation with weights of its own does, in place."""
    if node.target in CONVOLUTIONS:
        layer = _conv(model, node)
    elif node.target == torch.ops.aten.linear.default:
        layer = _linear(model, node)
    elif node.target == torch.ops.aten.batch_norm.default:
        layer = _batch_norm(model, node)
    else:
        layer = None
    if layer is None:
        return
    x, weight = node.args[:2]
    assert isinstance(x, fx.Node)
    assert isinstance(weight, fx.Node)
    layer = quantized_layer(layer, given.grids.get(x), given.steps.get(weight))
    name = _name(model, str(weight.target).rpartition(".")[0] or node.name)
    model.add_submodule(name, layer)
    with model.graph.inserting_before(node):
        called = model.graph.call_module(name, (x,))
    called.meta = dict(node.meta)
    node.replace_all_uses_with(called)
    model.graph.erase_node(node)


def _conv(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    a: dict[int, Any] = dict(enumerate(node.args))
    weight, bias = _parameter(model, a.get(1)), _parameter(model, a.get(2))
    if weight is None or (a.get(2) is not None and bias is None):
        return None
    out, channels, *window = weight.shape
    groups = a.get(6, 1)
    layer = nn.Conv2d(
        channels * groups, out, _pair(window), _pair(a.get(3, 1)), _pair(a.get(4, 0)), _pair(a.get(5, 1)), groups,
        bias is not None, device="meta",
    )  # fmt: skip
    layer.weight, layer.bias = weight, bias
    return layer


def _linear(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    weight = _parameter(model, node.args[1])
    bias = _parameter(model, node.args[2]) if len(node.args) > 2 else None
    if weight is None or (len(node.args) > 2 and node.args[2] is not None and bias is None):
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = weight
    layer.bias = bias  # type: ignore[assignment]
    return layer


def _batch_norm(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    x, weight, bias, mean, variance, training, momentum, eps = node.args[:8]
    found = [_parameter(model, value) for value in (weight, bias)]
    statistics = [own_tensor(model, value) for value in (mean, variance)]
    assert isinstance(x, fx.Node)
    if None in (*found, *statistics) or training or x.meta["val"].ndim != 4:
        return None
    layer = nn.BatchNorm2d(len(found[0]), eps, momentum)  # type: ignore[arg-type]
    layer.weight, layer.bias = found  # type: ignore[assignment]
    layer.running_mean, layer.running_var = statistics
    return layer


def _parameter(model: fx.GraphModule, value: Any) -> nn.Parameter | None:
    found = own_tensor(model, value)
    return found if isinstance(found, nn.Parameter) else None


def _pair(value: Any) -> Any:
    return value if isinstance(value, str | int) else tuple(value) if len(value) > 1 else (value[0], value[0])


def _name(model: fx.GraphModule, wanted: str) -> str:
    """Return a name under which there is no layer yet."""
    modules = dict(model.named_modules())
    found, count = wanted, 1
    while isinstance(modules.get(found), nn.Conv2d | nn.Linear | nn.BatchNorm2d):
        found, count = f"{wanted}_{count}", count + 1
    return found
