"""Compiled networks from files and from the Hugging Face hub."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tilewise.common.limits import check_threads
from tilewise.engine.engine import DEFAULT_BATCH, Engine, read_file

HUB = "hf://"
HUB_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w.-]+))?/([^@]+)")
"""Owner and name, a revision if need be, and the file."""


def load(path: str | Path, *, threads: int = 1, batch: int = DEFAULT_BATCH, sha256: str | None = None) -> Engine:
    """Load a compiled network. Needs numpy only, not torch.

    Parameters
    ----------
    path : path
        A file of :meth:`Engine.save`; or ``hf://owner/name/file`` or ``hf://owner/name@revision/file``, which
        huggingface_hub downloads once and keeps (``pip install 'tilewise[hub]'``).
    threads : int
        How many to run with; 0 for as many as this process may use.
    batch : int
        Images that go through at once, at most.
    sha256 : str, optional
        Digest that the file must have, in hexadecimal: another file is refused.

    Returns
    -------
    Engine
        Ready to be called.

    Raises
    ------
    FileNotFoundError
        If there is no such file, here or on the hub.
    ImportError
        If the file is on the hub, and huggingface_hub is not installed.
    ValueError
        If the file is damaged, of another version, no compiled network or not the expected one; or ``threads`` is out
        of range.

    Examples
    --------
    >>> engine = tilewise.load("resnet20.tilewise", threads=2)
    >>> logits = engine(images)
    """
    check_threads(threads)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256 is {sha256!r}; allowed: 64 hexadecimal digits")
    file = from_hub(str(path)) if str(path).startswith(HUB) else Path(path)
    content = read_file(file)
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256.lower():
        raise ValueError(f"{path}: sha256 is {found}; allowed: {sha256.lower()}")
    return Engine(content, threads=threads, batch=batch, origin=file)


def from_hub(name: str) -> Path:
    """Return where the file of an ``hf://`` name lies here, downloaded if it was not.

    Raises
    ------
    ValueError, FileNotFoundError, ImportError
        If the name is none; nothing is there, or the hub can not be reached; or its client is not installed.
    """
    if not (parts := HUB_NAME.fullmatch(name)):
        raise ValueError(f"path is {name!r}; allowed: hf://owner/name/file, hf://owner/name@revision/file")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ImportError(f"{name} needs huggingface_hub: pip install 'tilewise[hub]'") from error
    repository, revision, file = parts.groups()
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # of its own kinds, and those of its HTTP client
        raise FileNotFoundError(f"{name} could not be had from the hub ({type(error).__name__}: {error})") from error
