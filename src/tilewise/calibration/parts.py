"""Concatenations whose parts differ in range: each part is scaled, so that one grid serves all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tilewise.calibration.batches import Batch, call
from tilewise.nn import Linear, Quantize, QuantizedConv
from tilewise.quant import FLOAT_BITS
from tilewise.quant.fake import FixedRange

APART = 32.0
"""From here on a part is scaled: it would have less than 3 of 8 bits on the grid of the largest one."""


class Part(NamedTuple):
    """Channels of a concatenation that come from one tensor, and their largest absolute value."""

    channels: int
    absmax: float


class Concatenations(TorchFunctionMode):
    """Notes what concatenations of channels are made of, while a model runs.

    Attributes
    ----------
    found : list of (Tensor, list of Part)
        Their results, and the parts of each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, list[Part]]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call what is called."""
        result = func(*args, **(kwargs or {}))
        if func in (torch.cat, torch.concat):
            tensors, *dim = (*args, *(value for name, value in (kwargs or {}).items() if name == "dim"))
            if result.ndim > 1 and dim and dim[0] % result.ndim == 1:
                self.found.append((result, [Part(x.shape[1], float(x.abs().amax())) for x in tensors]))
        return result

    def parts(self, x: Tensor) -> list[Part]:
        """Return what a tensor is a concatenation of; none if it is none."""
        return next((parts for whole, parts in self.found if whole is x), [])


@torch.no_grad()
def scale_parts(model: nn.Module, batch: Batch) -> bool:
    """Run a model, and let layers that read a concatenation scale up parts of a much smaller range; tell if any does.

    The factors are powers of two, and the weights are divided by them, so that nothing changes but what rounding loses.
    A layer that shares its input's grid with others can not: a warning names it.
    """
    concatenations, found = Concatenations(), dict[nn.Module, list[Tensor | None]]()

    def watch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.setdefault(module, []).append(_factors(concatenations.parts(inputs[0])))

    handles = [m.register_forward_pre_hook(watch) for m in model.modules() if _may_warn(m) or _may_scale(m)]
    try:
        with concatenations:
            call(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    for module, each in found.items():
        if isinstance(module, Quantize) and each[0] is not None:
            _warn(model, module)
    chosen = {layer: _common(each) for layer, each in found.items() if isinstance(layer, QuantizedConv)}
    changed = [layer for layer, factors in chosen.items() if not _equal(factors, layer.input_scale)]
    for layer in changed:
        layer.scale_input(chosen[layer])
    return bool(changed)


def _may_warn(module: nn.Module) -> bool:
    return isinstance(module, Quantize) and not isinstance(module.range, FixedRange)


def _may_scale(module: nn.Module) -> bool:
    if not isinstance(module, QuantizedConv) or isinstance(module, Linear) or module.spec.bits == FLOAT_BITS:
        return False
    given = isinstance(module.input_range, FixedRange)
    return module.groups == 1 and not module.input_is_quantized and not given


def _factors(parts: list[Part]) -> Tensor | None:
    """Return a factor for each channel, or None where all are 1."""
    largest = max((part.absmax for part in parts), default=0.0)
    apart = [largest / part.absmax if part.absmax > 0 else 1.0 for part in parts]
    if not any(ratio >= APART for ratio in apart):
        return None
    factors = [2.0 ** math.floor(math.log2(ratio)) if ratio >= APART else 1.0 for ratio in apart]
    return torch.cat([torch.full((part.channels,), factor) for part, factor in zip(parts, factors, strict=True)])


def _common(each: list[Tensor | None]) -> Tensor | None:
    """Return the factors that all calls of a layer want, or None."""
    return each[0] if all(_equal(factors, each[0]) for factors in each) else None


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is b if a is None or b is None else torch.equal(a, b.to(a.device))


def _warn(model: nn.Module, quantize: Quantize) -> None:
    sharing = [
        name for name, m in model.named_modules()
        if isinstance(m, QuantizedConv) and m.input_is_quantized and m.get_range("input_range") is quantize.range
    ]  # fmt: skip
    warnings.warn(
        f"{', '.join(map(repr, sharing))} and a skip connection read one grid of a concatenation whose parts differ in "
        f"range {APART:.0f} times and more: the smallest parts keep few bits; skips='float' would keep them",
        stacklevel=2,
    )
