"""Convolutions whose class does more than convolve: what it does around the convolution stays its own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

HOOKS = (
    "_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
)  # fmt: skip
PROBES = ((2, 1), (1, 4))
"""Images, and how many pixels more than a window needs, that a convolution is asked with to see what it does."""


class Surrounded(nn.Module):
    """A convolution together with the code that its own class runs before and after it.

    The code is the class's ``forward``, called as it is; its one call of ``torch.nn.functional.conv2d`` goes to
    ``layer`` instead. So padding, activations and the like stay what they are, whatever ``layer`` computes with.
    Weights that the code computes were computed once, and are ``layer``'s from then on.

    Parameters
    ----------
    source : torch.nn.Conv2d
        Of a class with a ``forward`` of its own.
    layer : torch.nn.Conv2d
        What convolves.
    """

    def __init__(self, source: nn.Conv2d, layer: nn.Conv2d) -> None:
        super().__init__()
        self.source, self.layer = source, layer

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the class's code."""
        with _Redirect(lambda call: self.layer(call.input)):
            return self.source(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Look up the source's attributes too: models and hooks ask a convolution for its sizes."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in ("source", "layer"):
                raise
            return getattr(self.source, name)


class _Call(NamedTuple):
    """What ``torch.nn.functional.conv2d`` is called with."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: Any = 1
    padding: Any = 0
    dilation: Any = 1
    groups: int = 1


class _Redirect(TorchFunctionMode):
    """Lets a function answer the calls of ``torch.nn.functional.conv2d``."""

    def __init__(self, answer: Callable[[_Call], Any]) -> None:
        super().__init__()
        self.answer = answer

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer, or call what was called."""
        if func is F.conv2d:
            return self.answer(_Call(*args, **(kwargs or {})))
        return func(*args, **(kwargs or {}))


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """Return a model's convolutions by name; one that is surrounded by code has the name of both."""
    found: dict[str, nn.Conv2d] = {}
    parts: set[nn.Module] = set()
    for name, module in model.named_modules():
        if isinstance(module, Surrounded):
            found[name] = module.layer
            parts |= {module.source, module.layer}
        elif isinstance(module, nn.Conv2d) and module not in parts:
            found[name] = module
    return found


def is_plain(conv: nn.Conv2d) -> bool:
    """Whether calling a convolution is what ``torch.nn.Conv2d`` computes from its weight and bias, hooks aside."""
    kind = type(conv)
    is_own = any(
        getattr(kind, name) is not getattr(nn.Conv2d, name) for name in ("__call__", "forward", "_conv_forward")
    )
    return not is_own and "forward" not in vars(conv) and isinstance(conv._parameters.get("weight"), nn.Parameter)  # noqa: SLF001


def surround(conv: nn.Conv2d) -> Surrounded | None:
    """Part a convolution into its class's code and what convolves; None where that is not one convolution.

    The code has to call ``torch.nn.functional.conv2d`` once, with weights that do not depend on the images.

    Parameters
    ----------
    conv : torch.nn.Conv2d
        Any; its hooks move to what is returned.
    """
    if not isinstance(conv._parameters.get("weight"), nn.Parameter):  # noqa: SLF001
        return None  # made by a hook, from what only the hook knows
    hooks = {name: vars(conv)[name] for name in HOOKS}
    for name, of_this_kind in hooks.items():
        setattr(conv, name, type(of_this_kind)())
    call = _asked(conv)
    if call is None:
        for name, of_this_kind in hooks.items():
            setattr(conv, name, of_this_kind)
        return None
    found = Surrounded(conv, _convolution(call)).train(conv.training)
    vars(found).update(hooks)
    return found


def keep_hooks(layer: nn.Module, source: nn.Module) -> None:
    """Let a layer run the hooks of the one in whose place it comes."""
    for name in HOOKS:
        setattr(layer, name, vars(source)[name])


def has_hooks(module: nn.Module) -> bool:
    """Whether something is hooked to a module's calls, so that they are more than what the module computes."""
    return any(vars(module)[name] for name in HOOKS)


@torch.no_grad()
def _asked(conv: nn.Conv2d) -> _Call | None:
    """Return what a convolution's code calls ``conv2d`` with, if that is the same for all images."""
    mode = conv.training
    conv.eval()
    try:
        first, second = (_probed(conv, images, more) for images, more in PROBES)
    except Exception:  # noqa: BLE001 - others' code, with images it may not be made for
        return None
    finally:
        conv.train(mode)
    same = (
        torch.equal(first.weight, second.weight)
        and (first.bias is second.bias is None or torch.equal(first.bias, second.bias))  # type: ignore[arg-type]
        and _numbers(first) == _numbers(second)
        and first.input.shape[1] == conv.in_channels
    )
    return first if same else None


def _probed(conv: nn.Conv2d, images: int, more: int) -> _Call:
    """Return the one call that images of some size lead to; more or fewer calls are an error."""
    spans = [2 * (d * (k - 1) + 1) + more for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
    generator = torch.Generator().manual_seed(more)
    x = torch.randn(images, conv.in_channels, *spans, generator=generator).to(conv.weight)
    calls: list[_Call] = []

    def answer(call: _Call) -> Tensor:
        calls.append(call)
        return F.conv2d(*call)

    with torch.random.fork_rng(devices=[]), _Redirect(answer):
        conv(x)
    (call,) = calls
    return call


def _numbers(call: _Call) -> tuple[Any, ...]:
    return _pair(call.stride), _pair(call.padding), _pair(call.dilation), call.groups


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value if isinstance(value, str) else tuple(value)


def _convolution(call: _Call) -> nn.Conv2d:
    """Return the plain convolution that a call is; parameters stay the very same."""
    k, c, *window = call.weight.shape
    layer = nn.Conv2d(
        c * call.groups, k, (window[0], window[1]), _pair(call.stride), _pair(call.padding), _pair(call.dilation),
        call.groups, bias=call.bias is not None, device="meta",
    )  # fmt: skip
    layer.weight, layer.bias = _parameter(call.weight), None if call.bias is None else _parameter(call.bias)
    return layer


def _parameter(value: Tensor) -> nn.Parameter:
    return value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())
