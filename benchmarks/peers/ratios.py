"""Figures from rounds: medians, ratios of the same round, means of ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

from peers.registry import OURS
from peers.results import Contender, Unit


class Spread(NamedTuple):
    """Median and quartiles."""

    low: float
    middle: float
    high: float


def spread(values: list[float]) -> Spread:
    """Return median and quartiles; of one value, itself."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def gops(unit: Unit, contender: Contender) -> float:
    """Return 10^9 operations of a direct convolution per second."""
    return unit.operations / statistics.median(contender.seconds) / 1e9


def call_gops(unit: Unit, contender: Contender) -> float:
    """The same by the time of the whole call."""
    return unit.operations / statistics.median(contender.call) / 1e9


def best(unit: Unit, *, ours: bool, direct: bool = False, call: bool = False) -> Contender | None:
    """Return the fastest right one, of ours or of the others; None if there is none.

    Parameters
    ----------
    unit : Unit
        Where to look.
    ours : bool
        On which side.
    direct : bool
        Leave out fast algorithms.
    call : bool
        Compare whole calls.
    """
    found = [
        contender
        for contender in unit.contenders
        if unit.counts(contender) and (contender.peer == OURS) == ours and not (direct and contender.fast)
    ]
    return min(found, key=lambda c: statistics.median(c.call if call else c.seconds), default=None)


def speedup(base: Contender | None, contender: Contender | None, *, call: bool = False) -> Spread | None:
    """Say how many times as fast as ``base``, by times of the same rounds; None if either is."""
    if base is None or contender is None:
        return None
    pairs = zip(base.call, contender.call, strict=True) if call else zip(base.seconds, contender.seconds, strict=True)
    return spread([slow / fast for slow, fast in pairs])


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Mean of ratios; None if one is missing, because a mean over other layers would be another figure."""
    logs = []
    for value in values:
        if value is None:
            return None
        logs.append(math.log(value))
    return math.exp(sum(logs) / len(logs)) if logs else None
