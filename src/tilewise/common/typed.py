"""Dataclasses that were filled from files: whether their fields have the types that they are declared with."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_types(value: Any) -> None:
    """Refuse a dataclass with a field of another type than it is declared with, in dataclasses within it too.

    Parameters
    ----------
    value : dataclass
        Of numbers, texts, literals, tuples, dicts, unions and such dataclasses. Truth values are no numbers.

    Raises
    ------
    ValueError
        Naming the field and what it is.
    """
    for name, hint in get_type_hints(type(value)).items():
        found = getattr(value, name)
        if not fits(found, hint):
            raise ValueError(f"{name} is {str(found)[:100]!r}; allowed: {_named(hint)}")
        if dataclasses.is_dataclass(found):
            check_types(found)


def fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is of a type."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if kind in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    right = isinstance(value, kind or hint)
    if right and kind is dict:
        return all(fits(k, parts[0]) and fits(v, parts[1]) for k, v in value.items())
    if right and kind is tuple:
        wanted = (parts[0],) * len(value) if parts[1:] == (...,) else parts
        return len(value) == len(wanted) and all(map(fits, value, wanted))
    return right


def _named(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
