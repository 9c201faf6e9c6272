"""Operations of torch that give the numbers of a tensor again, with other axes or the same, in any order in memory."""

from __future__ import annotations

import torch
from torch import fx

from tilewise.engine.axes import Axes, reshaped
from tilewise.engine.fxnodes import hint, is_fixed, operation

RESHAPES = frozenset({
    "aten::flatten", "aten::unflatten", "aten::view", "aten::reshape", "aten::squeeze", "aten::unsqueeze",
    "aten::_unsafe_view", "aten::view_as", "aten::reshape_as",
})  # fmt: skip
PERMUTES = frozenset({
    "aten::permute", "aten::transpose", "aten::movedim", "aten::moveaxis", "aten::swapaxes", "aten::swapdims",
    "aten::mT",
})  # fmt: skip
NOTHINGS = frozenset({
    "aten::dropout", "aten::feature_dropout", "aten::contiguous", "aten::clone", "aten::detach", "aten::alias",
    "aten::lift_fresh_copy", "aten::alpha_dropout", "aten::to", "aten::type_as", "aten::_to_copy",
})  # fmt: skip
VIEWS = RESHAPES | PERMUTES | NOTHINGS


def viewed(node: fx.Node, axes: Axes) -> Axes | None:
    """Return the axes of what a view gives of a tensor with these axes; None where one would cut through a digit."""
    if operation(node) in NOTHINGS:
        return axes
    if operation(node) in PERMUTES:
        return tuple(axes[axis - 1] for axis in permutation(node, len(axes) + 1)[1:])
    sizes = node.meta["val"].shape[1:]
    return reshaped(axes, [hint(size) for size in sizes], [is_fixed(size) for size in sizes])


def permutation(node: fx.Node, rank: int) -> list[int]:
    """Return which axis each axis of a permuted tensor was: the strides tell."""
    steps = [2**axis for axis in range(rank)]
    assert callable(node.target)
    moved = node.target(torch.empty_strided((2,) * rank, steps, device="meta"), *node.args[1:], **node.kwargs)
    return [steps.index(step) for step in moved.stride()]
