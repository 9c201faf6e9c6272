"""Replacing modules of a network, in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

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
