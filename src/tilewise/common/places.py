"""Places for results: looked at before the work begins, and in the hands of one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from tilewise.common.files import Kind, check_replaceable

Place: TypeAlias = Kind | Literal["folder"]
"""What a place shall hold."""


def check_place(path: Path, place: Place) -> None:
    """Refuse a place where results could not be written, before hours of work are lost there.

    Parameters
    ----------
    path : Path
        Need not be there yet, nor its folder.
    place : Place
        What is going to be written.

    Raises
    ------
    ValueError
        If something else is there already, or another process works in the folder.
    OSError
        If the nearest folder that is there can not be written to; named.
    """
    path = path.resolve()
    if place != "folder":
        check_replaceable(path, place)
    elif path.is_dir():
        with sole_use(path):
            pass
    nearest = path if place == "folder" else path.parent
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise NotADirectoryError(f"{nearest} is no folder; {path} can not be written")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {path} can not be written", str(nearest)) from error


@contextlib.contextmanager
def sole_use(place: Path) -> Iterator[None]:
    """Keep a folder, or a file that is written piece by piece, to this process until the block ends or it is killed.

    Parameters
    ----------
    place : Path
        A file that is there, or a folder, which is made if need be, and taken away if it is empty at the end.

    Raises
    ------
    ValueError
        If another process, or another thread of this one, has it; named.
    """
    made = not place.exists()
    if made:
        place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            user = _user_of(descriptor)
            raise ValueError(f"{place} is in use by {user}; wait until that has ended, or choose another") from error
        except OSError:  # the file system knows no locks, as some of the network
            pass
        yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                place.rmdir()
        os.close(descriptor)


def _user_of(descriptor: int) -> str:
    """Name the process that has locked an open file: the kernel's list says it on Linux."""
    inode = os.fstat(descriptor).st_ino
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, _, _, process, where, *_ = line.split()
            if kind == "FLOCK" and int(where.rpartition(":")[2]) == inode:
                return f"process {process}"
    return "another process"
