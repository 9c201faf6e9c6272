"""What this process may use of its machine: cores by affinity and control group, memory by both."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")


def usable_threads() -> int:
    """Return how many threads make sense: cores that this process may run on, or fewer if its control group has less.

    A quota of 1.5 cores gives 2: more would be stopped in the middle of each period.
    """
    cores = len(os.sched_getaffinity(0))
    for group in _groups("cpu"):
        quota = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
        if len(quota) == 2 and min(quota) > 0:
            cores = min(cores, math.ceil(quota[0] / quota[1]))
    return max(1, cores)


def check_threads(threads: Any) -> int:
    """Return a number of threads, for 0 as many as this process may use; refuse more than it has cores for."""
    cores = len(os.sched_getaffinity(0))
    if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= cores:
        raise ValueError(f"threads is {threads!r}; allowed: 1 to {cores}, the cores that this process may use, or 0")
    return threads or usable_threads()


def usable_memory() -> int:
    """Return how many bytes this process can have: the machine's memory, or less by a limit on it or its group."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    found += [number for number in resource.getrlimit(resource.RLIMIT_AS)[:1] if number != resource.RLIM_INFINITY]
    for group in _groups("memory"):
        found += _numbers(group / "memory.max") or _numbers(group / "memory.limit_in_bytes")
    return min(found)


def check_memory(needed: int, what: str) -> None:
    """Refuse what can not fit into memory, before work on it begins.

    Raises
    ------
    ValueError
        Naming what it is for and both numbers.
    """
    if needed > (usable := usable_memory()):
        raise ValueError(f"{what} take {needed} bytes of memory; this process may use {usable}")


def _groups(controller: str) -> Iterator[Path]:
    """Go through the control groups that this process belongs to, the innermost first; each of them limits it."""
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = GROUPS / controllers if controllers else GROUPS
        place = root / path.lstrip("/")
        yield from (group for group in (place, *place.parents) if group.is_relative_to(root))


def _numbers(*files: Path) -> list[int]:
    """Return the whole numbers in files; none where one is missing or says "max"."""
    try:
        return [int(word) for file in files for word in file.read_text().split()]
    except (OSError, ValueError):
        return []
