"""Files that are whole at every moment, whatever is killed and however many write them at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["Tilewise file", "JSON file", "PNG picture", "file of another kind"]
"""What a file is by its first bytes: a network or weights of this package, ..."""
BEGINNINGS: tuple[tuple[Kind, str], ...] = (
    ("Tilewise file", r".{8}\{\s*\"__metadata__\"\s*:\s*\{\s*\"tilewise"),
    ("JSON file", r"\s*[\[{]"),
    ("PNG picture", r"\x89PNG\r\n"),
)
LONGEST_BEGINNING = 128
LARGEST_DESCRIPTION = 2**26
"""Bytes of a file that describes something: settings, results, specs, an algorithm."""
NEW_FILE = 0o666
"""Mode of new files, less what the umask takes."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that at every moment ``path`` is either the old or the new one, whole.

    The content is on the disk when this returns. Threads and processes may write and read one path at once: the last
    writer wins. A kill may leave a hidden temporary file beside it, which the next write of ``path`` removes.

    Parameters
    ----------
    path : Path
        Its folder is made if need be. A file that is there already keeps its mode; a link keeps pointing to its file.
    content : bytes
        All of the file.

    Raises
    ------
    ValueError
        If something other than a file is there, such as a device, or a file of another kind: not one of ours.
    OSError
        If the disk or the folder refuses, naming it; ``path`` is as it was.
    """
    path = path.resolve()
    check_replaceable(path, kind_of(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        _replace(path, content)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk names no file


def _replace(path: Path, content: bytes) -> None:
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    _remove_leftovers(path)
    with _temporary_beside(path, NEW_FILE if mode is None else mode) as (temporary, descriptor):
        if mode is not None:
            os.fchmod(descriptor, mode)  # the umask took bits when it was made
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        temporary.replace(path)
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write a value as readable JSON by :func:`write_whole`."""
    write_whole(path, (json.dumps(value, indent=1) + "\n").encode())


def read_bytes(path: str | Path, limit: int = LARGEST_DESCRIPTION) -> bytes:
    """Return what is in a file; refuse what never ends, as pipes and devices may, and more than a number of bytes.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no file, or larger.
    """
    with open(path, "rb", opener=_opened_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no file")
        content = file.read(min(limit, status.st_size) + 1)
    if len(content) > limit:
        raise ValueError(f"{path} has {status.st_size} bytes; allowed: up to {limit}")
    return content


def read_json(path: str | Path) -> Any:
    """Return the value of a JSON file.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`read_bytes`; also if it is not JSON, or nested too deeply.
    """
    content = read_bytes(path)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _opened_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # opening a pipe would wait for a writer


def file_digest(path: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def kind_of(content: bytes) -> Kind:
    """Tell what a file is by its first bytes."""
    beginning = content[:LONGEST_BEGINNING]
    found = (kind for kind, form in BEGINNINGS if re.match(form.encode(), beginning, re.DOTALL))
    return next(found, "file of another kind")


def check_replaceable(path: Path, kind: Kind) -> None:
    """Refuse to write a file over something else than one of its kind, or an empty file.

    Raises
    ------
    ValueError
        Naming what is there.
    """
    if not path.exists():
        return
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} is no file, and writing would replace it; name another")
    with path.open("rb") as file:
        found = kind_of(file.read(LONGEST_BEGINNING))
    if status.st_size and found != kind:
        raise ValueError(f"{path} is a {found} already, and a {kind} would replace it; name another")


@contextlib.contextmanager
def _temporary_beside(path: Path, mode: int) -> Iterator[tuple[Path, int]]:
    """Make a file of a unique name, locked while in use: by its lock others tell it from a leftover."""
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        try:
            if _locked(descriptor, wait=True) and os.fstat(descriptor).st_nlink == 0:
                continue  # another writer took it for a leftover before it was locked
            try:
                yield temporary, descriptor
            finally:
                temporary.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of writers of ``path`` that were killed: those that nobody has locked."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}\.tmp")
    for found in [entry.path for entry in os.scandir(path.parent) if name.fullmatch(entry.name)]:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            descriptor = os.open(found, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                if _locked(descriptor, wait=False):
                    Path(found).unlink()
            finally:
                os.close(descriptor)


def _locked(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file until it is closed; return False where another has it, or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, or a new file may be gone after a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
