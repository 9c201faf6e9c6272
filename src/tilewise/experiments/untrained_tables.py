"""The tables of docs/results/accuracy.md that the studies ``accuracy`` and ``enlarging`` measure.

tilewise experiment accuracy --scale paper --data-root DATA_ROOT --threads 1
tilewise experiment enlarging --scale paper --data-root DATA_ROOT --threads 1
cp runs/experiments/accuracy-paper.json runs/experiments/enlarging-paper.json docs/results/experiments/
python -m tilewise.experiments.untrained_tables
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path("docs/results")
BEGIN, END = "<!-- tables of what is not trained -->", "<!-- end of these tables -->"

Row = Mapping[str, Any]


def main() -> None:
    """Write the tables into the page."""
    rows = {study: _rows(study) for study in ("accuracy", "enlarging")}
    lines = table(rows["accuracy"], "ResNet-20, CIFAR-10, 10,000 test images, %", lambda row: row["accuracy"])
    for name in ("Set5", "Set14") if rows["enlarging"] else ():
        for key, what in (("to_float", "the float network"), ("to_truth", "the truth")):
            title = f"upscaler, {name}, dB to {what}"
            lines += ["", *table(rows["enlarging"], title, lambda row, key=key, name=name: row[key][name])]  # type: ignore[misc]
    page = RESULTS / "accuracy.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{rest.split(END)[1]}")
    print("\n".join(lines))


def _rows(study: str) -> list[Row]:
    path = RESULTS / "experiments" / f"{study}-paper.json"
    found: list[Row] = json.loads(path.read_text())["rows"] if path.exists() else []
    return found


def table(rows: Sequence[Row], title: str, score: Callable[[Row], float]) -> list[str]:
    """Return a line for each algorithm: ranges only, then refined, by images; mean and spread over draws."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        kind = row["settings"]["kind"]
        name = kind["algorithm"] + (", learned" if kind["transforms"] == "learned" else "")
        name += ", last layer direct" if row["settings"].get("inner") else ""
        column = f"{'refined, ' if kind['refined'] else 'ranges, '}{kind['images']}"
        found.setdefault(name, {}).setdefault(column, []).append(score(row))
    columns = sorted(
        {column for cells in found.values() for column in cells},
        key=lambda column: (column.startswith("refined"), int(column.split(", ")[1])),
    )
    lines = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    return lines + [
        f"| {name} | {' | '.join(_cell(cells.get(column, [])) for column in columns)} |"
        for name, cells in found.items()
    ]


def _cell(scores: Sequence[float]) -> str:
    """Return mean and spread, as the largest less the smallest."""
    if not scores:
        return "-"
    spread = f" ({max(scores) - min(scores):.2f})" if len(scores) > 1 else ""
    return f"{statistics.fmean(scores):.2f}{spread}"


if __name__ == "__main__":
    main()
