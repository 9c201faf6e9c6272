"""How better algorithms are found: one simulated layer to score them, and searches of points, scalings and bases."""

from __future__ import annotations
