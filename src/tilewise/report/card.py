"""The model card of an optimization, for a hub: Markdown that says what was measured, and leaves the rest to you."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tilewise.common.files import write_whole
from tilewise.report.page import METRICS, drop_text, read_summary

CARD, TEMPLATE, MODEL = "card.md", "card.md.j2", "model.tilewise"


def write_card(folder: Path) -> Path:
    """Make the card of an optimization's folder, and return its path; on the hub it is called README.md.

    Raises
    ------
    FileNotFoundError
        If the folder holds no ``summary.json`` or no network, because none kept the budget.
    ValueError
        If the former is not the summary of an optimization.
    RuntimeError
        If Jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise RuntimeError("cards need Jinja2: pip install 'tilewise[train]'") from error
    summary = read_summary(folder)
    model = folder / MODEL
    if summary["result"] is None or not model.is_file():
        raise FileNotFoundError(f"there is no {model}: no network kept the budget, so there is none to describe")
    template = Environment(
        loader=PackageLoader("tilewise", "report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, autoescape=False,  # noqa: S701 - Markdown, not HTML
    ).get_template(TEMPLATE)  # fmt: skip
    text = template.render(
        summary=summary, shown=summary["result"], judged=summary["judged"], rivals=_rivals(summary), metrics=METRICS,
        drop=drop_text, sha256=hashlib.sha256(model.read_bytes()).hexdigest(),
    )  # fmt: skip
    write_whole(folder / CARD, text.encode())
    return folder / CARD


def _rivals(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Return whom the network is compared with."""
    return [{"name": "direct int8", **{k: v for k, v in summary["direct"].items() if k != "name"}}, *summary["others"]]
