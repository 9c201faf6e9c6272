"""Checkpoints: one safetensors file, its JSON description inside, written atomically."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from tilewise.common.files import write_whole
from tilewise.conversion import convert, skips_of, specs_of
from tilewise.nn import QuantizedConv
from tilewise.quant import spec_from_dict
from tilewise.quant.fake import Range

VERSION = 1
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")
"""What the optimizers of all recipes keep of a parameter."""
LONGEST = 100
"""Characters of a value in an error."""
_KEY = "tilewise"


def write(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write a checkpoint so that at every moment ``path`` is either the old or the new file, whole."""
    header = json.dumps({"version": VERSION, **description})
    # Tensors that share memory (tied weights) must be written as copies.
    owned = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    write_whole(path, save(owned, metadata={_KEY: header}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: tensors and description.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is damaged, or was not written by this package.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(_KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            raise MemoryError(f"memory does not suffice to read {path}") from error
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    if header is None:
        return tensors, {}
    try:
        description = json.loads(header)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: its description is not JSON: {error}") from error
    if not isinstance(description, dict) or description.get("version") != VERSION:
        raise ValueError(f"{path}: its description is not of version {VERSION}, which this release reads")
    return tensors, description


def optimizer_tensors(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return an optimizer's state as tensors, their names beginning with the prefix and a dot."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{key}": torch.as_tensor(v) for i, entry in state.items() for key, v in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str, path: Path) -> None:
    """Put back what :func:`optimizer_tensors` gave.

    Raises
    ------
    ValueError
        If it is not there, or not whole, or of other parameters.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(f"{prefix}."):
            number, _, key = name.removeprefix(f"{prefix}.").partition(".")
            state.setdefault(int(number) if number.isdecimal() else -1, {})[key] = tensor
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in state.items():
        shape = parameters[index].shape if 0 <= index < len(parameters) else None
        found = {key: tuple(tensor.shape) for key, tensor in entry.items()}
        if shape is None or found != {key: () if key == "step" else tuple(shape) for key in OPTIMIZER_STATE}:
            raise ValueError(f"{path} does not fit the run: the optimizer's state of parameter {index} is {found}")
        if not all(torch.isfinite(tensor).all() for tensor in entry.values()):
            raise ValueError(f"{path} does not fit the run: the optimizer's state has NaN or infinity")
    if not state:
        raise ValueError(f"{path} lacks the optimizer's state; it is no checkpoint of a run")
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Save a model's weights, ranges and layer specs to one safetensors file.

    Parameters
    ----------
    model : torch.nn.Module
        Converted or not.
    path : path
        Such as ``"resnet20.safetensors"``; an existing file is replaced atomically.
    """
    write(Path(path), model.state_dict(), {"specs": describe_specs(model), "skips": skips_of(model)})


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Load weights into a model, converting its layers as the file says.

    Parameters
    ----------
    model : torch.nn.Module
        The plain (unconverted) model that the weights belong to; it is not changed.
    path : path
        A file of :func:`save_weights` or of a training run; or a torch checkpoint (``.th``, ``.pt``, ``.pth``) with a
        state dict, which is read without running any code that it might carry.

    Returns
    -------
    torch.nn.Module
        A copy of the model with the file's specs, weights and ranges.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or does not fit the model.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix in (".th", ".pt", ".pth"):
        tensors = _read_torch(path)
        description: dict[str, Any] = {}
    else:
        tensors, description = read(path)
    specs, skips = description.get("specs", {}), description.get("skips", "float")
    if not isinstance(specs, dict) or skips not in ("float", "quantized"):
        raise ValueError(f"{path}: its specs are {str(specs)[:LONGEST]}, its skips {str(skips)[:LONGEST]}")
    try:
        converted = {_literal(name): spec_from_dict(spec) for name, spec in specs.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    model = convert(model, converted, skips=skips)
    tensors = {name: t for name, t in tensors.items() if not name.startswith("optimizer.")}
    load_state(model, tensors, path)
    return model


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors into a model, refusing any that are missing, unknown, of another shape or kind, or not finite."""
    tensors = dict(tensors)
    for name, module in model.named_modules():
        if isinstance(module, QuantizedConv) and module.bias is None and f"{name}.bias" in tensors:
            module.bias = nn.Parameter(module.weight.new_zeros(module.out_channels))  # which calibration gave it
        elif isinstance(module, Range):
            module.complete(tensors, f"{name}.")
    wanted = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, QuantizedConv):  # scaled or not as the file has it, whatever the layer is now
            wanted.pop(scale := f"{name}.input_scale", None)
            wanted |= {scale: module.weight.new_ones(module.in_channels)} if scale in tensors else {}
    # Files from before torch counted batches lack these counters, which nothing here reads.
    tensors = {**{n: t for n, t in wanted.items() if n.endswith(".num_batches_tracked")}, **tensors}
    problems = [f"lacks {name}" for name in wanted if name not in tensors]
    problems += [f"has the unknown {name}" for name in tensors if name not in wanted]
    problems += [
        f"has {name} of shape {tuple(t.shape)} instead of {tuple(wanted[name].shape)}"
        for name, t in tensors.items()
        if name in wanted and t.shape != wanted[name].shape
    ]
    problems += [
        f"has {name} of type {t.dtype} instead of {wanted[name].dtype}"
        for name, t in tensors.items()
        if name in wanted and _kind(t) != _kind(wanted[name])
    ]
    problems += [f"has NaN or infinity in {n}" for n, t in tensors.items() if not torch.isfinite(t).all()]
    if problems:
        more = f" and {len(problems) - 3} more problems" if len(problems) > 3 else ""
        raise ValueError(f"{path} does not fit the model: it {'; '.join(problems[:3])}{more}")
    model.load_state_dict(tensors)


def _kind(tensor: Tensor) -> str:
    """Name the kind of a tensor's numbers: floats of all widths may stand for each other."""
    return "float" if tensor.is_floating_point() else str(tensor.dtype)


def describe_specs(model: nn.Module) -> dict[str, Any]:
    """Return the specs by layer name in their JSON form."""
    return {name: spec.to_dict() for name, spec in specs_of(model).items()}


def _is_plain(value: Any) -> bool:
    """Whether a value of a file is a tensor with its numbers in rows: not sparse, not quantized, not without any."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _literal(name: str) -> str:
    """Write a layer name as a pattern that matches it alone."""
    return name.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} is not a readable torch checkpoint of plain tensors: {reason}") from error
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(_is_plain(t) for t in state.values()):
        raise ValueError(f"{path} holds no state dict of plain tensors")
    return {str(name).removeprefix("module."): t for name, t in state.items()}
