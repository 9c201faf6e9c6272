"""The folder of a run: what the run is, its last checkpoint, and files that follow from that checkpoint."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.common.files import read_bytes, read_json, write_json, write_whole
from tilewise.common.places import sole_use
from tilewise.common.processes import Processes
from tilewise.train import checkpoint

IDENTITY = "run.json"
"""What the run is, written before it starts: settings, layers, data, weights."""
LAST = "last.safetensors"
"""The checkpoint that a run continues from. It holds all that the run came to; other files are made from it."""
LOG = "log.jsonl"
"""An entry for each epoch."""
LONGEST = 100
"""Characters of a value in an error."""

Found = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and description of a checkpoint."""


@contextlib.contextmanager
def alone_in(folder: str | Path | None, processes: Processes) -> Iterator[None]:
    """Keep the folder of a run, if it has one, to the processes of this run."""
    with contextlib.nullcontext() if folder is None or not processes.first else sole_use(Path(folder)):
        yield


def open_run(folder: Path, identity: Mapping[str, Any], *, resume: bool) -> Found | None:
    """Return the last checkpoint of the run in a folder; None if it holds no epoch yet, and then start it.

    Parameters
    ----------
    folder : Path
        Made if need be.
    identity : mapping
        All that two runs must share for one to be the continuation of the other, in JSON's types.
    resume : bool
        Continue a run that has a checkpoint, or refuse to touch it.

    Raises
    ------
    ValueError
        If the folder holds a run that is not to be resumed, or another one than ``identity`` says.
    """
    started, last = folder / IDENTITY, folder / LAST
    if last.exists() and not resume:
        raise ValueError(f"{folder} already holds a run; resume it, or choose another folder")
    if last.exists() and not started.exists():
        raise ValueError(f"{folder} has a checkpoint but no {IDENTITY}, which says of what run; choose another folder")
    now = json.loads(json.dumps(identity))
    if resume and started.exists():
        if found := difference(_read(started), now):
            name, was, value = found
            raise ValueError(f"the run in {folder} has {name} = {was}, not {value}; resume it with the same")
    else:
        write_json(started, now)
    return _checkpoint(last) if last.exists() else None


def write_log(folder: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write the log, an entry a line."""
    write_whole(folder / LOG, "".join(json.dumps(entry) + "\n" for entry in entries).encode())


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the log's entries."""
    return [json.loads(line) for line in read_bytes(folder / LOG).splitlines()]


def digest(tensors: Iterable[Tensor]) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of types, shapes and values."""
    total = hashlib.sha256()
    for tensor in tensors:
        values = tensor.detach().cpu().contiguous()
        total.update(f"{values.dtype} {tuple(values.shape)}".encode())
        total.update(values.flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


def start_of(folder: str | Path | None, model: nn.Module) -> str:
    """Return the digest of the parameters that a run starts from.

    They are those of the model; but a model that has just been trained has the last checkpoint's, and goes on as what
    that run began with.
    """
    now = digest(model.parameters())
    if folder is None or not all((Path(folder) / name).exists() for name in (LAST, IDENTITY)):
        return now
    tensors, began = checkpoint.read(Path(folder) / LAST)[0], _read(Path(folder) / IDENTITY).get("start")
    names = [name for name, _ in model.named_parameters()]
    if isinstance(began, str) and tensors.keys() >= set(names) and digest(tensors[name] for name in names) == now:
        return began
    return now


def identity_of(batches: Any) -> Any:
    """Return what batches say that they are, such as size, order and data; their number if they do not say it."""
    if hasattr(batches, "identity"):
        return batches.identity()
    return {"batches": len(batches)} if hasattr(batches, "__len__") else None


def difference(was: Any, now: Any, name: str = "") -> tuple[str, str, str] | None:
    """Return the name of the first thing that two runs do not share, its old and its new value; None if all is equal.

    Parameters
    ----------
    was, now : JSON values
        Of the two runs.
    name : str
        Where in the runs they stand.
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*now, *(key for key in was if key not in now)]:
            if found := difference(was.get(key), now.get(key), f"{name}.{key}" if name else key):
                return found
        return None
    return None if was == now else (name, _short(was), _short(now))


def _checkpoint(path: Path) -> Found:
    """Read a run's last checkpoint; refuse one without the log of its epochs."""
    tensors, description = checkpoint.read(path)
    log = description.get("log")
    if not isinstance(log, list) or not log or not all(isinstance(entry, dict) for entry in log):
        raise ValueError(f"{path} is no checkpoint of a run: its log is {_short(log)}")
    return tensors, description


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is {content!r}; it must say what the run is")  # noqa: TRY004 - a file's content
    return content


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
