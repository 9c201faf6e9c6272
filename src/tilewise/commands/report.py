"""The command that makes an optimization's page again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from tilewise.commands.options import Common


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make report.html of a folder that `tilewise optimize` wrote."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Its --out."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Make the page."""
        from tilewise.report.page import write_page

        path = write_page(self.folder)
        print(f"wrote {path}")
        return {"page": str(path)}
