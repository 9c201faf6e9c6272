"""wiNAS: search each layer's algorithm and bit width for accuracy at a measured latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise.winas.architecture import Architecture
    from tilewise.winas.config import WA_Q, SearchConfig
    from tilewise.winas.loop import pareto, search
    from tilewise.winas.prices import Latencies

__all__ = ["WA_Q", "Architecture", "Latencies", "SearchConfig", "pareto", "search"]

__getattr__ = loader(
    __name__,
    {
        "Architecture": "architecture",
        "SearchConfig": "config",
        "WA_Q": "config",
        "pareto": "loop",
        "search": "loop",
        "Latencies": "prices",
    },
)
