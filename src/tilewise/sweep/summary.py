"""What a sweep's runs came to, over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tilewise.sweep.file import Run, Settings, SweepFile


def summarize(
    sweep: SweepFile, results: Mapping[str, dict[str, Any]], errors: Mapping[str, str], *, options: Collection[str]
) -> dict[str, Any]:
    """Sum up a sweep.

    Parameters
    ----------
    sweep : SweepFile
        All of its runs.
    results : dict
        What finished runs came to, by name.
    errors : dict
        Why the others failed, by name.
    options : collection of str
        Names in results that are settings, no outcome.

    Returns
    -------
    dict
        ``runs``: of each its settings, and its numbers or its error. ``groups``: runs that differ in the seed only,
        each number with its mean and its spread (standard deviation of a sample; None of a single run).
    """
    numbers = {run.name: _numbers(results[run.name], options) for run in sweep.runs if run.name in results}
    groups: dict[str, list[Run]] = {}
    for run in sweep.runs:
        groups.setdefault(repr(_without_seed(run.settings)), []).append(run)
    return {
        "command": sweep.command,
        "runs": [
            {"name": run.name, "settings": run.settings, **_state(run.name, numbers, errors)} for run in sweep.runs
        ],
        "groups": [
            {
                "settings": _without_seed(runs[0].settings),
                "runs": sum(run.name in numbers for run in runs),
                "failed": sum(run.name in errors for run in runs),
                "numbers": _spread([numbers[run.name] for run in runs if run.name in numbers]),
            }
            for runs in groups.values()
        ],
    }


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print the groups as a table, and what failed under it."""
    groups = summary["groups"]
    settings = list(dict.fromkeys(name for group in groups for name in group["settings"]))
    numbers = list(dict.fromkeys(name for group in groups for name in group["numbers"]))
    table = Table(*settings, "runs", *numbers)
    for group in groups:
        given = [str(group["settings"].get(name, "")) for name in settings]
        table.add_row(*given, str(group["runs"]), *(_cell(group["numbers"].get(name)) for name in numbers))
    Console().print(table)
    for run in summary["runs"]:
        if "error" in run:
            Console().print(f"{run['name']} failed: {run['error']}", markup=False, highlight=False)


def _state(name: str, numbers: Mapping[str, dict[str, float]], errors: Mapping[str, str]) -> dict[str, Any]:
    return {"numbers": numbers[name]} if name in numbers else {"error": errors[name]}


def _numbers(result: Mapping[str, Any], options: Collection[str]) -> dict[str, float]:
    return {
        name: value
        for name, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in options
    }


def _without_seed(settings: Settings) -> Settings:
    return {name: value for name, value in settings.items() if name != "seed"}


def _spread(runs: list[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    names = [name for name in runs[0] if all(name in run for run in runs)] if runs else []
    return {
        name: {
            "mean": statistics.fmean(run[name] for run in runs),
            "spread": statistics.stdev(run[name] for run in runs) if len(runs) > 1 else None,
        }
        for name in names
    }


def _cell(number: Mapping[str, float | None] | None) -> str:
    if number is None:
        return ""
    spread = number["spread"]
    return f"{number['mean']:.4g}" if spread is None else f"{number['mean']:.4g} ± {spread:.2g}"
