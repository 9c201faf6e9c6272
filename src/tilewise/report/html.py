"""What pages share: templates, and pictures in the page's own colours."""

from __future__ import annotations

import io
import re
from typing import Any

TEXT = "#010203"
"""Stands in pictures for the page's colour of text, which follows the reader's choice of light or dark."""


def render(template: str, **values: Any) -> str:
    """Return a page made from a template of this folder.

    Raises
    ------
    RuntimeError
        If Jinja2 is missing.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise RuntimeError("pages need Jinja2: pip install 'tilewise[train]'") from error
    environment = Environment(
        loader=PackageLoader("tilewise", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(**values)


def svg(figure: Any, name: str) -> str:
    """Return a figure as SVG whose text is text, in the page's colour, and whose parts are called as no other's."""
    import matplotlib as mpl

    for axes in figure.axes:
        axes.patch.set_alpha(0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(TEXT)
        axes.tick_params(colors=TEXT, which="both")
        axes.xaxis.label.set_color(TEXT)
        axes.yaxis.label.set_color(TEXT)
    figure.patch.set_alpha(0)
    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tilewise", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    text = text[text.index("<svg") :].replace(TEXT, "currentColor")
    return re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
