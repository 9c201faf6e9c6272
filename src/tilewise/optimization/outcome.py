"""The end of an optimization: the last race, the network that won it, and all that is known in one summary and page."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tilewise.common.files import write_json
from tilewise.engine import Engine
from tilewise.latency import Machine
from tilewise.nn import describe
from tilewise.optimization.attempts import Attempt, Bench, TriedLayer, ratio, time_in_turns
from tilewise.optimization.candidates import CANDIDATES
from tilewise.optimization.candidates import DIRECT as DIRECT_CANDIDATE
from tilewise.optimization.climb import Climb
from tilewise.optimization.config import BudgetError
from tilewise.optimization.metrics import Likeness
from tilewise.optimization.peers import Peer, peers
from tilewise.optimization.pictures import draw_pictures, liveliest
from tilewise.quant import Spec, spec_from_dict
from tilewise.report.page import write_page

MODEL, SPECS, SUMMARY, PICTURES = "model.tilewise", "specs.json", "summary.json", "pictures"
"""What a folder of a run holds."""
FINALISTS = 3
"""Networks that meet at the end, in turns with direct int8, float and others."""


@dataclass(frozen=True, kw_only=True)
class Optimized:
    """What an optimization gives.

    Parameters
    ----------
    engine : Engine
        The fastest network within the budget, compiled: never slower than direct int8 when they were timed in turns.
    specs : dict of str to Spec
        What :func:`tilewise.convert` takes.
    weights : Path
        Its weights and ranges, for :func:`tilewise.load_weights`; refined and adapted networks have their own.
    page : Path
        ``report.html``, beside all else that was written.
    summary : dict
        All that was measured, in JSON's types.
    """

    engine: Engine
    specs: dict[str, Spec]
    weights: Path
    page: Path
    summary: dict[str, Any] = field(repr=False)


def finish(bench: Bench, climb: Climb, folder: Path, more: Mapping[str, Any]) -> Optimized:
    """Let the fastest eligible networks race with direct int8, float and others; write the winner.

    Raises
    ------
    BudgetError
        If no network fits; summary and page are written all the same.
    """
    eligible = sorted(bench.eligible(), key=lambda attempt: -attempt.speedup)
    direct = bench.attempts[DIRECT_CANDIDATE.key]
    finalists = {attempt.key: attempt for attempt in [*eligible[:FINALISTS], direct]}
    others = peers(bench.model, bench.example, bench.shown.images, bench.config.threads, bench.journal.path(""))
    bench.say("the last race, with float and what else is installed ...")
    runners: dict[str, Callable[[Tensor], Any]] = {key: bench.engine(attempt) for key, attempt in finalists.items()}
    seconds = time_in_turns(runners | {peer.name: peer.call for peer in others}, bench.example)
    speedups = {name: ratio(seconds[direct.key], own) for name, own in seconds.items()}
    best = max(eligible[:FINALISTS], key=lambda attempt: speedups[attempt.key], default=None)
    if best is not None and speedups[best.key] < 1 and bench.fits(direct):
        best = direct
    winner = best or direct
    summary = {
        "version": 1,
        "result": None if best is None else _entry(best, seconds, speedups),
        "direct": _entry(direct, seconds, speedups),
        "others": [_other(peer, seconds, speedups, bench) for peer in others],
        "tried": [attempt.to_dict() for attempt in bench.attempts.values()],
        "layers": _layers(winner, direct, climb, bench),
        "untouched": {r.name: r.reason for r in describe(bench.converted({})) if r.bits == 32 or r.reason},
        "judged": _judged(bench),
        "warnings": _warnings(best, bench),
        "settings": asdict(bench.config),
        "machine": str(Machine.here(bench.config.threads)),
        "versions": {
            "tilewise": metadata.version("tilewise"), "torch": torch.__version__, "python": platform.python_version(),
        },
        **more,
    }  # fmt: skip
    if summary["judged"]["is_picture"]:
        draw_pictures(bench.model, bench.engine(winner), liveliest(bench.held.images), folder / PICTURES)
    write_json(folder / SUMMARY, summary)
    if best is None:
        write_page(folder)
        raise BudgetError(_nearest(bench))
    engine = bench.engine(best)
    engine.save(folder / MODEL)
    write_json(folder / SPECS, {"specs": best.specs, "skips": bench.skips})
    page = write_page(folder)
    for warning in summary["warnings"]:
        bench.say(f"warning: {warning}")
    return Optimized(
        engine=engine, specs={name: spec_from_dict(spec) for name, spec in best.specs.items()},
        weights=bench.weights_path(best.key), page=page, summary=summary,
    )  # fmt: skip


def _entry(attempt: Attempt, seconds: Mapping[str, list[float]], speedups: Mapping[str, float]) -> dict[str, Any]:
    """Return an attempt as the last race found it."""
    return attempt.to_dict() | {
        "milliseconds": 1e3 * min(seconds[attempt.key]), "speedup": speedups[attempt.key],
    }  # fmt: skip


def _other(
    peer: Peer, seconds: Mapping[str, list[float]], speedups: Mapping[str, float], bench: Bench
) -> dict[str, Any]:
    """Return what another library takes, and of a quantized network what it loses, where it takes the images."""
    alike = all(x.shape == bench.example.shape for x in bench.held.images)
    drop = asdict(bench.drop(bench.counts(peer.call))) if peer.quantized and alike else None
    return {
        "name": peer.name, "milliseconds": 1e3 * min(seconds[peer.name]),
        "speedup": speedups[peer.name], "drop": drop,
    }  # fmt: skip


def _layers(best: Attempt, direct: Attempt, climb: Climb, bench: Bench) -> list[dict[str, Any]]:
    """Return each convolution of the winner beside direct int8's: what it is, takes and loses.

    The bound is what no direct int8 convolution can fall below here: its operations and its bytes at the most that this
    machine does.
    """
    before = {layer.name: layer for layer in direct.layers}
    engine = bench.engine(direct)
    peaks, bounds = engine.peaks(), {}
    if peaks["int8_operations"]:
        for row in engine.profile(bench.example, repeats=1):
            times = row["operations"] / peaks["int8_operations"], row["bytes"] / peaks["cache_bytes"]
            bounds[row["name"]] = 1e3 * max(times)
    rows = []
    for layer in best.layers:
        if not layer.algorithm:
            continue
        losses = climb.losses.get(layer.name, {})
        rows.append({
            "name": layer.name, "algorithm": layer.algorithm, "reason": layer.reason,
            "milliseconds": 1e3 * layer.seconds,
            "bound_milliseconds": bounds.get(layer.name),
            "direct_milliseconds": 1e3 * before[layer.name].seconds if layer.name in before else None,
            "candidates_milliseconds": {k: 1e3 * v for k, v in climb.seconds.get(layer.name, {}).items()},
            "losses": losses, "error": losses.get(_candidate(best, layer)),
        })  # fmt: skip
    return rows


def _candidate(attempt: Attempt, layer: TriedLayer) -> str:
    """Return the name of the candidate that a layer of an attempt is."""
    if layer.algorithm == DIRECT_CANDIDATE.name:
        return DIRECT_CANDIDATE.name
    spec = attempt.specs.get(layer.name, attempt.specs["*"])
    refined = attempt.promise in ("refined", "adapted")
    names = [c.name for c in CANDIDATES if c.spec.to_dict() == spec and (c.promise == "refined") <= refined]
    return names[-1]


def _judged(bench: Bench) -> dict[str, Any]:
    """Return by what networks were judged."""
    judge = bench.judge
    against = "direct int8" if judge.from_direct else "the float network"
    return {
        "metric": judge.task.metric, "unit": judge.task.unit, "held_back": len(bench.held), "shown": len(bench.shown),
        "by_labels": judge.by_labels, "drop_from": against,
        "float_score": None if judge.from_direct else judge.score(bench.float_counts),
        "float_bytes": sum(p.numel() * p.element_size() for p in bench.model.parameters()),
        "image": list(bench.example.shape), "is_picture": isinstance(judge.task, Likeness) and judge.task.is_picture,
    }  # fmt: skip


def _warnings(best: Attempt | None, bench: Bench) -> list[str]:
    """Say what can not be decided."""
    unit, budget = bench.judge.task.unit, bench.config.max_drop
    if best is None or best.drop.high <= budget:
        return []
    text = (
        f"{len(bench.held)} images held back are too few to be sure: the loss lies between {best.drop.low:.2g} and "
        f"{best.drop.high:.2g} {unit}, and {budget:g} are allowed; give more images"
    )
    return [text]


def _nearest(bench: Bench) -> str:
    """Say which network came nearest to a budget that none keeps."""
    nearest = min(bench.attempts.values(), key=lambda attempt: attempt.drop.value)
    unit = bench.judge.task.unit
    return (
        f"max_drop is {bench.config.max_drop:g} {unit}, which nothing that was tried keeps; the nearest is "
        f"{nearest.name}: it loses {nearest.drop.value:.3g} {unit} at {nearest.speedup:.2f}x direct int8. "
        f"Allow that, or give more minutes or images"
    )
