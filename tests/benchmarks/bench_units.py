"""Units with round numbers."""

from __future__ import annotations

from typing import Any

from peers.cases import LAYERS
from peers.results import Contender, Unit

ABOUT: dict[str, Any] = {
    "machine": "a machine", "isa": "", "versions": {"tilewise": "1"}, "missing": {"ncnn": "it is not there"},
    "rounds": 3, "seconds": 0.05,
}  # fmt: skip
PEAKS = {"int8_operations": 4e11, "float_operations": 1e11, "cache_bytes": 1e11, "memory_bytes": 2e10}


def unit(case: str = "64 ch, 32x32", *, launch: int = 0, ours: float = 1e-3, kind: str = "layer") -> Unit:
    """Ours takes ``ours`` seconds (and twice that per call), a fast peer 2 ms, a direct one 4 ms, a wrong one 1 us."""
    return Unit(
        kind=kind, case=case, dtype="int8", batch=1, threads=1, launch=launch, operations=10**9, bytes=10**6,
        peaks=PEAKS,
        contenders=[
            Contender("tilewise", "F4", True, 0.07, "", [2 * ours] * 3, [ours] * 3 if kind == "layer" else []),
            Contender("onednn", "Winograd", True, 0.04, "", [2e-3] * 3),
            Contender("onednn", "direct", False, 0.01, "", [4e-3] * 3),
            Contender("ncnn", "default", True, 0.5, "", [1e-6] * 3),
            Contender("torch", "x86", note="ValueError: not here"),
        ],
    )  # fmt: skip


def all_layers() -> list[Unit]:
    """Every layer; ours is twice as fast as the best peer, on the smallest map as fast."""
    return [unit(case, ours=2e-3 if layer.size == 4 else 1e-3) for case, layer in LAYERS.items()]
