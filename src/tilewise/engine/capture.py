"""The operations of a model as torch.export sees them, its quantized layers whole."""

from __future__ import annotations

import copy
import re
import warnings
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import torch
from torch import Tensor, fx, nn

from tilewise.nn import Quantize, QuantizedConv


@torch.library.custom_op("tilewise::layer", mutates_args=(), schema="(Tensor x, str name, int[] shape) -> Tensor")
def _layer(x: Tensor, name: str, shape: list[int]) -> Tensor:
    """Stand for the layer ``name`` in an exported graph."""
    raise NotImplementedError(f"{name} is computed by the engine, or by its simulation")


@_layer.register_fake
def _(x: Tensor, name: str, shape: list[int]) -> Tensor:  # noqa: ARG001 - the operator's signature
    return x.new_empty(shape)


class _Standin(nn.Module):
    """Calls ``tilewise::layer`` in place of a layer."""

    def __init__(self, name: str, layer: QuantizedConv | Quantize) -> None:
        super().__init__()
        self.name = name
        self.sizes = None if isinstance(layer, Quantize) else _sizes(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Give the shape."""
        shape = list(x.shape)
        if self.sizes is not None:
            channels, axes = self.sizes
            out = [(size + pad - span) // stride + 1 for size, (pad, span, stride) in zip(shape[2:], axes, strict=True)]
            shape = [shape[0], channels, *out]
        result: Tensor = torch.ops.tilewise.layer(x, self.name, shape)
        return result


def _sizes(conv: nn.Conv2d) -> tuple[int, list[tuple[int, int, int]]]:
    """Output channels; padding, extent of the window and stride of both axes."""
    spans = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    if isinstance(conv.padding, str):
        pads = [span - 1 if conv.padding == "same" else 0 for span in spans]
    else:
        pads = [2 * p for p in conv.padding]
    return conv.out_channels, list(zip(pads, spans, conv.stride, strict=True))


@dataclass(frozen=True)
class Captured:
    """An exported model.

    Parameters
    ----------
    graph : torch.fx.Graph
        Of ATen operations without in-place ones, and ``tilewise::layer``.
    layers : dict of str to module
        The quantized layers by name, copies in evaluation mode.
    tensors : dict of str to Tensor
        Parameters and buffers by the name of their placeholder in the graph.
    input, output : torch.fx.Node
        Images and result.
    shape : tuple of int
        Of the example.
    """

    graph: fx.Graph
    layers: dict[str, QuantizedConv | Quantize]
    tensors: dict[str, Tensor]
    input: fx.Node
    output: fx.Node
    shape: tuple[int, int, int, int]


@torch.no_grad()
def capture(model: nn.Module, example: Tensor) -> Captured:
    """Export a copy of the model in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        Any model of one input and one output; it is not changed.
    example : Tensor of shape (N, C, H, W)
        Images of the size that the engine shall serve.

    Raises
    ------
    ValueError
        If the model can not be exported, or has other inputs or outputs.
    """
    model = copy.deepcopy(model).cpu().eval()
    bare = isinstance(model, QuantizedConv | Quantize)
    if bare:
        model = nn.Sequential(model)
    layers = _put_standins(model)
    try:
        with warnings.catch_warnings():  # of torch about itself
            warnings.simplefilter("ignore")
            program = torch.export.export(model, (example,), strict=False)
            if any(_is_in_place(node) for node in program.graph.nodes):
                program = program.run_decompositions({})
    except Exception as error:  # the model's own code runs, on stand-ins for tensors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"torch.export can not export the model for an input of shape {tuple(example.shape)}: {reason}"
        ) from error
    graph, signature = program.graph, program.graph_signature
    graph.eliminate_dead_code()
    (results,) = (node.args[0] for node in graph.nodes if node.op == "output")
    if len(signature.user_inputs) != 1 or len(results) != 1 or not isinstance(results[0], fx.Node):
        raise ValueError("the model must take one tensor and give one tensor")
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    tensors = {
        placeholder: program.state_dict[name] for placeholder, name in named.items() if name in program.state_dict
    }
    constants = {**signature.inputs_to_lifted_tensor_constants, **signature.inputs_to_buffers}
    tensors |= {p: value for p, name in constants.items() if isinstance(value := program.constants.get(name), Tensor)}
    (entry,) = (node for node in graph.nodes if node.name == signature.user_inputs[0])
    n, c, h, w = example.shape
    return Captured(graph, layers, tensors, entry, results[0], (n, c, h, w))


def _put_standins(model: nn.Module) -> dict[str, QuantizedConv | Quantize]:
    """Replace the quantized layers, in place; give them by name."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv | Quantize)}
    standins: dict[nn.Module, nn.Module] = {layer: _Standin(name, layer) for name, layer in layers.items()}
    for parent in list(model.modules()):  # by parent, so that a layer used twice stays one layer
        for child_name, child in parent._modules.items():  # noqa: SLF001 - named_children() skips a second name
            if child in standins:
                setattr(parent, child_name, standins[child])
    return layers


def _is_in_place(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(getattr(node.target, "_schema", None), "is_mutable", False)


def operation(node: fx.Node) -> str:
    """Name of what a node calls, such as ``aten::conv2d``."""
    schema = getattr(node.target, "_schema", None)
    return str(getattr(node.target, "__name__", node.target)) if schema is None else str(schema.name)


def arguments(node: fx.Node) -> dict[str, Any]:
    """Arguments of a node by name, defaults filled in."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return dict(enumerate(node.args))  # type: ignore[arg-type]
    values = {a.name: a.default_value for a in schema.arguments}
    return values | {a.name: value for a, value in zip(schema.arguments, node.args, strict=False)} | dict(node.kwargs)


def module_of(node: fx.Node) -> str:
    """Dotted name of the module that a node belongs to; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {"": ("", None)}
    return str(list(stack.values())[-1][0])


def place(node: fx.Node) -> str:
    """Where in the model's code a node comes from, for errors."""
    module = module_of(node)
    where = f"in module {module!r}" if module else "in the model's forward"
    lines = re.findall(r'File "(.*)", line (\d+), in .*\n\s*(.*)', node.meta.get("stack_trace") or "")
    own = [line for line in lines if "torch" not in PurePath(line[0]).parts]
    if own:
        file, number, code = own[-1]
        where += f" ({PurePath(file).name}:{number}: {code.strip()})"
    return where
