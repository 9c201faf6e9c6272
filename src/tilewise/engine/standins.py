"""What stands for layers, and for what models do to their own weights, while torch.export looks at a model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tilewise.common.modules import replace_modules
from tilewise.nn import Linear, Quantize, QuantizedConv, keep_hooks

DATA: Any = Tensor.data
"""What ``x.data`` and ``x.data = y`` call."""


@torch.library.custom_op("tilewise::layer", mutates_args=(), schema="(Tensor x, str name, SymInt[] shape) -> Tensor")
def _layer(x: Tensor, name: str, shape: list[int]) -> Tensor:
    """Stand for the layer ``name`` in an exported graph."""
    raise NotImplementedError(f"{name} is computed by the engine, or by its simulation")


@_layer.register_fake
def _(x: Tensor, name: str, shape: list[int]) -> Tensor:  # noqa: ARG001 - the operator's signature
    return x.new_empty(shape)


class _Standin(nn.Module):
    """Calls ``tilewise::layer`` in place of a layer, and has its attributes, which the model may ask for."""

    def __init__(self, name: str, layer: QuantizedConv | Quantize) -> None:
        super().__init__()
        self.name = name
        self.sizes = None if isinstance(layer, Quantize | Linear) else _sizes(layer)
        self.features = layer.out_channels if isinstance(layer, Linear) else None
        if isinstance(layer, QuantizedConv):
            self.weight, self.bias = layer.weight, layer.bias
        keep_hooks(self, layer)
        self.layer = (layer,)  # in a tuple: it is no part of what is exported

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if "layer" not in vars(self):
                raise
            return getattr(self.layer[0], name)

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the layer's shape."""
        shape = list(x.shape)
        if self.sizes is not None:
            channels, axes = self.sizes
            out = [(size + pad - span) // stride + 1 for size, (pad, span, stride) in zip(shape[2:], axes, strict=True)]
            shape = [shape[0], channels, *out]
        if self.features is not None:
            shape[-1] = self.features
        result: Tensor = torch.ops.tilewise.layer(x, self.name, shape)
        return result


def _sizes(conv: nn.Conv2d) -> tuple[int, list[tuple[int, int, int]]]:
    """Output channels; padding, extent of the window and stride of both axes."""
    spans = [d * (k - 1) + 1 for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    if isinstance(conv.padding, str):
        pads = [span - 1 if conv.padding == "same" else 0 for span in spans]
    else:
        pads = [2 * p for p in conv.padding]
    return conv.out_channels, list(zip(pads, spans, conv.stride, strict=True))


def put_standins(model: nn.Module) -> dict[str, QuantizedConv | Quantize]:
    """Replace the quantized layers, in place; return them by name."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv | Quantize)}
    replace_modules(model, {layer: _Standin(name, layer) for name, layer in layers.items()})
    return layers


class KeepWeights(TorchFunctionMode):
    """Lets a model that writes to its weights when it is called leave them as they are.

    Attributes
    ----------
    found : bool
        Whether it did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    @classmethod
    def within(cls, model: nn.Module) -> Self:
        """Watch a model's calls."""
        mode, forward = cls(), model.forward

        @functools.wraps(forward)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with mode:
                return forward(*args, **kwargs)

        model.forward = watched
        return mode

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call what is called, but for ``x.data = y``."""
        if func == DATA.__set__:
            self.found = True
            return None
        return args[0].detach() if func == DATA.__get__ else func(*args, **(kwargs or {}))
