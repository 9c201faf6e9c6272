"""The operations of a model as torch.export sees them, its quantized layers whole."""

from __future__ import annotations

import math
import os
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn

from tilewise.common.modules import copy_model
from tilewise.engine.axes import image_shape
from tilewise.engine.fxnodes import hint, is_fixed, operation
from tilewise.engine.multiples import without_padding
from tilewise.engine.ports import Axis
from tilewise.engine.standins import KeepWeights, put_standins
from tilewise.engine.unmixing import unmix
from tilewise.nn import Quantize, QuantizedConv, unwrapped

Example: TypeAlias = tuple[Tensor, ...] | dict[str, Tensor]
"""What a model is called with: tensors by position, or by the names of its arguments."""


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
        Parameters, buffers and what the model computes from them alone, by the names of their nodes in the graph.
    inputs, outputs : dict of str to torch.fx.Node
        Images and results by name.
    axes : dict of str to (Axis, Axis)
        Which heights and widths each input may have.
    structure : torch.utils._pytree.TreeSpec, optional
        How the model's results are nested.
    """

    graph: fx.Graph
    layers: dict[str, QuantizedConv | Quantize]
    tensors: dict[str, Tensor]
    inputs: dict[str, fx.Node]
    outputs: dict[str, fx.Node]
    axes: dict[str, tuple[Axis, Axis]] = field(default_factory=dict)
    structure: Any = None

    def is_batch(self, size: Any) -> bool:
        """Whether an axis has as many entries as there are images, whatever their number."""
        batch = next(iter(self.inputs.values())).meta["val"].shape[0]
        return str(size) == str(batch)


def check_example(example: Any) -> Example:
    """Return the example as tensors on the CPU, by position or by name.

    Raises
    ------
    ValueError
        If a shape is not allowed, or the tensors have different numbers of images.
    TypeError
        If something is neither Tensor nor array, or not float32.
    """
    if isinstance(example, Mapping):
        named = {str(name): check_tensor(f"example[{name!r}]", x) for name, x in example.items()}
        tensors: Example = named
        values = list(named.values())
    elif isinstance(example, tuple | list):
        tensors = tuple(check_tensor(f"example[{i}]", x) for i, x in enumerate(example))
        values = list(tensors)
    else:
        tensors = (check_tensor("example", example),)
        values = list(tensors)
    if not values:
        raise ValueError("example is empty; allowed: one tensor for each input")
    if len({len(x) for x in values}) > 1:
        counts = ", ".join(str(len(x)) for x in values)
        raise ValueError(f"example has {counts} images; allowed: as many in all tensors")
    return tensors


def check_tensor(name: str, x: Any) -> Tensor:
    """Return one tensor of an example, on the CPU; ``name`` is what errors call it."""
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {type(x).__name__}; allowed: a torch Tensor or a numpy array")
    if x.dtype != torch.float32:
        raise TypeError(f"{name} is {x.dtype}; allowed: torch.float32")
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}; allowed: (N, C, H, W), (N, C, W) or (N, C), none of them 0"
        )
    return x.detach().cpu()


@torch.no_grad()
def capture(model: nn.Module, example: Example, *, any_size: bool, settled: bool = False) -> Captured:
    """Export a copy of the model in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        Any model of tensors (N, C, H, W); it is not changed.
    example : tuple or dict of Tensor
        Images as the engine shall serve them.
    any_size : bool
        Whether to export it for all heights and widths that it allows, else for those of the example.
    settled : bool
        Whether the model has run: some compute weights of their layers when they are called.

    Raises
    ------
    ValueError
        If the model can not be exported.
    """
    given, model = model, copy_model(unwrapped(model)).cpu().eval()
    if isinstance(model, QuantizedConv | Quantize):
        model = nn.Sequential(model)
    layers = put_standins(model)
    writes = KeepWeights.within(model)
    program = _export(model, example, any_size=any_size)
    if writes.found and not settled:  # what the model writes to its own weights, it has to have written
        model = copy_model(unwrapped(given)).cpu().eval()
        model(**example) if isinstance(example, dict) else model(*example)
        return capture(model, example, any_size=any_size, settled=True)
    graph, signature = program.graph, program.graph_signature
    _read_what_was_assigned(graph)
    graph.eliminate_dead_code()
    named = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    tensors = {
        placeholder: program.state_dict[name] for placeholder, name in named.items() if name in program.state_dict
    }
    constants = {**signature.inputs_to_lifted_tensor_constants, **signature.inputs_to_buffers}
    tensors |= {p: value for p, name in constants.items() if isinstance(value := program.constants.get(name), Tensor)}
    compute_constants(graph, tensors)
    inputs = {node.name: node for node in graph.nodes if node.name in signature.user_inputs}
    unmix(graph, tensors, next(iter(inputs.values())).meta["val"].shape[0])
    (results,) = (node.args[0] for node in graph.nodes if node.op == "output")
    outputs = _named_outputs(program, list(results))
    axes = without_padding(graph, inputs, _axes(inputs))
    return Captured(graph, layers, tensors, inputs, outputs, axes, program.call_spec.out_spec)


def compute_constants(graph: fx.Graph, tensors: dict[str, Tensor]) -> None:
    """Replace what a graph computes from ``tensors`` and numbers alone by placeholders, and add it to them."""
    found: dict[fx.Node, Any] = {node: tensors[node.name] for node in graph.nodes if node.name in tensors}
    for node in list(graph.nodes):
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        of_numbers = not isinstance(node.meta.get("val"), Tensor | tuple | list)
        known = node.op == "call_function" and all(x in found for x in node.all_input_nodes)
        if not known or random or of_numbers or operation(node) == "tilewise::layer":
            continue
        found[node] = node.target(*fx.map_arg(node.args, lambda x: found[x]), **node.kwargs)
        if isinstance(found[node], Tensor):
            with graph.inserting_before(node):
                constant = graph.placeholder(f"{node.name}_constant")
            constant.meta = {"val": node.meta["val"]}
            node.replace_all_uses_with(constant)
            found[constant] = tensors[constant.name] = found[node]
    graph.eliminate_dead_code()


def _export(model: nn.Module, example: Example, *, any_size: bool) -> torch.export.ExportedProgram:
    """Export for all sizes, batch included, or for those of the example."""
    args, kwargs = ((), example) if isinstance(example, dict) else (example, {})
    shapes: Any = None
    if any_size:
        # One image would become part of the program: torch.export takes an extent of 1 for a constant.
        args = tuple(_several(x) for x in args)
        kwargs = {name: _several(x) for name, x in kwargs.items()}
        shapes = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
        for x in (*args, *kwargs.values()):
            shapes[x] = _free_axes(x)
    try:
        with warnings.catch_warnings():  # of torch about itself
            warnings.simplefilter("ignore")
            program = torch.export.export(model, args, kwargs, strict=False, dynamic_shapes=shapes)
            if any(_is_in_place(node) for node in program.graph.nodes):
                program = program.run_decompositions({})
    except Exception as error:  # the model's own code runs, on stand-ins for tensors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        shape = ", ".join(str(tuple(x.shape)) for x in (example.values() if isinstance(example, dict) else example))
        where = _raised_in(error)
        raise ValueError(
            f"torch.export can not export the model for an input of shape {shape}: {reason}{where}"
        ) from error
    return program


def _raised_in(error: Exception) -> str:
    """Return the place of the model's own code that an error went through last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(PurePath(frame.filename))]
    if not frames:
        return ""
    last = frames[-1]
    return f", in {last.name} ({PurePath(last.filename).name}:{last.lineno}: {last.line})"


def _is_own(file: PurePath) -> bool:
    """Whether a file is neither of torch, nor of Python, nor of this package."""
    if "site-packages" not in file.parts and file.is_relative_to(PurePath(os.__file__).parent):
        return False
    return not {"torch", "sympy"} & set(file.parts) and not file.is_relative_to(PurePath(__file__).parents[1])


def _free_axes(x: Tensor) -> dict[int, Any]:
    """Return the axes of images that may have another extent than the example's: not those of extent 1."""
    return dict.fromkeys([0, *(axis for axis in range(2, x.ndim) if x.shape[axis] > 1)], torch.export.Dim.AUTO)


def _several(x: Tensor) -> Tensor:
    return torch.cat([x, x]) if len(x) == 1 else x


def _named_outputs(program: torch.export.ExportedProgram, results: list[Any]) -> dict[str, fx.Node]:
    """Return the results by name."""
    names = list(_names(program.call_spec.out_spec.unflatten(list(range(len(results)))), ""))
    for name, node in zip(names, results, strict=True):
        if not isinstance(node, fx.Node) or not isinstance(node.meta["val"], Tensor):
            raise ValueError(f"the model's result {name!r} is {node!r}; allowed: tensors")  # noqa: TRY004 - the model's
        if names.count(name) > 1:
            raise ValueError(f"two of the model's results would have the name {name!r}; allowed: names of their own")
    return dict(zip(names if len(names) > 1 else ["output"], results, strict=True))


def _names(value: Any, name: str) -> Iterator[str]:
    """Yield the results' names: keys of dicts and positions in tuples and lists, from the outside to the inside."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _names(item, f"{name}_{key}" if name else str(key))
    elif isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from _names(item, f"{name or 'output'}_{i}")
    elif isinstance(value, int):
        yield name or "output"
    else:
        kind = type(value).__name__
        raise ValueError(f"the model gives {kind}; allowed: tensors, tuples, lists, dicts")  # noqa: TRY004 - the model's


def _axes(inputs: Mapping[str, fx.Node]) -> dict[str, tuple[Axis, Axis]]:
    """Return which sizes each input may have: what the model's own code asks of them, the engine must ask too."""
    hints = {str(size): hint(size) for node in inputs.values() for size in node.meta["val"].shape}
    asked: dict[str, Axis] = {}
    for node in inputs.values():
        environment = getattr(node.meta["val"].fake_mode, "shape_env", None)
        for guard in getattr(environment, "guards", ()):
            file = getattr(guard.sloc.framework_loc, "filename", "")
            if "torch" not in PurePath(file).parts:  # what torch asks, the engine's operations ask themselves
                _ask(guard.expr, hints, asked)
    found = {}
    for name, node in inputs.items():
        extents = image_shape(node.meta["val"].shape[1:])[1:]
        height, width = (Axis(hint(size)) if is_fixed(size) else asked.get(str(size), Axis()) for size in extents)
        found[name] = (height, width)
    return found


def _ask(condition: Any, hints: Mapping[str, int], asked: dict[str, Axis]) -> None:
    """Note a condition of the model's code that held for the example: a multiple, or else that very size."""
    match = re.fullmatch(r"Eq\(Mod\((\w+), (\d+)\), 0\)", str(condition))
    for symbol in map(str, condition.free_symbols):
        old = asked.get(symbol, Axis())
        if match and match[1] == symbol and not old.size:
            asked[symbol] = Axis(0, math.lcm(old.multiple, int(match[2])))
        else:
            asked[symbol] = Axis(hints.get(symbol, 0))


def _read_what_was_assigned(graph: fx.Graph) -> None:
    """Let readers of a slice that has just been assigned, as by ``y = x[:, :4]; y += z``, read what was assigned."""
    for node in list(graph.nodes):
        if node.op == "call_function" and operation(node) == "aten::slice":
            whole, *where = node.args
            scattered = isinstance(whole, fx.Node) and operation(whole) == "aten::slice_scatter"
            if scattered and where == list(whole.args[2:]) and not node.kwargs and not whole.kwargs:
                node.replace_all_uses_with(whole.args[1])


def _is_in_place(node: fx.Node) -> bool:
    return node.op == "call_function" and getattr(getattr(node.target, "_schema", None), "is_mutable", False)
