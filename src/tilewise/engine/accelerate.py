"""Any model, with native engines in the place of what the engine serves and torch for the rest."""

from __future__ import annotations

import copy
import math
import operator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.utils._pytree as pytree
from torch import Tensor, fx, nn

from tilewise.common.limits import check_threads
from tilewise.engine.capture import Captured, Example, capture, check_example
from tilewise.engine.engine import Engine
from tilewise.engine.fxnodes import hint, is_fixed, module_of, operation
from tilewise.engine.regions import EngineCall, Region, engines_of
from tilewise.nn import Reporting

MOST_SIZES = 8
"""Sizes of images that a model keeps a form for, where one form does not serve all."""


@dataclass(frozen=True)
class RegionReport:
    """A part of an accelerated model.

    Parameters
    ----------
    where : {"engine", "torch"}
        What computes it.
    operations : tuple of str
        torch's operations in it, in their order.
    modules : tuple of str
        The modules of the model that they belong to.
    crossing_bytes : int
        What goes into and comes out of an engine, for one image of the example's size.
    crossing_seconds : float
        How long that takes, measured; 0 where no engine is crossed.
    """

    where: Literal["engine", "torch"]
    operations: tuple[str, ...]
    modules: tuple[str, ...]
    crossing_bytes: int = 0
    crossing_seconds: float = 0.0


def accelerate(
    model: nn.Module, example: Any, *, threads: int = 1, precision: Literal["float32", "bf16"] = "float32"
) -> Accelerated:
    """Return a module that computes what the model does, and runs what the engine serves natively.

    Nothing is refused: what the engine lacks runs in torch, and so does a model that torch.export can not read; of such
    a model the children that it can read run natively.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; converted and calibrated layers run as the integers that they are. It is not changed.
    example : Tensor or array of shape (N, C, H, W), float32; or a tuple or dict of them
        What the model is called with; other numbers of images and other sizes are served too.
    threads : int
        How many native code runs with.
    precision : {"float32", "bf16"}
        Of float layers, as for :func:`tilewise.compile`.

    Returns
    -------
    Accelerated
        In evaluation mode, without gradients; ``tilewise.describe`` says what runs where.

    Raises
    ------
    ValueError
        If the example has no allowed shape, or ``threads`` is out of range.
    TypeError
        If the example is neither Tensor nor array, or not float32.

    Examples
    --------
    >>> fast = tilewise.accelerate(model, torch.zeros(1, 3, 224, 224))
    >>> logits = fast(images)
    """
    check_threads(threads)
    return Accelerated(model, check_example(example), threads, precision)


class Accelerated(Reporting[RegionReport]):
    """A model of which native engines compute what they can. See :func:`accelerate`."""

    def __init__(self, model: nn.Module, example: Example, threads: int, precision: str) -> None:
        super().__init__()
        self.model, self.threads, self.precision = model, threads, precision
        self._forms: list[_Form] = []
        self._whole: nn.Module | None = None  # for all that no form serves
        self._example = example
        self.eval()
        self._add(example, any_size=True)

    @torch.no_grad()
    def forward(self, *images: Any, **named: Any) -> Any:
        """Return what the model returns."""
        if not _are_images((*images, *named.values())):
            return self._rest()(*images, **named)
        form = next((form for form in self._forms if form.serves(images, named)), None)
        if form is None and self._whole is None:
            form = self._add(named or images, any_size=False)
        return self._rest()(*images, **named) if form is None else form(images, named)

    @property
    def is_served(self) -> bool:
        """Whether torch.export could read the model."""
        return bool(self._forms)

    def report(self) -> list[RegionReport]:
        """Say what runs where for the example, in the order in which it runs, and what a crossing costs."""
        if self._forms:
            return self._forms[0].report()
        parts = [part for child in self._rest().modules() if isinstance(child, Accelerated) for part in child.report()]
        return [RegionReport("torch", ("forward",), (type(self.model).__name__,)), *parts]

    def _add(self, example: Example, *, any_size: bool) -> _Form | None:
        """Make a form for an example, and for others like it; None where torch.export can not."""
        try:
            captured = capture(self.model, example, any_size=any_size)
        except ValueError:
            return self._add(example, any_size=False) if any_size else None
        form = _Form(captured, example, self.threads, self.precision)
        if any_size and not form.serves(*_called(example)):
            return self._add(example, any_size=False)
        self._forms = [*self._forms[: MOST_SIZES - 1], form]
        return form

    def _rest(self) -> nn.Module:
        """Return the model as it is, but for children that torch.export can read."""
        if self._whole is None:
            self._whole = _with_fast_children(self.model, self._example, self.threads, self.precision)
        return self._whole


class _Form:
    """A model as torch.export reads it for some sizes, with engines in it."""

    def __init__(self, captured: Captured, example: Example, threads: int, precision: str) -> None:
        self.inputs = {name: node.meta["val"] for name, node in captured.inputs.items()}
        self.axes, self.structure, self.by_name = captured.axes, captured.structure, isinstance(example, dict)
        self.placeholders = [node.name for node in captured.graph.nodes if node.op == "placeholder"]
        self.tensors = captured.tensors
        self.parts = engines_of(captured, threads, precision)
        self.rest = [node for node in captured.graph.nodes if _works(node, self.parts)]
        self.module = _with_engines(captured, self.parts)

    def serves(self, images: tuple[Any, ...], named: dict[str, Any]) -> bool:
        """Whether it is of these images."""
        if bool(named) != self.by_name or len(images) + len(named) != len(self.inputs):
            return False
        if named and set(named) != set(self.inputs):
            return False
        given = named or dict(zip(self.inputs, images, strict=True))
        return all(self._fits(name, tuple(x.shape)) for name, x in given.items())

    def _fits(self, name: str, shape: tuple[int, ...]) -> bool:
        extents = self.inputs[name].shape
        asked = (1, 1, *(axis.multiple for axis in self.axes[name]))
        sizes = (0, 0, *(axis.size for axis in self.axes[name]))
        return len(shape) == len(extents) and all(
            extent == int(size) if is_fixed(size) else extent == one if one else extent % multiple == 0 and extent > 0
            for extent, size, one, multiple in zip(shape, extents, sizes, asked, strict=True)
        )

    def __call__(self, images: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what the model returns."""
        given = named or dict(zip(self.inputs, images, strict=True))
        values = [given[name] if name in given else self.tensors.get(name) for name in self.placeholders]
        return pytree.tree_unflatten(list(self.module(*values)), self.structure)

    def report(self) -> list[RegionReport]:
        """Say what runs where."""
        found = [_engine_report(region, engine) for region, engine in self.parts]
        if self.rest:
            found.append(RegionReport("torch", *_names(self.rest)))
        return found


def _engine_report(region: Region, engine: Engine) -> RegionReport:
    """Measure what going into and out of an engine takes for one image."""
    shapes = [[1, *map(hint, x.meta["val"].shape[1:])] for x in (*region.inputs, *region.outputs)]
    images = [torch.zeros(shape) for shape in shapes[: len(region.inputs)]]
    rows = [row for row in engine.profile(*images, repeats=5) if row["op"] in ("input", "output")]
    seconds = sum(row["seconds"] for row in rows)
    return RegionReport("engine", *_names(region.nodes), 4 * sum(map(math.prod, shapes)), float(seconds))


def _names(nodes: list[fx.Node]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the operations of nodes, and the modules that they belong to."""
    tensors = [node for node in nodes if isinstance(node.meta.get("val"), Tensor)]
    operations = tuple(operation(node).removeprefix("aten::") for node in tensors)
    return operations, tuple(dict.fromkeys(module for node in tensors if (module := module_of(node))))


def _works(node: fx.Node, parts: list[tuple[Region, Engine]]) -> bool:
    """Whether torch computes a tensor with a node."""
    inside = any(node in region.nodes for region, _ in parts)
    return node.op == "call_function" and not inside and isinstance(node.meta.get("val"), Tensor)


def _with_engines(captured: Captured, parts: list[tuple[Region, Engine]]) -> nn.Module:
    """Return the exported model with calls of engines in the place of regions, and its own layers in the rest."""
    graph, root = captured.graph, nn.Module()
    for i, (region, engine) in enumerate(parts):
        root.add_module(f"region_{i}", EngineCall(engine))
        with graph.inserting_after(region.nodes[-1]):
            call = graph.create_node("call_module", f"region_{i}", tuple(region.inputs))
        inside = set(region.nodes)
        with graph.inserting_after(call):
            for number, node in enumerate(region.outputs):
                result = graph.call_function(operator.getitem, (call, number))
                for user in [user for user in node.users if user not in inside]:
                    user.replace_input_with(node, result)
    for i, node in enumerate(list(graph.nodes)):
        if node.op == "call_function" and operation(node) == "tilewise::layer":
            root.add_module(f"layer_{i}", captured.layers[node.args[1]])
            with graph.inserting_before(node):
                node.replace_all_uses_with(graph.create_node("call_module", f"layer_{i}", (node.args[0],)))
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    _sort(graph)
    return fx.GraphModule(root, graph).eval()


def _sort(graph: fx.Graph) -> None:
    """Put nodes behind those that they read: a region's results are there when all of it has run."""
    placed = {node for node in graph.nodes if node.op == "placeholder"}
    waiting = [node for node in graph.nodes if node not in placed]
    last = next((node for node in reversed(list(graph.nodes)) if node in placed), None)
    while waiting:
        left = []
        for node in waiting:
            if all(x in placed for x in node.all_input_nodes):
                if last is not None:
                    last.append(node)
                last = node
                placed.add(node)
            else:
                left.append(node)
        assert len(left) < len(waiting), "regions that wait for each other"
        waiting = left


def _are_images(values: tuple[Any, ...]) -> bool:
    """Whether engines may be given what a model is called with."""
    return bool(values) and all(
        isinstance(x, Tensor) and x.ndim == 4 and x.dtype == torch.float32 and x.device.type == "cpu" and x.numel() > 0
        for x in values
    )


def _called(example: Example) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    return ((), example) if isinstance(example, dict) else (example, {})


def _with_fast_children(model: nn.Module, example: Example, threads: int, precision: str) -> nn.Module:
    """Return a copy of a model whose children, as far as torch.export can read them, are accelerated."""
    model = copy.deepcopy(model).eval()
    given: dict[str, tuple[Any, ...]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, images: tuple[Any, ...]) -> None:
            given.setdefault(name, images)

        return hook

    handles = [child.register_forward_pre_hook(note(name)) for name, child in model.named_modules() if name]
    images, named = _called(example)
    with torch.no_grad():
        model(*images, **named)
    for handle in handles:
        handle.remove()
    done: list[str] = []
    for name, child in list(model.named_modules()):
        below = any(name.startswith(f"{other}.") for other in done)
        if not name or below or not _are_images(given.get(name, ())) or not _has_convolution(child):
            continue
        fast = Accelerated(child, given[name], threads, precision)
        if fast.is_served:
            model.set_submodule(name, fast)
            done.append(name)
    return model


def _has_convolution(module: nn.Module) -> bool:
    return any(isinstance(m, nn.Conv2d | nn.Linear) for m in module.modules())
