"""The engine: trained model -> plan -> packed file -> native run. Loading and running need no torch."""

from __future__ import annotations

from tilewise.engine.engine import Engine, load
from tilewise.engine.plan import Plan

__all__ = ["Engine", "Plan", "load"]
