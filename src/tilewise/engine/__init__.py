"""The engine: trained model -> program -> file -> native run. Loading and running need no torch."""

from __future__ import annotations

from tilewise.engine.engine import Engine
from tilewise.engine.loading import load
from tilewise.engine.program import Program

__all__ = ["Engine", "Program", "load"]
