"""The ``.tilewise`` file: one safetensors file, the plan as JSON in its header, a checksum over both."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from tilewise.common.files import write_whole
from tilewise.engine.plan import VERSION, Plan

_PLAN, _CHECKSUM = "tilewise_plan", "tilewise_checksum"


def save_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan to one file.

    Parameters
    ----------
    plan : Plan
        What :func:`tilewise.compile` made.
    path : path
        Such as ``"resnet20.tilewise"``.
    """
    path = Path(path)
    description = {f.name: getattr(plan, f.name) for f in fields(plan) if f.name != "arrays"}
    text = json.dumps(description, allow_nan=False)
    content = to_bytes(plan.arrays, metadata={_PLAN: text, _CHECKSUM: _checksum(text, plan.arrays)})
    write_whole(path, content)


def load_plan(path: str | Path) -> Plan:
    """Read a plan. Nothing in the file is run, and everything is checked.

    Parameters
    ----------
    path : path
        A file of :func:`save_plan`.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the file is damaged, of a later version, or no plan.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no compiled network at {path}")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error
    if _PLAN not in metadata:
        raise ValueError(f"{path} is no compiled network: it holds no plan")
    text = metadata[_PLAN]
    try:
        description = _parse(text)
        if metadata.get(_CHECKSUM) != _checksum(text, arrays):
            raise ValueError("its content does not match its checksum; the file is damaged")  # noqa: TRY301
        return Plan(**description, arrays=arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parse(text: str) -> dict[str, Any]:
    """Read the plan's JSON, the version first: a later one may look different."""
    try:
        description = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its plan is not JSON: {error}") from error
    version = description.get("version") if isinstance(description, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise ValueError(f"its plan is of version {version}; this release reads version {VERSION}: update tilewise")
    names = {f.name for f in fields(Plan)} - {"arrays"}
    if not isinstance(description, dict) or set(description) != names:
        raise ValueError(f"its plan does not have the fields {', '.join(sorted(names))}")
    result: dict[str, Any] = {name: _tuples(value) for name, value in description.items()}
    return result


def _tuples(value: Any) -> Any:
    """Lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _checksum(text: str, arrays: dict[str, NDArray[Any]]) -> str:
    """CRC-32 of the plan's text, and of names, types, shapes and bytes of all arrays: finds damage, not malice."""
    total = zlib.crc32(text.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total = zlib.crc32(f"{name} {values.dtype} {values.shape}".encode(), total)
        total = zlib.crc32(values.reshape(-1).view(np.uint8).data, total)
    return f"{total:08x}"
