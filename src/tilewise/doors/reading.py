"""Reading an ONNX file that a stranger wrote: checked before anything of it is used."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

OLDEST, NEWEST = 7, 28
"""Operator sets that are read."""
MAX_BYTES = 2**34
"""Of the file, and of one with external data."""
MAX_VALUES = 2**29
"""Numbers of one tensor: of weights, or computed from them."""
MAX_NODES = 200_000
OWN_DOMAINS = ("", "ai.onnx")

Array = NDArray[Any]


@dataclass(frozen=True)
class OnnxNode:
    """One operation.

    Parameters
    ----------
    kind : str
        Its operator, with the domain in front where that is not ONNX's own.
    name : str
        Its name, or one made from what it gives.
    inputs, outputs : list of str
        Names of tensors; an empty one stands for a tensor that is left out.
    attributes : dict
        Numbers, strings, lists of them, arrays and graphs by name.
    opset : int
        Version of the operator set.
    proto : onnx.NodeProto
        As the file has it.
    """

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    opset: int
    proto: Any = field(repr=False)

    def reads(self) -> Iterator[str]:
        """Yield the names of all that it reads, in its branches too."""
        yield from self.inputs
        for value in self.attributes.values():
            if isinstance(value, OnnxGraph):
                for node in value.nodes:
                    yield from node.reads()
                yield from value.outputs

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or what it is by default."""
        return self.attributes.get(name, default)


@dataclass(frozen=True)
class OnnxGraph:
    """A network as a file has it.

    Parameters
    ----------
    nodes : list of OnnxNode
        In the order in which they run.
    constants : dict of str to array
        Weights by name.
    inputs : dict of str to list of int or None
        Shapes by name; None for an extent that is open.
    outputs : list of str
        Names of results.
    """

    nodes: list[OnnxNode]
    constants: dict[str, Array]
    inputs: dict[str, list[int | None]]
    outputs: list[str]


def read_onnx(path: Path, inputs: Collection[str] = (), outputs: Collection[str] = ()) -> OnnxGraph:
    """Read a file, or the part of it between tensors, and check what can be checked without running it.

    Raises
    ------
    ValueError
        If the file is damaged, of an operator set that is not read, or claims what no network has.
    FileNotFoundError
        If there is no such file.
    ImportError
        If the ``onnx`` package is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.inliner
    except ImportError as error:
        raise ImportError("reading ONNX files needs the onnx package: pip install 'tilewise[onnx]'") from error
    if not path.is_file():
        raise FileNotFoundError(f"there is no ONNX file at {path}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes; allowed: {MAX_BYTES}")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ValueError(f"{path} is no ONNX file, or a damaged one: {_first_line(error)}") from error
    if not model.graph.node:
        raise ValueError(f"{path} is no ONNX file, or a damaged one: it has no operations")
    opset = _opset(path, model)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise ValueError(f"{path} has {len(graph.node)} operations; allowed: {MAX_NODES}")
    if graph.sparse_initializer:
        raise ValueError(f"{path} has sparse weights; allowed: dense ones")
    constants = {tensor.name: array_of(tensor, path.parent) for tensor in graph.initializer}
    shapes = {value.name: _shape(path, value) for value in graph.input if value.name not in constants}
    if not shapes:
        raise ValueError(f"{path} has no input")
    nodes = [_node(node, i, opset, path.parent) for i, node in enumerate(graph.node)]
    results = [value.name for value in graph.output]
    _check_order(path, nodes, {*constants, *shapes}, results)
    whole = OnnxGraph(nodes, constants, shapes, results)
    return _part(path, whole, model, inputs, outputs) if inputs or outputs else whole


def _part(
    path: Path, whole: OnnxGraph, model: onnx.ModelProto, inputs: Collection[str], outputs: Collection[str]
) -> OnnxGraph:
    """Return what lies between tensors; by default the file's own inputs and outputs."""
    shapes = _shapes_within(path, model, inputs) if inputs else whole.inputs
    results = list(outputs) or whole.outputs
    nodes = _between(path, whole.nodes, {*whole.constants, *shapes}, results)
    read = {name for node in nodes for name in node.reads()}
    if needed := sorted(read & whole.inputs.keys() - shapes.keys()):
        raise ValueError(f"{path}: the part reads the input {needed[0]!r} too; name it among the inputs")
    return OnnxGraph(nodes, whole.constants, shapes, results)


def _shapes_within(path: Path, model: onnx.ModelProto, names: Collection[str]) -> dict[str, list[int | None]]:
    """Return the shapes of tensors, which the file says, or which follow from what it says."""
    import onnx.shape_inference

    graph = onnx.shape_inference.infer_shapes(model).graph
    values = {value.name: value for value in (*graph.input, *graph.value_info, *graph.output)}
    if unknown := [name for name in names if name not in values]:
        raise ValueError(f"{path} has no tensor {unknown[0]!r} of a known shape; allowed: {_some(values)}")
    return {name: _shape(path, values[name]) for name in names}


def _between(path: Path, nodes: list[OnnxNode], known: Collection[str], results: list[str]) -> list[OnnxNode]:
    """Return the operations that results need, going back no further than what is known."""
    makers = {name: place for place, node in enumerate(nodes) for name in node.outputs if name}
    if unknown := [name for name in results if name not in makers]:
        raise ValueError(f"{path} has no tensor {unknown[0]!r} that an operation gives; allowed: {_some(makers)}")
    needed: set[int] = set()
    waiting = list(results)
    while waiting:
        name = waiting.pop()
        if name not in known and (place := makers.get(name)) is not None and place not in needed:
            needed.add(place)
            waiting.extend(nodes[place].reads())
    return [nodes[place] for place in sorted(needed)]


def _some(names: Mapping[str, Any]) -> str:
    """Return some names, for errors."""
    shown = list(names)[:20]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def array_of(tensor: onnx.TensorProto, folder: Path) -> Array:
    """Return a tensor of the file, or of a file with external data in its folder, after a look at its size."""
    import onnx
    from onnx import external_data_helper, numpy_helper

    name, dims = tensor.name, [int(extent) for extent in tensor.dims]
    count = math.prod(dims)
    if any(extent < 0 for extent in dims) or count > MAX_VALUES:
        raise ValueError(f"tensor {name!r} has the shape {tuple(dims)}; allowed: {MAX_VALUES} numbers at most")
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except KeyError as error:
        raise ValueError(f"tensor {name!r} is of the unknown type {tensor.data_type}") from error
    if external_data_helper.uses_external_data(tensor):
        return _external(tensor, folder, count, np.dtype(dtype)).reshape(dims)
    try:
        found: Array = numpy_helper.to_array(tensor)
    except Exception as error:
        raise ValueError(f"tensor {name!r} is damaged: {_first_line(error)}") from error
    return found


def _external(tensor: onnx.TensorProto, folder: Path, count: int, dtype: np.dtype[Any]) -> Array:
    """Read a tensor from a file beside the ONNX file; never from elsewhere."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    target, home = (folder / location).resolve(), folder.resolve()
    if not location or Path(location).is_absolute() or not target.is_relative_to(home):
        raise ValueError(f"tensor {tensor.name!r} has its data in {location!r}; allowed: a file in the folder {home}")
    if not target.is_file():
        raise ValueError(f"tensor {tensor.name!r} has its data in {location!r}, but there is no such file in {home}")
    try:
        offset, length = int(entries.get("offset", 0)), count * dtype.itemsize
    except ValueError as error:
        raise ValueError(
            f"tensor {tensor.name!r} has its data at {entries.get('offset')!r}; allowed: a number"
        ) from error
    size = target.stat().st_size
    if offset < 0 or offset + length > size:
        end = offset + length
        raise ValueError(
            f"tensor {tensor.name!r} has its data at bytes {offset} to {end} of {location!r}, which has {size}"
        )
    with target.open("rb") as file:
        file.seek(offset)
        return np.frombuffer(file.read(length), dtype).copy()


def _opset(path: Path, model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in OWN_DOMAINS]
    opset = versions[0] if versions else 0
    if not OLDEST <= opset <= NEWEST:
        raise ValueError(f"{path} is of operator set {opset}; allowed: {OLDEST} to {NEWEST}")
    return opset


def _shape(path: Path, value: onnx.ValueInfoProto) -> list[int | None]:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
        raise ValueError(f"{path}: input {value.name!r} has no shape; allowed: a tensor of known number of axes")
    shape = [int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    if len(shape) > 8 or math.prod(d or 1 for d in shape) > MAX_VALUES:
        raise ValueError(f"{path}: input {value.name!r} has the shape {shape}; allowed: {MAX_VALUES} numbers at most")
    return shape


def _node(node: onnx.NodeProto, place: int, opset: int, folder: Path) -> OnnxNode:
    kind = node.op_type if node.domain in OWN_DOMAINS else f"{node.domain}.{node.op_type}"
    name = node.name or next(filter(None, node.output), "") or f"{node.op_type}_{place}"
    attributes = {attribute.name: _attribute(attribute, name, opset, folder) for attribute in node.attribute}
    return OnnxNode(kind, name, list(node.input), list(node.output), attributes, opset, node)


def _attribute(attribute: onnx.AttributeProto, name: str, opset: int, folder: Path) -> Any:
    import onnx

    if attribute.type == onnx.AttributeProto.TENSOR:
        return array_of(attribute.t, folder)
    if attribute.type == onnx.AttributeProto.GRAPH:
        return _branch(attribute.g, opset, folder)
    kinds = onnx.AttributeProto
    if attribute.type not in (kinds.FLOAT, kinds.INT, kinds.STRING, kinds.FLOATS, kinds.INTS, kinds.STRINGS):
        return None  # of an operator that is not read: its name is what the error says
    try:
        value = onnx.helper.get_attribute_value(attribute)
    except Exception as error:
        raise ValueError(f"attribute {attribute.name!r} of {name!r} is damaged: {_first_line(error)}") from error
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if attribute.type in (kinds.FLOAT, kinds.INT) else list(value)


def _branch(graph: onnx.GraphProto, opset: int, folder: Path) -> OnnxGraph:
    """Return operations that may run, or not; they read what is outside by its name."""
    constants = {tensor.name: array_of(tensor, folder) for tensor in graph.initializer}
    nodes = [_node(node, i, opset, folder) for i, node in enumerate(graph.node)]
    return OnnxGraph(nodes, constants, {}, [value.name for value in graph.output])


def _check_order(path: Path, nodes: list[OnnxNode], known: set[str], results: list[str]) -> None:
    """Refuse operations that read what is not there yet, or give what is there already."""
    made = set(known)
    for node in nodes:
        if missing := [name for name in node.inputs if name and name not in made]:
            raise ValueError(f"{path} is damaged: {node.name!r} reads {missing[0]!r}, which nothing before it gives")
        if twice := [name for name in node.outputs if name and name in made]:
            raise ValueError(f"{path} is damaged: {twice[0]!r} is given twice")
        made |= set(node.outputs)
    if missing := [name for name in results if name not in made]:
        raise ValueError(f"{path} is damaged: nothing gives the result {missing[0]!r}")
    if not results:
        raise ValueError(f"{path} is damaged: it has no result")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
