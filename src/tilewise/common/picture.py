"""Pictures as whole files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from tilewise.common.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_picture(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure as PNG; at every moment the file is the old or the new one, whole.

    Raises
    ------
    ValueError
        If there is something else than a PNG picture.
    """
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    write_whole(path, content.getvalue())
