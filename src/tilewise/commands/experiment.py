"""The command that measures the papers' tables and figures anew."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common
from tilewise.commands.outputs import Folder


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Measure a table or figure of the papers; a stopped one goes on, and what is done so far has a file."""

    study: Annotated[str, tyro.conf.Positional]
    """swap, scratch, adapt, lenet, accuracy or enlarging."""
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
        """Measure."""
        import torch

        from tilewise.common.progress import bar
        from tilewise.experiments.catalogue import STUDIES
        from tilewise.experiments.runs import run_study

        if self.study not in STUDIES:
            raise ValueError(f"study is {self.study!r}; allowed: {', '.join(STUDIES)}")
        study, summary = STUDIES[self.study], {}
        threads = self.common.threads or torch.get_num_threads()
        with bar(enabled=True) as display:
            task = display.add_task(f"{study.name}, {self.scale}", total=len(study.cases(self.scale)))
            for summary in run_study(
                study, self.scale, self.out, self.data_root, only=self.only, device=self.common.device,
                threads=threads, workers=self.workers, address=self.address,
            ):  # fmt: skip
                display.update(task, completed=summary["done"])
        Console(width=120).print(table(summary))
        for name, error in summary["errors"].items():
            Console().print(f"{name} failed: {error}", markup=False, highlight=False)
        if summary["errors"]:
            raise RuntimeError(
                f"{len(summary['errors'])} runs failed; {self.out}/{study.name}-{self.scale}.json has why"
            )
        return summary


def table(summary: Mapping[str, Any]) -> Table:
    """Return what the runs came to: a row for those that differ in the seed only, with mean and deviation."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in summary["rows"]:
        groups.setdefault(re.sub(r"-s\d+$", "", row["name"]), []).append(row)
    title = f"{summary['title']}; scale {summary['scale']}, {summary['done']} of {summary['runs']} runs"
    score = "psnr" if any("psnr" in row for row in summary["rows"]) else "accuracy"
    result = Table("run", "seeds", "PSNR in dB" if score == "psnr" else "accuracy in %", "seconds", title=title)
    for name, rows in groups.items():
        scores, seconds = [row[score] for row in rows], [row["seconds"] for row in rows]
        spread = f" ± {statistics.stdev(scores):.2f}" if len(rows) > 1 else ""
        mean = f"{statistics.fmean(scores):.2f}{spread}"
        result.add_row(name, str(len(rows)), mean, f"{statistics.fmean(seconds):.0f}")
    return result
