"""What layers of a network read and give, taken while it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from tilewise.engine.layerwise import natively
from tilewise.nn import convolutions

KEPT_BYTES = 2**28
"""Of outputs that are kept at once, at most: each pass over the float network takes those of as many layers."""


class _Reached(Exception):  # noqa: N818 - no error
    """Ends a run of a model at the layer that was asked for."""


@torch.no_grad()
def inputs_of(model: nn.Module, layer: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """Return what a layer reads for every batch, running nothing after it."""
    taken: list[Tensor] = []

    def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        taken.append(inputs[0])
        raise _Reached

    hook = layer.register_forward_pre_hook(take)
    try:
        with natively(model):
            for x in batches:
                with suppress(_Reached):
                    model(x)
    finally:
        hook.remove()
    return taken


@torch.no_grad()
def outputs_of(
    model: nn.Module, layers: Sequence[nn.Module], batches: Sequence[Tensor]
) -> Iterator[tuple[nn.Module, list[Tensor]]]:
    """Yield what layers give for every batch, layer by layer in their order, in as few passes as memory allows."""
    waiting = list(layers)
    while waiting:
        taken = _first_outputs(model, waiting, batches)
        yield from taken.items()
        waiting = waiting[len(taken) :]


def _first_outputs(
    model: nn.Module, layers: Sequence[nn.Module], batches: Sequence[Tensor]
) -> dict[nn.Module, list[Tensor]]:
    """Return what the first layers give: at least one, and as many as the first batch says that there is room for."""
    taken: dict[nn.Module, list[Tensor]] = {}
    images, size, full, calls = sum(map(len, batches)), 0, False, 0

    def take(layer: nn.Module, _: tuple[Tensor, ...], y: Tensor) -> None:
        nonlocal size, full
        if layer not in taken:
            size += y.numel() * y.element_size() * images // max(1, len(y))
            full = full or (size > KEPT_BYTES and bool(taken))
            if full:
                raise _Reached
        outputs = taken.setdefault(layer, [])
        if len(outputs) < calls:  # a layer that is called again gives what it gave first
            outputs.append(y)

    hooks = [layer.register_forward_hook(take) for layer in layers]
    try:
        for x in batches:
            calls += 1
            with suppress(_Reached):
                model(x)
            full = True
    finally:
        for hook in hooks:
            hook.remove()
    return taken


@torch.no_grad()
def in_order(model: nn.Module, x: Tensor) -> list[str]:
    """Names of the convolutions in the order in which they run."""
    order: dict[str, None] = {}
    hooks = [
        m.register_forward_pre_hook(lambda _, __, name=name: order.update({name: None}))
        for name, m in convolutions(model).items()
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return list(order)
