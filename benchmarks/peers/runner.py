"""What a peer has to give: its variants, and one of them built for a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from peers.net import Floats, Sample

Clock: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Variant:
    """One setting of a peer.

    Parameters
    ----------
    name : str
        Within the peer and data type.
    dtype : str
        What it multiplies, one of ``results.DTYPES``.
    fast : bool
        Whether it may compute convolutions by a fast algorithm.
    layers, networks : bool
        What it serves.
    """

    name: str
    dtype: str
    fast: bool = False
    layers: bool = True
    networks: bool = True


@dataclass(frozen=True)
class Runner:
    """A network ready to run.

    Parameters
    ----------
    call : callable
        Runs it once, on the same input each time.
    output : callable
        Gives the last result in float32, (N, K, H, W) or (N, classes).
    node : callable, optional
        Runs it a number of times and gives the median seconds of the convolution alone, as the peer itself reports.
    note : str
        What it says that it does.
    """

    call: Callable[[], object]
    output: Callable[[], Floats]
    node: Clock | None = None
    note: str = ""


class Peer(Protocol):
    """A module of this package that adapts one library; it imports the library where it is used only."""

    VARIANTS: tuple[Variant, ...]
    FORCED_BY: str
    """What makes it stay with older instructions: an environment variable's name, empty if nothing does."""

    def version(self) -> str:
        """Return the library's version; ImportError if it is not there."""

    def build(self, variant: Variant, sample: Sample, threads: int) -> Runner:
        """Build a variant; any exception says that the peer does not serve the case."""


class Slot:
    """Holds a call's last result."""

    value: Any = None
