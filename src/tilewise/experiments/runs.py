"""Studies as many independent runs: each in a folder of its own, resumed where it stopped, summed up as they end."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, get_args

import tilewise
from tilewise.common.files import read_json, write_json
from tilewise.common.places import sole_use
from tilewise.experiments.tables import ACCURACY, Claim, Column
from tilewise.latency import Machine
from tilewise.sweep import Job, execute
from tilewise.train.runs import difference

Scale: TypeAlias = Literal["smoke", "tiny", "small", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
"""smoke: seconds, on data that come with scikit-learn. tiny: minutes a run, on a part of the data. small: half an hour
a run, on narrow networks. paper: the published networks and epochs."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs run.

    Parameters
    ----------
    data_root : Path or None
        Folder with the original data sets.
    folder : Path
        Of this run, for its checkpoints.
    device : str
        Such as ``"cpu"``.
    threads : int
        That an engine runs with.
    """

    data_root: Path | None
    folder: Path
    device: str = "cpu"
    threads: int = 1

    @property
    def scale(self) -> Scale:
        """Of the run's study."""
        (found,) = (scale for scale in SCALES if scale == self.folder.parent.name)
        return found

    def beside(self, study: str, case: str) -> Path:
        """Return the folder of another study's run at the same scale."""
        return self.folder.parents[2] / study / self.scale / case


class Case(Protocol):
    """One run of a study: a frozen dataclass that holds all that the result depends on."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def name(self) -> str:
        """Of the run's folder."""

    def run(self, place: Place) -> dict[str, Any]:
        """Run, or go on where a killed run stopped; return plain JSON."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a table or figure of a paper asks.

    Parameters
    ----------
    name : str
        As on the command line.
    title : str
        One line: of what, on what.
    cases : callable
        Returns the runs at a scale, those that are waited for longest first.
    columns : sequence of Column
        What its tables show of each run.
    published : mapping of str to str
        Figures to put beside ours, by pattern over the names of groups.
    claims : sequence of Claim
        What a paper reports the order to be.
    """

    name: str
    title: str
    cases: Callable[[Scale], Sequence[Case]]
    columns: Sequence[Column] = (ACCURACY,)
    published: Mapping[str, str] = field(default_factory=dict)
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class CaseRun:
    """A case with all that its result says beside its numbers; can be pickled."""

    case: Case
    place: Place

    def run(self) -> dict[str, Any]:
        """Run the case."""
        began = time.perf_counter()
        result = self.case.run(self.place)
        return {
            "settings": asdict(self.case),
            # Of a run that was killed and went on, the case itself knows the time of all parts.
            "seconds": round(result.pop("seconds", time.perf_counter() - began), 1),
            "commit": commit(),
            "version": tilewise.__version__,
            "machine": str(Machine.here(self.place.threads)),
            **result,
        }


def run_study(
    study: Study,
    scale: Scale,
    out: Path,
    data_root: Path | None = None,
    *,
    only: str = "*",
    device: str = "cpu",
    threads: int = 1,
    workers: int = 1,
    address: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Run what is not done yet, and yield the study's summary, at first as it stands and then after each run.

    The summary is kept as ``STUDY-SCALE.json`` in ``out``, so that a study that was stopped has a result too.

    Parameters
    ----------
    study : Study
        Which one.
    scale : {"smoke", "tiny", "small", "paper"}
        How much.
    out : Path
        Gets a folder for each run, which holds ``result.json`` once it has ended.
    data_root : Path, optional
        Folder with the original data sets.
    only : str
        Shell pattern over the names of runs.
    device, threads : str, int
        Of each run.
    workers, address : int, str
        How many runs at once, as :func:`tilewise.sweep.execute` takes them.

    Raises
    ------
    ValueError
        If no run has such a name, another process runs the study there, or a folder holds a run with other settings.
    """
    cases = study.cases(scale)
    chosen = [case for case in cases if fnmatch(case.name, only)]
    if not chosen:
        raise ValueError(f"only is {only!r}, which none of the {len(cases)} runs has; such as {cases[0].name}")
    folders = {case.name: (out / study.name / scale / case.name).resolve() for case in cases}
    for case in chosen:
        _claim(folders[case.name], case)
    root = None if data_root is None else data_root.resolve()
    jobs = [
        Job(
            case.name,
            CaseRun(case, Place(data_root=root, folder=folder, device=device, threads=threads)),
            folder,
            threads,
        )
        for case in chosen
        if not (folder := folders[case.name]).joinpath("result.json").exists()
    ]
    errors: dict[str, str] = {}
    with sole_use(out / study.name / scale):
        yield _summary(study, scale, out, folders, errors)
        for job, error in execute(jobs, address=address, workers=workers):
            errors |= {job.name: error} if error else {}
            yield _summary(study, scale, out, folders, errors)


def _summary(
    study: Study, scale: Scale, out: Path, folders: Mapping[str, Path], errors: Mapping[str, str]
) -> dict[str, Any]:
    """Read what all runs came to, in the study's order, and write it to one file."""
    paths = {name: folder / "result.json" for name, folder in folders.items()}
    rows = [{"name": name, **_read_object(path)} for name, path in paths.items() if path.exists()]
    summary = {
        "study": study.name, "title": study.title, "scale": scale, "runs": len(folders), "done": len(rows),
        "errors": dict(errors), "rows": rows,
    }  # fmt: skip
    write_json(out / f"{study.name}-{scale}.json", summary)
    return summary


def _claim(folder: Path, case: Case) -> None:
    """Keep a run's settings beside it, so that a changed recipe does not take an old result for its own."""
    path, settings = folder / "settings.json", asdict(case)
    if not path.exists():
        write_json(path, settings)
    elif found := difference(read_json(path), json.loads(json.dumps(settings))):
        name, was, now = found
        raise ValueError(f"{folder} holds a run with {name} = {was}, not {now}; choose another --out")


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
        raise ValueError(f"{path} is no result of a run")  # noqa: TRY004
    return content


def commit() -> str | None:
    """Return the commit that the package was loaded from, with a + if files differ from it; None if there is none."""
    git = ["git", "-C", str(Path(tilewise.__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain", "."], check=True, capture_output=True, text=True
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
