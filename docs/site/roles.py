"""Sphinx's roles in docstrings, such as ``:func:`convert```, as plain code in the Python reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites roles, and double backticks, in every docstring that the reference shows."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value).replace("``", "`")
