"""The file of results: one unit per case, data type, batch, threads and launch; an interrupted run continues in it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple


class Numbers(NamedTuple):
    """A data type.

    Parameters
    ----------
    bytes : int
        Of one number.
    peak : str or None
        Name of the operations per second among the measured peaks; None if they are not measured.
    layer, network : pair of float
        Largest relative error (root mean square) with which a result counts, of direct and of fast algorithms.
    """

    bytes: int
    peak: str | None
    layer: tuple[float, float]
    network: tuple[float, float]


# 8-bit direct layers have errors of 0.01 to 0.02, the Winograd kernels of oneDNN 0.04, F4 of ours 0.07; networks add up
# what their layers lose.
DTYPES = {
    "fp32": Numbers(4, "float_operations", (1e-3, 1e-3), (1e-3, 1e-3)),
    "int8": Numbers(1, "int8_operations", (0.03, 0.15), (0.15, 0.3)),
    "bf16": Numbers(2, None, (0.01, 0.05), (0.05, 0.15)),
    "int16": Numbers(2, None, (5e-3, 0.02), (0.02, 0.05)),
}


@dataclass
class Contender:
    """One variant of one peer in one unit.

    Parameters
    ----------
    peer, variant : str
        Which one.
    fast : bool
        Whether it may compute by a fast algorithm.
    error : float, optional
        Relative error of its output; None if it could not be built.
    note : str
        What it says that it does, or why it is missing.
    call, node : list of float
        Seconds per round: of the call, and of the convolution alone where the peer tells.
    """

    peer: str
    variant: str
    fast: bool = False
    error: float | None = None
    note: str = ""
    call: list[float] = field(default_factory=list)
    node: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Peer and variant in one."""
        return self.peer if self.variant == "default" else f"{self.peer} {self.variant}"

    @property
    def seconds(self) -> list[float]:
        """The convolution's own seconds per round where the peer tells them and they are less, else the call's."""
        if not self.node:
            return self.call
        return [min(pair) for pair in zip(self.call, self.node, strict=True)]


@dataclass
class Unit:
    """Contenders that took turns.

    Parameters
    ----------
    kind : {"layer", "network"}
        What the case is.
    case, dtype, batch, threads, launch
        Its key.
    operations, bytes : int
        Of direct convolution; bytes are those of a layer's input, output and weights.
    peaks : dict of str to float
        Of the threads, measured beside it.
    contenders : list of Contender
        Those that were tried.
    """

    kind: str
    case: str
    dtype: str
    batch: int
    threads: int
    launch: int
    operations: int
    bytes: int
    peaks: dict[str, float] = field(default_factory=dict)
    contenders: list[Contender] = field(default_factory=list)

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it this unit."""
        return (self.case, self.dtype, self.batch, self.threads, self.launch)

    def counts(self, contender: Contender) -> bool:
        """Whether a contender was measured and is right."""
        numbers = DTYPES[self.dtype]
        limit = (numbers.layer if self.kind == "layer" else numbers.network)[contender.fast]
        return bool(contender.call) and contender.error is not None and contender.error < limit


class Results:
    """Units in a file, written after each one.

    Parameters
    ----------
    path : path
        A JSON file; it is read if it exists.
    about : dict
        Machine, versions and settings; units of others do not belong into the same file.

    Raises
    ------
    ValueError
        If the file was written under other settings.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self.units: list[Unit] = []
        if path.exists():
            self.units, before = read(path)
            for name in {*before, *about}:
                if before.get(name) != about.get(name):
                    raise ValueError(
                        f"{path} was measured with {name} {before.get(name)}, now it is {about.get(name)}; "
                        "give another --json"
                    )

    def __contains__(self, key: tuple[Any, ...]) -> bool:
        return any(unit.key == key for unit in self.units)

    def add(self, unit: Unit) -> None:
        """Append a unit, to the file too."""
        self.units.append(unit)
        text = json.dumps({"about": self.about, "units": [asdict(u) for u in self.units]}, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text(text + "\n")
        fresh.replace(self.path)


def read(path: Path) -> tuple[list[Unit], dict[str, Any]]:
    """Return the units of a file, and what they are about."""
    data = json.loads(path.read_text())
    units = [Unit(**{**u, "contenders": [Contender(**c) for c in u["contenders"]]}) for u in data["units"]]
    return units, data["about"]


def merged(units: list[Unit]) -> list[Unit]:
    """Put the launches of a unit together: rounds one after the other, peaks by median.

    A contender that failed in any launch is out: its rounds would not be those of the others.
    """
    groups: dict[tuple[Any, ...], list[Unit]] = {}
    for unit in units:
        groups.setdefault(unit.key[:-1], []).append(unit)
    return [_joined(group) for group in groups.values()]


def _joined(group: list[Unit]) -> Unit:
    contenders = []
    for first in group[0].contenders:
        same = [c for unit in group for c in unit.contenders if c.name == first.name]
        broken = next((c for c in same if not c.call), None)
        contender = replace(first, note=(broken or first).note, call=[], node=[])
        if broken is None and len(same) == len(group):
            contender.error = max(c.error for c in same if c.error is not None)
            contender.call = list(chain.from_iterable(c.call for c in same))
            contender.node = list(chain.from_iterable(c.node for c in same))
        contenders.append(contender)
    peaks = {name: statistics.median(unit.peaks[name] for unit in group) for name in group[0].peaks}
    return Unit(**{**vars(group[0]), "launch": 0, "peaks": peaks, "contenders": contenders})
