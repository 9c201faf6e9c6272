"""Options that name what a command writes: looked at before it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeAlias, get_args, get_type_hints

from tilewise.common.places import Place, check_place


@dataclasses.dataclass(frozen=True)
class Output:
    """Marks an option as the place of results."""

    place: Place


Folder: TypeAlias = Annotated[Path, Output("folder")]
TilewiseFile: TypeAlias = Annotated[Path, Output("Tilewise file")]
JsonFile: TypeAlias = Annotated[Path, Output("JSON file")]
Picture: TypeAlias = Annotated[Path, Output("PNG picture")]


def check_outputs(command: Any) -> None:
    """Refuse a command whose results could not be written, or would replace what is none.

    Raises
    ------
    ValueError, OSError
        As :func:`tilewise.common.places.check_place`.
    """
    for path, output in _outputs(command):
        check_place(path, output.place)


def _outputs(command: Any) -> Iterator[tuple[Path, Output]]:
    hints = get_type_hints(type(command), include_extras=True)
    for option in dataclasses.fields(command):
        value = getattr(command, option.name)
        if dataclasses.is_dataclass(value):
            yield from _outputs(value)
        elif isinstance(value, Path):
            yield from ((value, mark) for mark in _marks(hints[option.name]) if isinstance(mark, Output))


def _marks(hint: Any) -> Iterator[Any]:
    """Go through what an annotation holds, such as ``Picture | None``."""
    for part in get_args(hint):
        yield part
        yield from _marks(part)
