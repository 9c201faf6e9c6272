"""Tilewise against other inference libraries: the same layers and networks, in turns, results checked."""

from __future__ import annotations
