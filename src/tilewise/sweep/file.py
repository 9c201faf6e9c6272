"""The file that says which runs a sweep has."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tilewise.common.files import read_bytes, read_json

Value: TypeAlias = str | int | float | bool
Settings: TypeAlias = dict[str, Value]
"""Options of the command by name, without dashes in front: ``{"train-images": 512, "freeze-norms": True}``."""

MAX_RUNS = 10_000
SECTIONS = ("command", "options", "runs", "grid")
RESERVED = ("out", "json", "resume")


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Parameters
    ----------
    name : str
        Of its folder, made from its settings.
    settings : dict
        What it has of its own among the runs.
    options : dict
        All of its options.
    """

    name: str
    settings: Settings
    options: Settings

    def arguments(self) -> list[str]:
        """Return the options as on a command line."""
        words: list[str] = []
        for name, value in self.options.items():
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            else:
                words += [f"--{name}", str(value)]
        return words


@dataclass(frozen=True)
class SweepFile:
    """A command and its runs, no two of which are equal."""

    command: str
    runs: tuple[Run, ...]


def read_sweep(path: Path) -> SweepFile:
    """Read a sweep from a TOML or JSON file.

    ``command`` names the command; ``options`` is what all runs have; ``runs`` is a list of settings, ``grid`` gives
    options a list of values each. There is one run for each of ``runs`` with each combination of the grid.

    Parameters
    ----------
    path : path
        Ending in ``.toml`` or ``.json``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it can not be read, or has an unknown section, a value that is no string, number or truth value, no run at
        all, or a run twice; or names an option that the sweep sets itself.
    """
    content = _read(path)
    if unknown := [name for name in content if name not in SECTIONS]:
        raise ValueError(f"{path}: unknown section {unknown[0]!r}; allowed: {', '.join(SECTIONS)}")
    command = content.get("command")
    if not isinstance(command, str):
        raise ValueError(f"{path}: command is {command!r}; it must be a name, such as train")  # noqa: TRY004 - a file's content
    common = _settings(content.get("options", {}), f"{path}: options")
    runs = _runs(content, path)
    names = Counter(_name(settings) for settings in runs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"{path}: the run {twice[0]} is there {names[twice[0]]} times")
    return SweepFile(command, tuple(Run(_name(s), s, {**common, **s}) for s in runs))


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".toml":
            return tomllib.loads(read_bytes(path).decode())
        if path.suffix == ".json":
            content = read_json(path)
            if isinstance(content, dict):
                return content
            raise ValueError(f"{path} holds a {type(content).__name__} instead of an object")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} can not be read: {error}") from error
    raise ValueError(f"{path} ends in {path.suffix!r}; allowed: .toml, .json")


def _runs(content: dict[str, Any], path: Path) -> list[Settings]:
    listed, grid = content.get("runs", [{}]), content.get("grid", {})
    if not isinstance(listed, list) or not listed:
        raise ValueError(f"{path}: runs is {listed!r}; it must be a list of settings, at least one")
    if not isinstance(grid, dict) or not all(isinstance(v, list) and v for v in grid.values()):
        raise ValueError(f"{path}: grid is {grid!r}; it must give each option a list of values, at least one")
    if "runs" not in content and not grid:
        raise ValueError(f"{path} names no runs: give a grid, or a list of runs")
    if (count := len(listed) * math.prod(map(len, grid.values()))) > MAX_RUNS:
        raise ValueError(f"{path} names {count} runs; allowed: up to {MAX_RUNS}")
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    settings = [_settings(own, f"{path}: runs") for own in listed]
    varied = [_settings(own, f"{path}: grid") for own in combinations]
    if both := {name for own in settings for name in own} & set(varied[0]):
        raise ValueError(f"{path}: {min(both)} is in runs and in grid")
    return [{**own, **more} for own in settings for more in varied]


def _settings(content: Any, where: str) -> Settings:
    """Check options; give their names the form of the command line."""
    if not isinstance(content, dict):
        raise ValueError(f"{where} is {content!r}; it must be options with a value each")  # noqa: TRY004 - a file's content
    for name, value in content.items():
        if not isinstance(value, str | int | float | bool):
            what = f"{where}: {name} is {value!r}"
            raise ValueError(f"{what}; it must be a string, a number, true or false")  # noqa: TRY004
        if name.replace("_", "-") in RESERVED:
            raise ValueError(f"{where}: {name} is set by the sweep for each run")
    return {name.replace("_", "-"): value for name, value in content.items()}


def _name(settings: Settings) -> str:
    """Name a run's folder after its settings."""
    words = (f"{name}={value}" for name, value in sorted(settings.items()))
    return re.sub(r"[^A-Za-z0-9.,_=+-]", "-", ",".join(words)) or "run"
