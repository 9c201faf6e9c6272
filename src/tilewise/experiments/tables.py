"""What a study's results come to: groups of runs over seeds, their columns, and whether a paper's order holds."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
Groups: TypeAlias = Mapping[str, Sequence[Row]]
"""Runs that differ in their seed only, by the name that they share."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One kind of number that runs give.

    Parameters
    ----------
    title : str
        Above the column.
    key : str
        Where a row holds the number, such as ``"accuracy"``, or ``"milliseconds/F4 int8"`` for one further down.
    unit : str
        Of the number; columns of one unit share a picture.
    digits : int
        After the point.
    """

    title: str
    key: str
    unit: str
    digits: int = 2

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def values(self, rows: Sequence[Row]) -> list[float]:
        """Return what rows hold; a row may lack it, as a layer that an algorithm does not serve."""
        return values(rows, self.key)

    def cell(self, rows: Sequence[Row]) -> str:
        """Return mean and sample deviation; nothing if no row has the number."""
        found = self.values(rows)
        if not found:
            return ""
        spread = f" ± {statistics.stdev(found):.{self.digits}f}" if len(found) > 1 else ""
        return f"{statistics.fmean(found):.{self.digits}f}{spread}"


SEEDS = 3
"""That a comparison of trained networks takes."""
ACCURACY = Column(title="accuracy", key="accuracy", unit="%")
PSNR = Column(title="PSNR", key="psnr", unit="dB")
MIOU = Column(title="mIoU", key="miou", unit="points")


def columns_of(key: str, names: Sequence[str], unit: str, digits: int = 2) -> tuple[Column, ...]:
    """Return a column for each number of a mapping that rows hold under a key."""
    return tuple(Column(title=name, key=f"{key}/{name}", unit=unit, digits=digits) for name in names)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An order of two numbers that a paper reports.

    Parameters
    ----------
    text : str
        The claim, in a sentence.
    source : str
        Who says so, and with what figure.
    more, less : str
        Groups whose number is larger and smaller; a ``*`` stands for the same in both.
    key : str
        Which number.
    less_key : str, optional
        Which number of ``less``, if it is another one.
    seeded : bool
        Whether it takes several seeds to tell.
    """

    text: str
    source: str
    more: str
    less: str
    key: str = "accuracy"
    less_key: str | None = None
    seeded: bool = False

    def verdict(self, groups: Groups) -> str:
        """Say in how many of the comparisons that were made the order holds, and by how much."""
        pairs = [
            (high, low)
            for more, less in self._pairs(groups)
            if (high := values(more, self.key)) and (low := values(less, self.less_key or self.key))
        ]
        if not pairs:
            return "not measured"
        differences = [statistics.fmean(high) - statistics.fmean(low) for high, low in pairs]
        if self.seeded and (fewest := min(len(found) for pair in pairs for found in pair)) < SEEDS:
            return f"open: {differences[0]:+.3g}, over {fewest} of {SEEDS} seeds"
        right = sum(difference > 0 for difference in differences)
        least, most = min(differences), max(differences)
        span = f"{least:+.3g}" if len(differences) == 1 else f"{least:+.3g} to {most:+.3g}"
        word = "holds" if right == len(differences) else "does not hold" if right == 0 else "holds in part"
        return f"{word}: {right} of {len(differences)} comparisons, difference {span}"

    def _pairs(self, groups: Groups) -> list[tuple[Sequence[Row], Sequence[Row]]]:
        pattern = re.compile(re.escape(self.more).replace(r"\*", "(.*)"))
        found = []
        for name, rows in groups.items():
            if match := pattern.fullmatch(name):
                other = self.less.replace("*", match[1]) if match.groups() else self.less
                found += [(rows, groups[other])] if other in groups else []
        return found


def groups_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Put runs that differ in their seed only together, by their name without it."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(re.sub(r"-s\d+$", "", row["name"]), []).append(row)
    return found


def values(rows: Sequence[Row], key: str) -> list[float]:
    """Return the numbers that rows hold under a key, as :class:`Column` has it."""
    found = []
    for row in rows:
        value: Any = row
        for part in key.split("/"):
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, int | float):
            found.append(float(value))
    return found


def published_for(name: str, published: Mapping[str, str]) -> str:
    """Return the published figure whose pattern fits a group's name; nothing if there is none."""
    return next((text for pattern, text in published.items() if fnmatch(name, pattern)), "")
