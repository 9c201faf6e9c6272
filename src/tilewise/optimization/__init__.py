"""A network made as fast as this machine can, within a loss that the user allows: one search over all promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise.optimization.config import OptimizeConfig
    from tilewise.optimization.outcome import Optimized
    from tilewise.optimization.run import optimize

__all__ = ["OptimizeConfig", "Optimized", "optimize"]

__getattr__ = loader(__name__, {"OptimizeConfig": "config", "Optimized": "outcome", "optimize": "run"})
