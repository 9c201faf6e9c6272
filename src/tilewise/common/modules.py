"""Copying networks, and replacing modules of them in place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def replace_modules(model: M, replacement: Mapping[nn.Module, nn.Module]) -> M:
    """Put other modules in the places of some of a model's, and return the model.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place. It may itself be one of the replaced modules; then its replacement is returned.
    replacement : mapping of torch.nn.Module to torch.nn.Module
        By the module to replace. One that stands at several places is replaced at all of them by the same module.
    """
    for parent in list(model.modules()):
        for name, child in parent._modules.items():  # noqa: SLF001 - named_children() skips a second name
            if child is not None and child in replacement:
                setattr(parent, name, replacement[child])
    return replacement.get(model, model)  # type: ignore[return-value]


def copy_model(model: M) -> M:
    """Return a deep copy of a network, of whatever it keeps as attributes.

    Tensors that a gradient flows to are copied without it. What can not be copied (a lock, a generator, a Python
    module) is the same object in both.

    Raises
    ------
    ValueError
        If the network can not be copied for another reason.
    """
    try:
        return copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - whatever attributes raise when they are copied
        memo: dict[int, Any] = {}
    seen: set[int] = set()
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in ("_modules", "_parameters"):
                _prepare(value, memo, seen)
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise ValueError(f"the model can not be copied: {error}") from error


def _prepare(value: Any, memo: dict[int, Any], seen: set[int]) -> None:
    """Note for deepcopy what stands for a value, or for what it holds, that can not be copied."""
    if isinstance(value, nn.Module) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        if not value.is_leaf:
            memo[id(value)] = value.detach().clone()
    elif isinstance(value, Mapping):
        for item in value.values():
            _prepare(item, memo, seen)
    elif isinstance(value, list | tuple | set):
        for item in value:
            _prepare(item, memo, seen)
    else:
        try:
            copy.deepcopy(value)
        except Exception:  # noqa: BLE001 - as above
            memo[id(value)] = value
