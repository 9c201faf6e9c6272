"""The command that makes an optimization's page again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from tilewise.commands.options import Common


@dataclass(frozen=True, kw_only=True)
class Report:
    """Make report.html of a folder that `tilewise optimize` wrote, and a model card."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Its --out."""
    card: bool = False
    """Make card.md too, a model card for a hub."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Make the page."""
        from tilewise.report.card import write_card
        from tilewise.report.page import write_page

        paths = {"page": write_page(self.folder)}
        if self.card:
            paths["card"] = write_card(self.folder)
        for path in paths.values():
            print(f"wrote {path}")
        return {name: str(path) for name, path in paths.items()}
