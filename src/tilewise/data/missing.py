"""The one message for a data set that is not there."""

from __future__ import annotations

from pathlib import Path


def missing(name: str, path: Path | None) -> FileNotFoundError:
    """Make the error: what was looked for, and what to do."""
    looked = "no folder was given" if path is None else f"there is no {path}"
    return FileNotFoundError(
        f"data set {name} is not available: {looked}. Give --data-root (root=) the folder with its original files, or "
        "leave it out with the 'hub' extra installed (pip install 'tilewise[hub]') and the Hugging Face hub in reach"
    )
