"""What a node of an exported graph says: the operation, its arguments, where it stands in the model, its extents."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from torch import fx
from torch.fx.experimental.symbolic_shapes import statically_known_true


def hint(size: Any) -> int:
    """Return an extent for the example."""
    return size if isinstance(size, int) else int(size.node.hint)


def is_fixed(size: Any) -> bool:
    """Whether the model runs with no other extent than the example's: it compares it with a number, say."""
    return statically_known_true(size == hint(size))


def size_of(node: fx.Node) -> tuple[fx.Node, int] | None:
    """Return the tensor and the axis whose extent a node is, or None if it is none."""
    if operation(node) != "aten::sym_size":
        return None
    x, axis = node.args
    assert isinstance(x, fx.Node)
    assert isinstance(axis, int)
    return x, axis % 4


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
