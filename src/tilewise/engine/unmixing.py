"""Views that join images and channels in one axis, and take them apart again: shuffles written for any batch.

One is YOLO-FastestV2's ``x.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)``, whose parts
are every second channel. The engine runs image by image: what such views come to is channels of each image, picked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from tilewise.engine.fxnodes import hint, operation
from tilewise.engine.views import VIEWS

PARTS = frozenset({"aten::select", "aten::slice", "aten::unbind", "aten::chunk", "aten::split", "getitem"})
"""What takes parts of a tensor."""
IMAGE_RANK = 4


def unmix(graph: fx.Graph, tensors: dict[str, Tensor], batch: Any) -> None:
    """Replace such views by slices of channels, or by picked ones.

    Parameters
    ----------
    graph : torch.fx.Graph
        An exported model; changed in place.
    tensors : dict of str to Tensor
        The model's parameters; which channels are picked is added.
    batch : int or torch.SymInt
        The number of images.
    """
    for node in list(graph.nodes):
        source = node.all_input_nodes[0] if node.op == "call_function" and node.all_input_nodes else None
        if source is None or operation(node) not in VIEWS or not _has_images(source, batch) or _leads(node, batch):
            continue
        exits = _exits(node, source, batch)
        picked = {} if exits is None else _picked(node, source, exits)
        for taken, channels in picked.items():
            with graph.inserting_before(taken):
                made = _pick(graph, source, channels, f"{taken.name}_channels", tensors)
            made.meta = dict(taken.meta)
            taken.replace_all_uses_with(made)
    graph.eliminate_dead_code()


def _has_images(node: fx.Node, batch: Any) -> bool:
    return _leads(node, batch) and node.meta["val"].ndim == IMAGE_RANK


def _leads(node: fx.Node, batch: Any) -> bool:
    """Whether a tensor's first axis are the images; True for what is no tensor."""
    found = node.meta.get("val")
    return not isinstance(found, Tensor) or (found.ndim > 0 and str(found.shape[0]) == str(batch))


def _exits(first: fx.Node, source: fx.Node, batch: Any) -> list[fx.Node] | None:
    """Return the tensors of images that views and parts from ``first`` on end in; None if something else reads one."""
    waiting, exits = [first], []
    while waiting:
        node = waiting.pop()
        if node is not first and isinstance(node.meta.get("val"), Tensor) and _has_images(node, batch):
            if [str(s) for s in node.meta["val"].shape[2:]] != [str(s) for s in source.meta["val"].shape[2:]]:
                return None
            exits.append(node)
            continue
        for user in node.users:
            if user.op != "call_function" or operation(user) not in VIEWS | PARTS:
                return None
            waiting.append(user)
    return exits


def _picked(first: fx.Node, source: fx.Node, exits: list[fx.Node]) -> dict[fx.Node, list[int]]:
    """Return which channels of the source each exit has; empty if they differ between images or pixels."""
    n, channels, height, width = (hint(size) for size in source.meta["val"].shape)
    numbers = torch.arange(n * channels * height * width).view(n, channels, height, width)
    values: dict[fx.Node, Any] = {source: numbers}
    found = {}
    for node in first.graph.nodes:
        if node is not first and not any(x in values and x is not source for x in node.all_input_nodes):
            continue
        if node.op == "call_function" and operation(node) in VIEWS | PARTS:
            args, kwargs = fx.map_arg(
                (node.args, node.kwargs), lambda x: values[x] if x in values else hint(x.meta["val"])
            )
            assert callable(node.target)
            values[node] = node.target(*args, **kwargs)
    for node in exits:
        of_first = values[node][0, :, 0, 0] // (height * width)
        if of_first.max() >= channels or not torch.equal(values[node], numbers[:, of_first]):
            return {}
        found[node] = of_first.tolist()
    return found


def _pick(graph: fx.Graph, source: fx.Node, channels: list[int], name: str, tensors: dict[str, Tensor]) -> fx.Node:
    """Add a slice of channels, or what picks them one by one."""
    step = channels[1] - channels[0] if len(channels) > 1 else 1
    end = channels[-1] + 1
    if step > 0 and channels == list(range(channels[0], end, step)):
        return graph.call_function(torch.ops.aten.slice.Tensor, (source, 1, channels[0], end, step))
    first = next(iter(graph.nodes))
    with graph.inserting_before(first):
        index = graph.placeholder(name)
    tensors[index.name] = torch.tensor(channels)
    index.meta = {"val": tensors[index.name]}
    return graph.call_function(torch.ops.aten.index_select.default, (source, 1, index))
