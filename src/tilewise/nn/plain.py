"""A user's model as one that layers can be replaced in: unwrapped, copied, its weights plain parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from tilewise.common.modules import copy_model


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model within ``DataParallel``, ``DistributedDataParallel`` or what ``torch.compile`` gives.

    Raises
    ------
    ValueError
        If the model, or a part of it, is a TorchScript program.
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif type(model).__name__ == "OptimizedModule":  # torch._dynamo's: importing it takes a second
            model = model._orig_mod  # type: ignore[assignment]  # noqa: SLF001
        else:
            break
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            what = f"module {name!r} is" if name else "the model is"
            raise ValueError(f"{what} a TorchScript program; allowed: the torch.nn.Module that it was made from")  # noqa: TRY004
    return model


@torch.no_grad()
def plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy of an unwrapped model whose weights are parameters, not computed at every call.

    Weight norm, spectral norm, pruning and other parametrizations are carried out once, as they would be in
    evaluation.
    """
    copied = copy_model(model)
    modes = {module: module.training for module in copied.modules()}
    copied.eval()
    for module in list(copied.modules()):
        _bake(module)
    for module in copied.modules():
        module.training = modes[module]
    return copied


def _bake(module: nn.Module) -> None:
    """Turn computed weights of one module into parameters, in place."""
    if parametrize.is_parametrized(module):
        assert isinstance(module.parametrizations, nn.ModuleDict)
        values = {name: getattr(module, name).detach().clone() for name in module.parametrizations}
        del module.parametrizations
        # Torch's own removal would change the class, which the model that was copied has too.
        module.__class__ = type(module).__bases__[0]
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))
    for hook in list(module._forward_pre_hooks.values()):  # noqa: SLF001 - where torch's own utilities keep them
        if isinstance(hook, WeightNorm):
            remove_weight_norm(module, hook.name)
        elif isinstance(hook, SpectralNorm):
            remove_spectral_norm(module, hook.name)
        elif isinstance(hook, prune.BasePruningMethod):
            prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]  # noqa: SLF001
