"""Progress bars on the error stream, so that results on the output stream stay clean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")


def bar(*, enabled: bool) -> Progress:
    """Make a progress display; it writes nothing where the error stream is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=console, transient=True, disable=not (enabled and console.is_terminal))


def track(items: Iterable[T], description: str, *, enabled: bool) -> Iterator[T]:
    """Iterate with a progress bar."""
    with bar(enabled=enabled) as display:
        total = len(items) if isinstance(items, Sized) else None
        yield from display.track(items, description=description, total=total)
