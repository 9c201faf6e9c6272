"""Tables and pictures from results."""

from __future__ import annotations
