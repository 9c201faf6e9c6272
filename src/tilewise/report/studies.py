"""All results of studies on one page, as HTML and as Markdown: what they say, of what, and how sure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tilewise.common.files import read_json, write_whole
from tilewise.experiments.catalogue import STUDIES
from tilewise.experiments.runs import SCALES, Study
from tilewise.experiments.tables import Groups, groups_of, published_for
from tilewise.report.html import TEXT, render, svg

TEMPLATE = "studies.html.j2"
INTRODUCTION = """\
Made by `tilewise experiment report`; do not edit. Numbers are means over seeds, with the sample
deviation where there are several; seconds are those of a run. A scale says how much of the paper's
own setting a run has: `tiny` and `small` are a part of it."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
MARKERS = "osD^vP"


@dataclass(frozen=True, kw_only=True)
class Result:
    """One study at one scale, ready to be shown.

    Parameters
    ----------
    study : Study
        Which one.
    summary : mapping
        As :func:`tilewise.experiments.runs.run_study` keeps it.
    head, body : sequence of str
        Of the table.
    claims : sequence of (str, str, str)
        What a paper says, who says it, and whether it holds.
    """

    study: Study
    summary: Mapping[str, Any]
    head: Sequence[str]
    body: Sequence[Sequence[str]]
    claims: Sequence[tuple[str, str, str]]

    @property
    def command(self) -> str:
        """Makes it anew."""
        return f"tilewise experiment {self.study.name} --scale {self.summary['scale']} --data-root DATA_ROOT"

    @property
    def origin(self) -> str:
        """How much of it is done, where, in what time."""
        rows = self.summary["rows"]
        machines = "; ".join(sorted({row["machine"] for row in rows}))
        minutes = sum(row["seconds"] for row in rows) / 60
        return (
            f"Scale {self.summary['scale']}: {self.summary['done']} of {self.summary['runs']} runs, "
            f"{minutes:.1f} minutes, on {machines}."
        )

    @property
    def picture(self) -> str:
        """Draw it, as SVG."""
        return picture(self.study, groups_of(self.summary["rows"]), self.summary["scale"])


def write_report(folder: Path) -> list[Path]:
    """Make the pages of all results in a folder, beside it, and return their paths: HTML and Markdown.

    Raises
    ------
    FileNotFoundError
        If there is no result.
    ValueError
        If a file is no result of a study.
    RuntimeError
        If Jinja2 or matplotlib is missing.
    """
    results = read_results(folder)
    paths = [folder.parent / f"{folder.name}{end}" for end in (".html", ".md")]
    write_whole(paths[0], render(TEMPLATE, results=results).encode())
    write_whole(paths[1], markdown(results).encode())
    return paths


def read_results(folder: Path) -> list[Result]:
    """Read what studies came to, in the catalogue's order; errors as :func:`write_report`'s."""
    found = [result_of(path) for path in sorted(folder.glob("*.json"))]
    shown = [result for result in found if result.body]
    if not shown:
        raise FileNotFoundError(f"{folder} has no results; tilewise experiment STUDY --out {folder} makes some")
    names = list(STUDIES)
    return sorted(shown, key=lambda r: (names.index(r.study.name), SCALES.index(r.summary["scale"])))


def result_of(path: Path) -> Result:
    """Read one file; errors as :func:`write_report`'s."""
    summary = read_json(path)
    if not isinstance(summary, dict) or not {"study", "scale", "rows", "done", "runs"} <= summary.keys():
        raise ValueError(f"{path} is no result of a study")
    if (study := STUDIES.get(summary["study"])) is None or summary["scale"] not in SCALES:
        raise ValueError(f"{path} is of study {summary['study']!r}, which is none of {', '.join(STUDIES)}")
    groups = groups_of(summary["rows"])
    head = ["run", "seeds", *(column.heading for column in study.columns), "seconds", "commit", "published"]
    body = []
    for name, rows in groups.items():
        commits = dict.fromkeys(str(row["commit"])[:7] for row in rows)
        body.append([
            name, str(len(rows)), *(column.cell(rows) for column in study.columns),
            f"{statistics.fmean(row['seconds'] for row in rows):.0f}", " ".join(commits),
            published_for(name, study.published),
        ])  # fmt: skip
    kept = [i for i in range(len(head)) if any(row[i] for row in body)]
    return Result(
        study=study,
        summary=summary,
        head=[head[i] for i in kept],
        body=[[row[i] for i in kept] for row in body],
        claims=[(claim.text, claim.source, claim.verdict(groups)) for claim in study.claims],
    )


def markdown(results: Sequence[Result]) -> str:
    """Return the page as Markdown."""
    parts = ["# The papers' tables and figures", INTRODUCTION]
    for result in results:
        title = f"## {result.study.name}, {result.summary['scale']}"
        rows = [result.head, ["---", *["---:"] * (len(result.head) - 1)], *result.body]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
        parts += [title, wrapped(result.study.title + "."), f"    {result.command}", wrapped(result.origin), table]
        claims = [wrapped(f"- {text} ({source}) **{verdict}**.") for text, source, verdict in result.claims]
        parts += ["Does the paper's order hold?", "\n".join(claims)] if claims else []
    return "\n\n".join(parts) + "\n"


def wrapped(text: str) -> str:
    """Return a paragraph, or an entry of a list, in lines of the length that pages have."""
    return textwrap.fill(text, 100, subsequent_indent="  " if text.startswith("- ") else "", break_on_hyphens=False)


def picture(study: Study, groups: Groups, name: str) -> str:
    """Draw the columns that share the first one's unit, a line of dots for each group, with deviations over seeds."""
    from matplotlib.figure import Figure

    unit = study.columns[0].unit
    columns = [column for column in study.columns if column.unit == unit]
    figure = Figure(figsize=(8.5, 1.2 + 0.2 * len(groups)), layout="constrained")
    axes = figure.add_subplot()
    for number, column in enumerate(columns):
        points = [(column.values(rows), place) for place, rows in enumerate(groups.values()) if column.values(rows)]
        axes.errorbar(
            [statistics.fmean(found) for found, _ in points], [place for _, place in points],
            xerr=[statistics.stdev(found) if len(found) > 1 else 0.0 for found, _ in points],
            fmt=MARKERS[number // len(COLOURS) % len(MARKERS)], color=COLOURS[number % len(COLOURS)], ms=4, capsize=2,
            elinewidth=0.8, label=column.title,
        )  # fmt: skip
    axes.set_yticks(range(len(groups)), list(groups), fontsize=7)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlabel(unit if len(columns) > 1 else columns[0].heading)
    if unit == "ms":
        axes.set_xscale("log")
    axes.grid(axis="y", lw=0.3)
    if len(columns) > 1:
        figure.legend(frameon=False, fontsize=7, labelcolor=TEXT, ncols=4, loc="outside upper left")
    return svg(figure, f"{study.name}-{name}")
