"""ONNX files of which parts are Tilewise programs, for ONNX Runtime: nodes of the operator ``ai.tilewise.Program``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

from torch import nn

from tilewise.common.files import write_whole
from tilewise.engine.capture import check_example
from tilewise.engine.engine import Engine
from tilewise.engine.onnx_export import IR_VERSION, OPSET
from tilewise.engine.onnx_names import capture_named
from tilewise.engine.regions import engines_of

DOMAIN, OPERATOR, VERSION = "ai.tilewise", "Program", 1
"""Of nodes that are whole programs."""


def to_onnx_runtime(
    engine: Engine, path: str | Path, *, inputs: Sequence[str] | None = None, outputs: Sequence[str] | None = None
) -> None:
    """Write a compiled network as an ONNX file of one node, which ONNX Runtime computes with this engine.

    Parameters
    ----------
    engine : Engine
        Of :func:`tilewise.compile` or :func:`tilewise.load`.
    path : path
        Such as ``"net.onnx"``; an existing file is replaced atomically.
    inputs, outputs : sequence of str, optional
        Names of the graph's inputs and outputs; by default those of the engine.

    Raises
    ------
    ImportError
        If onnx is not installed (``pip install 'tilewise[onnx]'``).
    ValueError
        If there are more or fewer names than inputs or outputs.
    """
    onnx = _onnx("to_onnx_runtime")
    given, results = list(inputs or [x.name for x in engine.inputs]), list(outputs or [y.name for y in engine.outputs])
    for kind, names, count in (("inputs", given, len(engine.inputs)), ("outputs", results, len(engine.outputs))):
        if len(names) != count:
            raise ValueError(f"{kind} has {len(names)} names; allowed: {count}")
    float32, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    sizes = [[size or f"{name}_{axis}" for size, axis in zip(x.size, "hw", strict=True)]
             for name, x in zip(given, engine.inputs, strict=True)]  # fmt: skip
    graph = onnx.helper.make_graph(
        [_program_node(onnx, "tilewise", engine, given, results)], "tilewise",
        [value(name, float32, ["n", x.channels, *size])
         for name, x, size in zip(given, engine.inputs, sizes, strict=True)],
        [value(name, float32, ["n", *(_extents(y))]) for name, y in zip(results, engine.outputs, strict=True)],
    )  # fmt: skip
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(DOMAIN, VERSION)],
        ir_version=IR_VERSION, producer_name="tilewise",
    )  # fmt: skip
    onnx.checker.check_model(model)
    write_whole(Path(path), model.SerializeToString())


def accelerate_onnx(
    model: nn.Module,
    example: Any,
    source: str | Path,
    path: str | Path,
    *,
    precision: Literal["float32", "bf16"] = "float32",
) -> None:
    """Write an ONNX file with Tilewise programs in the place of what the engine serves, for ONNX Runtime.

    Everything else stays as it is in ``source``: its other operations, its inputs and outputs. The parts are those that
    :func:`tilewise.accelerate` finds, the largest that the engine serves and that hold a convolution.

    Parameters
    ----------
    model : torch.nn.Module
        What :func:`tilewise.from_onnx` made of ``source``; converted and calibrated layers run as the integers that
        they are.
    example : Tensor or array of shape (N, C, H, W), float32; or a tuple or dict of them
        As for :func:`tilewise.compile`.
    source : path
        The ONNX file.
    path : path
        Such as ``"fast.onnx"``; an existing file is replaced atomically.
    precision : {"float32", "bf16"}
        Of float layers, as for :func:`tilewise.compile`.

    Raises
    ------
    ImportError
        If onnx is not installed (``pip install 'tilewise[onnx]'``).
    ValueError
        If the model is not of ``source``, or the engine serves no part of it.
    """
    onnx = _onnx("accelerate_onnx")
    captured, names = capture_named(model, check_example(example))
    network = onnx.inliner.inline_local_functions(onnx.load(source))
    graph = network.graph
    known = {name for node in graph.node for name in node.output} | {value.name for value in graph.input}
    if foreign := sorted(set(names.values()) - known):
        raise ValueError(f"the model has a tensor {foreign[0]!r}, {source} has not; allowed: the file that it is of")
    nodes, found = list(graph.node), False
    results = [value.name for value in graph.output]
    for number, (region, engine) in enumerate(engines_of(captured, 1, precision, names.__contains__)):
        given, made = ([names[x] for x in tensors] for tensors in (region.inputs, region.outputs))
        program = _program_node(onnx, f"tilewise_{number}", engine, given, made)
        try:
            nodes, found = _ordered([*(_without(node, made) for node in nodes), program], results), True
        except CycleError:  # the file computes a size of the part's inputs from its results, where torch knows a number
            continue
    if not found:
        raise ValueError("the engine serves no part of the model that has a convolution")
    _put_nodes(graph, nodes, results)
    network.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    write_whole(Path(path), network.SerializeToString())


def _onnx(asked: str) -> Any:
    try:
        import onnx
        import onnx.inliner
    except ImportError as error:
        raise ImportError(f"{asked} needs onnx: pip install 'tilewise[onnx]'") from error
    return onnx


def _program_node(onnx: Any, name: str, engine: Engine, inputs: list[str], outputs: list[str]) -> Any:
    return onnx.helper.make_node(OPERATOR, inputs, outputs, name=name, domain=DOMAIN, program=engine.content())


def _extents(output: Any) -> list[int | None]:
    """Return the axes of a result after N; None for one that varies."""
    if not output.flat:
        return [output.channels, None, None]
    return [None if rows or columns else multiple // divisor for multiple, divisor, rows, columns in output.axes]


def _without(node: Any, names: Sequence[str]) -> Any:
    """Return a node that no longer gives tensors of these names."""
    if not set(names) & set(node.output):
        return node
    left = type(node)()
    left.CopyFrom(node)
    left.output[:] = ["" if name in names else name for name in node.output]
    return left


def _reads(node: Any) -> Iterator[str]:
    """Yield what a node reads, in its branches too."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for branch in (attribute.g, *attribute.graphs):
            for inner in branch.node:
                yield from _reads(inner)
            yield from (value.name for value in branch.output)


def _ordered(nodes: Sequence[Any], results: Sequence[str]) -> list[Any]:
    """Return the nodes that results need, each behind those that it reads.

    Raises
    ------
    CycleError
        If they wait for each other.
    """
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    behind: dict[int, set[int]] = {}
    waiting = [makers[name] for name in results if name in makers]
    while waiting:
        place = waiting.pop()
        if place not in behind:
            behind[place] = {makers[name] for name in _reads(nodes[place]) if name in makers}
            waiting.extend(behind[place])
    order = TopologicalSorter({place: behind[place] for place in sorted(behind)}).static_order()
    return [nodes[place] for place in order]


def _put_nodes(graph: Any, nodes: list[Any], results: list[str]) -> None:
    """Give a graph these nodes, and take out the weights and the notes on tensors that they do not have."""
    read = {name for node in nodes for name in _reads(node)} | set(results)
    weights = {tensor.name for tensor in graph.initializer}
    made = {name for node in nodes for name in node.output}
    _replace(graph.node, nodes)
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in read])
    _replace(graph.input, [value for value in graph.input if value.name in read or value.name not in weights])
    _replace(graph.value_info, [value for value in graph.value_info if value.name in made])


def _replace(field: Any, entries: list[Any]) -> None:
    del field[:]
    field.extend(entries)
