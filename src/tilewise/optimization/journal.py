"""What an optimization has found so far, in a folder: each step is written whole, and made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tilewise.common.files import write_json
from tilewise.train.runs import IDENTITY, difference


class Journal:
    """Steps by name, each a JSON value; a killed run goes on after the last whole one.

    Parameters
    ----------
    folder : Path
        Made if need be.
    identity : mapping
        What two runs must share for one to go on with what the other found, in JSON's types.

    Raises
    ------
    ValueError
        If the folder holds another run.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        now = json.loads(json.dumps(identity))
        started = folder / IDENTITY
        if started.exists():
            try:
                was = json.loads(started.read_bytes())
            except ValueError as error:
                raise ValueError(f"{started} is not JSON: {error}") from error
            if found := difference(was, now):
                name, old, new = found
                raise ValueError(f"the run in {folder} has {name} = {old}, not {new}; choose another folder")
        else:
            write_json(started, now)

    def step(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what a step found, now or in a run before."""
        path = self.path(f"{name}.json")
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_bytes())
            return found
        found = make()
        write_json(path, found)
        return found

    def forget(self, name: str) -> None:
        """Let a step be made anew by the next run."""
        self.path(f"{name}.json").unlink()

    def path(self, file: str) -> Path:
        """Return where a file of a step lies."""
        return self.folder / "steps" / file
