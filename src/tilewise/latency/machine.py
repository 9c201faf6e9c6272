"""What a latency holds for: processor, kernel set, threads."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine as far as latencies compare.

    Parameters
    ----------
    cpu : str
        The processor's name.
    isa : str
        Kernel set (``tilewise info``).
    threads : int
        How many the engine runs with.
    """

    cpu: str
    isa: str
    threads: int

    def __str__(self) -> str:
        """Name it in one line."""
        return f"{self.cpu}, {self.isa}, threads: {self.threads}"

    @classmethod
    def here(cls, threads: int) -> Machine:
        """Name the machine that this process runs on, with the kernel set that engines get."""
        return cls(cpu=cpu_name(), isa=kernel_set(), threads=threads)


def cpu_name() -> str:
    """Name the processor; the architecture where the system tells no more."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return (names or [platform.machine()])[0]


def kernel_set() -> str:
    """Name the kernel set that engines get: the one forced by ``TILEWISE_ISA``, or the best one."""
    from tilewise import _native

    best = next(str(entry["name"]) for entry in _native.kernel_sets() if entry["supported"])
    return os.environ.get("TILEWISE_ISA") or best
