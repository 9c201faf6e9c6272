"""Which tensors of an ONNX file the tensors of a captured model are."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, fx, nn

from tilewise.common.modules import copy_model
from tilewise.doors.building import TENSOR
from tilewise.engine.capture import Captured, Example, capture
from tilewise.engine.fxnodes import operation
from tilewise.nn import unwrapped


@torch.library.custom_op("tilewise::named", mutates_args=(), schema="(Tensor x, str name) -> Tensor")
def _named(x: Tensor, name: str) -> Tensor:  # noqa: ARG001 - the operator's signature
    """Stand behind a tensor of the file while torch.export looks at the model."""
    return x.clone()


@_named.register_fake
def _(x: Tensor, name: str) -> Tensor:  # noqa: ARG001 - the operator's signature
    return torch.empty_like(x)


def capture_named(model: nn.Module, example: Example) -> tuple[Captured, dict[fx.Node, str]]:
    """Export a model of :func:`tilewise.from_onnx`; return the names that the file has for tensors of it.

    Raises
    ------
    ValueError
        If the model can not be exported, or does not know the file's names any more.
    """
    marked = _with_marks(model)
    try:
        captured = capture(marked, example, any_size=True)
    except ValueError:
        captured = capture(marked, example, any_size=False)
    marks = [node for node in captured.graph.nodes if operation(node) == "tilewise::named"]
    behind: dict[fx.Node, fx.Node] = {}
    names: dict[fx.Node, str] = {}
    for mark in marks:
        x, name = mark.args
        assert isinstance(x, fx.Node)
        behind[mark] = x
        names.setdefault(x, str(name))
        mark.replace_all_uses_with(x)
        captured.graph.erase_node(mark)
    outputs = {name: behind.get(node, node) for name, node in captured.outputs.items()}
    return dataclasses.replace(captured, outputs=outputs), names


def _with_marks(model: nn.Module) -> fx.GraphModule:
    """Return a copy of a model that says of each of its float tensors what the file calls it."""
    marked = copy_model(unwrapped(model))
    nodes = list(marked.graph.nodes) if isinstance(marked, fx.GraphModule) else []
    named = [node for node in nodes if TENSOR in node.meta and node.op != "get_attr"]
    floats = [node for node in named if getattr(node.meta.get("val"), "dtype", None) == torch.float32]
    if not isinstance(marked, fx.GraphModule) or not floats:
        raise ValueError("the model does not know an ONNX file's tensors; allowed: what tilewise.from_onnx gives")
    graph = marked.graph
    first = next(node for node in graph.nodes if node.op != "placeholder")
    for node in floats:
        with graph.inserting_before(first if node.op == "placeholder" else node.next):
            mark = graph.call_function(torch.ops.tilewise.named.default, (node, node.meta[TENSOR]))
        node.replace_all_uses_with(mark, delete_user_cb=lambda user, mark=mark: user is not mark)
    marked.recompile()
    return marked
