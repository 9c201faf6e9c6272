"""The parts of an exported model that the engine serves, the largest, each with an engine of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

from tilewise.engine.capture import Captured
from tilewise.engine.engine import Engine
from tilewise.engine.fxnodes import hint, is_fixed, operation
from tilewise.engine.graph import Graph
from tilewise.engine.importer import Importer, UnsupportedError
from tilewise.engine.lower import lower
from tilewise.engine.operations import IMPORTS
from tilewise.engine.operations.convolution import Conv
from tilewise.engine.operations.images import Images
from tilewise.engine.passes import optimize
from tilewise.engine.ports import Axis


@dataclass(frozen=True)
class Region:
    """Operations of an exported model that one engine does.

    Parameters
    ----------
    nodes : list of torch.fx.Node
        They, in the order in which they run.
    inputs, outputs : list of torch.fx.Node
        Tensors that they read from outside, and that others read from them.
    """

    nodes: list[fx.Node]
    inputs: list[fx.Node]
    outputs: list[fx.Node]


def _anywhere(_: fx.Node) -> bool:
    return True


def engines_of(
    captured: Captured, threads: int, precision: str, may_cross: Callable[[fx.Node], bool] = _anywhere
) -> list[tuple[Region, Engine]]:
    """Return the regions of a model, and an engine for each; those without a convolution are not worth a crossing."""
    found = []
    for region, graph in regions_of(captured, may_cross):
        if any(isinstance(node.op, Conv) for node in graph.nodes):
            try:
                program = lower(optimize(graph, precision), precision)
                found.append((region, Engine(program.to_bytes(), threads=threads)))
            except ValueError:  # its sums could leave int32, say
                continue
    return found


def regions_of(captured: Captured, may_cross: Callable[[fx.Node], bool] = _anywhere) -> list[tuple[Region, Graph]]:
    """Return the largest parts of a model that the engine serves, as the engine's graphs.

    ``may_cross`` says which tensors may go into or come out of an engine.
    """
    owner = fx.GraphModule(nn.Module(), captured.graph)
    served = {node for node in captured.graph.nodes if node.op == "call_function" and _may_be(node)}
    while True:
        partitioner = CapabilityBasedPartitioner(owner, _Support(served), allows_single_node_partition=True)
        regions = [_region(captured, partition.nodes) for partition in partitioner.propose_partitions()]
        made = [
            (region, *_import(captured, region, may_cross)) for region in regions if any(map(_is_tensor, region.nodes))
        ]
        lacking = {node for _, _, lacks in made for node in lacks}
        if not lacking:
            return [(region, graph) for region, graph, _ in made if graph is not None]
        served -= lacking


class _Support(OperatorSupportBase):
    """The nodes that the engine may serve."""

    def __init__(self, served: set[fx.Node]) -> None:
        self.served = served

    def is_node_supported(self, submodules: Mapping[str, nn.Module], node: fx.Node) -> bool:  # noqa: ARG002 - torch's
        return node in self.served


def _may_be(node: fx.Node) -> bool:
    """Whether the engine serves such operations; numbers that only say sizes are no work."""
    return operation(node) in IMPORTS or isinstance(node.meta.get("val"), int | torch.SymInt)


def _is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def _region(captured: Captured, nodes: Iterable[fx.Node]) -> Region:
    inside = set(nodes)
    ordered = [node for node in captured.graph.nodes if node in inside]
    read = dict.fromkeys(x for node in ordered for x in node.all_input_nodes if x not in inside)
    inputs = [x for x in read if _is_tensor(x) and x.name not in captured.tensors]
    outputs = [node for node in ordered if any(user not in inside for user in node.users)]
    return Region(ordered, inputs, outputs)


def _import(
    captured: Captured, region: Region, may_cross: Callable[[fx.Node], bool]
) -> tuple[Graph | None, set[fx.Node]]:
    """Return the engine's graph of a region, or None and the nodes that it can not have."""
    foreign = [x for x in region.inputs if not (_is_image(captured, x) and may_cross(x))]
    lacking = {node for node in region.nodes if any(x in node.all_input_nodes for x in foreign)}
    lacking |= {node for node in region.outputs if not (_is_tensor(node) and may_cross(node))}
    if lacking or not region.inputs:
        return None, lacking
    part = dataclasses.replace(
        captured,
        graph=cast("fx.Graph", _Nodes(region.nodes)),
        inputs={x.name: x for x in region.inputs},
        outputs={f"output_{i}": node for i, node in enumerate(region.outputs)},
        axes={x.name: _axes(x) for x in region.inputs},
    )
    importer = Importer(part, IMPORTS)
    try:
        return importer.run(lambda name, _: Images(part.axes[name])), set()
    except UnsupportedError as error:
        return None, {problem.node for problem in error.problems}
    except ValueError:
        return None, {importer.node}


@dataclass(frozen=True)
class _Nodes:
    """Some nodes of a graph: all that an importer asks a graph for."""

    nodes: list[fx.Node]


def _is_image(captured: Captured, x: fx.Node) -> bool:
    """Whether a tensor may go into an engine."""
    value: Tensor = x.meta["val"]
    if value.ndim != 4 or value.dtype != torch.float32:
        return False
    return is_fixed(value.shape[1]) and captured.is_batch(value.shape[0])


def _axes(x: fx.Node) -> tuple[Axis, Axis]:
    height, width = (Axis(hint(size)) if is_fixed(size) else Axis() for size in x.meta["val"].shape[2:])
    return height, width


class EngineCall(nn.Module):
    """Calls an engine in the place of a region.

    Parameters
    ----------
    engine : Engine
        What it calls.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def forward(self, *images: Tensor) -> Any:
        """Return the region's results in their order."""
        found = self.engine(*(x.contiguous() for x in images))
        return tuple(found.values()) if isinstance(found, dict) else (found,)
