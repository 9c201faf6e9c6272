"""The command that runs others many times."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from tilewise.commands.options import Common
from tilewise.commands.outputs import Folder
from tilewise.commands.search import Search
from tilewise.commands.train import Adapt, Train

if TYPE_CHECKING:
    from tilewise.sweep import Job, Run, SweepFile

SWEPT: dict[str, Any] = {"train": Train, "adapt": Adapt, "search": Search}
"""Commands that take --out and --resume, and continue what is in that folder."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Run a command for many settings, such as seeds, bits and learning rates; finished runs are kept."""

    file: Annotated[Path, tyro.conf.Positional]
    """TOML or JSON: command, options of all runs, and a grid or a list of runs (docs/guide/scaling.md)."""
    out: Folder
    """Folder of the sweep; each run gets one in it."""
    workers: int = 1
    """Runs at once on this machine; more than one needs Ray."""
    address: str | None = None
    """Ray cluster to run on: auto, host:6379 or ray://host:10001."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Sweep."""
        from tilewise.common.places import sole_use

        with sole_use(self.out):
            return self._run()

    def _run(self) -> dict[str, Any]:
        from tilewise.common.files import write_json
        from tilewise.common.progress import bar
        from tilewise.sweep import execute, print_summary, read_sweep, summarize

        file = read_sweep(self.file)
        jobs = self._jobs(file)
        open_jobs = [job for job in jobs if not (job.folder / "result.json").exists()]
        errors: dict[str, str] = {}
        with bar(enabled=True) as display:
            task = display.add_task(f"sweep of {file.command}", total=len(jobs), completed=len(jobs) - len(open_jobs))
            for job, error in execute(open_jobs, address=self.address, workers=self.workers):
                errors |= {job.name: error} if error else {}
                display.advance(task)
        results = {job.name: _read_object(job.folder / "result.json") for job in jobs if job.name not in errors}
        summary = summarize(file, results, errors, options=set(_options(SWEPT[file.command])))
        write_json(self.out / "summary.json", summary)
        print_summary(summary)
        if errors:
            raise RuntimeError(f"{len(errors)} of {len(jobs)} runs failed; {self.out}/summary.json says why")
        return summary

    def _jobs(self, file: SweepFile) -> list[Job]:
        """Check all runs before the first one starts, and give each its folder."""
        import torch

        from tilewise.sweep import Job

        if file.command not in SWEPT:
            raise ValueError(f"{self.file}: command is {file.command!r}; allowed: {', '.join(SWEPT)}")
        share = 1 if self.address is not None else max(1, torch.get_num_threads() // max(1, self.workers))
        jobs = []
        for run in file.runs:
            folder = (self.out / run.name).resolve()
            command = _parsed(file.command, run, folder)
            gpus = int(run.options.get("devices", 1)) if command.common.device.startswith("cuda") else 0
            jobs.append(Job(run.name, command, folder, command.common.threads or share, gpus))
        for run, job in zip(file.runs, jobs, strict=True):
            _claim(job.folder, {"command": file.command, "options": run.options})
        return jobs


def _parsed(name: str, run: Run, folder: Path) -> Any:
    """Read a run's options as the command line does; a wrong one gives one line."""
    arguments = [*run.arguments(), "--out", str(folder), "--resume"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(
                SWEPT[name], args=arguments, prog=f"tilewise {name}", config=(tyro.conf.OmitArgPrefixes,)
            )  # fmt: skip
    except SystemExit as error:
        # The title, what is wrong, and where help is, with rules between them.
        _, *wrong, _ = re.split(r"\s-{5,}\s", said.getvalue())
        raise ValueError(f"run {run.name}: {' '.join(' '.join(wrong).split())}") from error


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Keep a run's settings beside it, so that a changed file does not take an old result for its own."""
    from tilewise.common.files import write_json

    path = folder / "settings.json"
    if path.exists():
        before = _read_object(path)
        if before.keys() != settings.keys() or not isinstance(before["options"], dict):
            raise ValueError(f"{path} does not say of what run it is; choose another --out")
        if before != settings:
            raise ValueError(f"{folder} holds a run with {_difference(before, settings)}; choose another --out")
        return
    write_json(path, settings)


def _read_object(path: Path) -> dict[str, Any]:
    from tilewise.common.files import read_json

    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} instead of an object")  # noqa: TRY004
    return content


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the first thing that two runs do not share."""
    if before["command"] != now["command"]:
        return f"the command {before['command']}, not {now['command']}"
    old, new = before["options"], now["options"]
    name = min(name for name in {*old, *new} if old.get(name) != new.get(name))
    return f"{name} = {old.get(name, 'its default')}, not {new.get(name, 'its default')}"


def _options(command: Any) -> list[str]:
    """Names of a command's options, as in Python."""
    names: list[str] = []
    kinds = get_type_hints(command)
    for option in dataclasses.fields(command):
        if option.init:
            kind = kinds[option.name]
            names += _options(kind) if dataclasses.is_dataclass(kind) else [option.name]
    return names
