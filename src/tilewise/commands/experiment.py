"""The command that measures the papers' tables and figures anew."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common
from tilewise.commands.outputs import Folder
from tilewise.experiments.tables import groups_of

if TYPE_CHECKING:
    from tilewise.experiments.runs import Study

MOST_COLUMNS = 12
REPORT = "report"
"""Asks for the page of all results instead of a study."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Measure a table or figure of the papers; a stopped one goes on, and what is done so far has a file."""

    study: Annotated[str, tyro.conf.Positional]
    """plain (which swap, wins and front start from), swap, scratch, adapt, lenet, architectures, transforms, accuracy,
    enlarging, wins, front, grid, stages, dense, movement or residues; or report, which makes OUT.html and OUT.md of all
    results in --out."""
    scale: Literal["smoke", "tiny", "small", "paper"] = "small"
    """smoke: seconds; tiny: minutes a run, on a part of the data; small: half an hour a run; paper: as published."""
    data_root: Path | None = None
    """Folder with the original files of CIFAR-10, MNIST and SR, and the pretrained networks; smoke needs none."""
    out: Folder = Path("runs/experiments")
    """Gets STUDY-SCALE.json, and a folder for each run."""
    only: str = "*"
    """Shell pattern over the names of runs."""
    workers: int = 1
    """Runs at once on this machine; more than one needs Ray."""
    address: str | None = None
    """Ray cluster to run on: auto, host:6379 or ray://host:10001."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Measure, or report."""
        if self.study == REPORT:
            return self._report()
        import torch

        from tilewise.common.progress import bar
        from tilewise.experiments.catalogue import STUDIES
        from tilewise.experiments.runs import run_study

        if self.study not in STUDIES:
            raise ValueError(f"study is {self.study!r}; allowed: {', '.join((*STUDIES, REPORT))}")
        study, summary = STUDIES[self.study], {}
        threads = self.common.threads or torch.get_num_threads()
        with bar(enabled=True) as display:
            task = display.add_task(f"{study.name}, {self.scale}", total=len(study.cases(self.scale)))
            for summary in run_study(
                study, self.scale, self.out, self.data_root, only=self.only, device=self.common.device,
                threads=threads, workers=self.workers, address=self.address,
            ):  # fmt: skip
                display.update(task, completed=summary["done"])
        Console(width=120).print(table(study, summary))
        for name, error in summary["errors"].items():
            Console().print(f"{name} failed: {error}", markup=False, highlight=False)
        if summary["errors"]:
            raise RuntimeError(
                f"{len(summary['errors'])} runs failed; {self.out}/{study.name}-{self.scale}.json has why"
            )
        return summary

    def _report(self) -> dict[str, Any]:
        """Make the pages."""
        from tilewise.report.studies import write_report

        paths = write_report(self.out)
        for path in paths:
            print(f"wrote {path}")
        return {"pages": [str(path) for path in paths]}


def table(study: Study, summary: Mapping[str, Any]) -> Table:
    """Return what the runs came to: a row for those that differ in the seed only, with mean and deviation.

    Where there are many numbers, more than runs, each run is a column instead.
    """
    title = f"{summary['title']}; scale {summary['scale']}, {summary['done']} of {summary['runs']} runs"
    lines = [["run", "seeds", *(column.heading for column in study.columns), "seconds"]]
    for name, rows in groups_of(summary["rows"]).items():
        seconds = statistics.fmean(row["seconds"] for row in rows)
        lines.append([name, str(len(rows)), *(column.cell(rows) for column in study.columns), f"{seconds:.0f}"])
    if len(lines[0]) > max(MOST_COLUMNS, len(lines)):
        lines = [list(line) for line in zip(*lines, strict=True)]
    result = Table(*lines[0], title=title)
    for line in lines[1:]:
        result.add_row(*line)
    return result
