"""Networks that were tried: made, compiled, scored on the images held back, and timed beside direct int8."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from tilewise.common.turns import in_turns, stopwatch
from tilewise.conversion import Skips, convert
from tilewise.engine import Engine, load
from tilewise.engine.compiler import compile as compile_model
from tilewise.nn import describe
from tilewise.optimization.candidates import Promise
from tilewise.optimization.config import OptimizeConfig
from tilewise.optimization.journal import Journal
from tilewise.optimization.metrics import Drop, Judge
from tilewise.optimization.sample import Sample
from tilewise.quant import Direct, Spec
from tilewise.train import save_weights

Specs: TypeAlias = Mapping[str, Spec]

DIRECT = "direct int8"
PROFILES = 7
"""Runs of which the fastest counts for each operation."""
TURNS, SECONDS, MOST_SECONDS = 9, 0.02, 4.0
"""How often networks take turns, about how long each runs in a turn, and in all turns together."""
SURE = 0.8
"""Share of the speed for which a network is taken that surely keeps the budget, and not only by its mean."""


@dataclass(frozen=True, kw_only=True)
class TriedLayer:
    """One operation of a compiled network, or a convolution: what it is and takes."""

    name: str
    op: str
    algorithm: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One network that was tried.

    Parameters
    ----------
    key : str
        Of its files in the folder of steps: ``KEY.tilewise`` and ``KEY.safetensors``.
    name : str
        What reports call it.
    promise : {"direct", "lossless", "post-training", "refined", "adapted"}
        What was done to the weights.
    specs : dict
        By pattern, in JSON's form; what :func:`tilewise.convert` takes.
    score : float
        On the images held back, by the metric.
    drop : Drop
        What is lost of it.
    milliseconds, speedup : float
        Of a call with one image; how many times as fast as direct int8, in turns with it.
    size : int
        Bytes of the compiled file.
    layers : list of TriedLayer
        Of the compiled network, in its order.
    """

    key: str
    name: str
    promise: Promise
    specs: dict[str, Any]
    score: float
    drop: Drop
    milliseconds: float
    speedup: float
    size: int
    layers: list[TriedLayer] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        layers = [TriedLayer(**layer) for layer in data["layers"]]
        return cls(**{**data, "drop": Drop(**data["drop"]), "layers": layers})


class Bench:
    """Makes and measures networks; what it has done before is read from the journal.

    Parameters
    ----------
    model : torch.nn.Module
        In float, in evaluation mode.
    shown, held : Sample
        To make networks with, and to judge them by.
    judge : Judge
        How.
    config : OptimizeConfig
        Threads and seed.
    journal : Journal
        Where steps are kept.
    say : callable
        Told of each network as it is tried.
    """

    def __init__(
        self, model: nn.Module, shown: Sample, held: Sample, judge: Judge, config: OptimizeConfig, journal: Journal,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.shown, self.held, self.judge = model, shown, held, judge
        self.config, self.journal, self.say = config, journal, say
        self.example = held.images[0]
        self.skips: Skips = _skips(model)
        with torch.no_grad():
            self.wanted = [model(x) for x in held.images]
        self.float_counts = self.counts(model)
        self.attempts: dict[str, Attempt] = {}
        self._base = self.float_counts
        self._direct: Engine | None = None

    def counts(self, network: Callable[[Tensor], Any]) -> Tensor:
        """Return what the score is made from, image by image: (N, size)."""
        targets = self.held.targets if self.judge.by_labels and self.held.targets else self.wanted
        with torch.no_grad():
            found = [self.judge.counts(network(x), y) for x, y in zip(self.held.images, targets, strict=True)]
        return torch.stack(found)

    def drop(self, counts: Tensor) -> Drop:
        """Return what a network loses, from its counts."""
        return self.judge.drop(self._base, counts, self.config.seed)

    def converted(self, specs: Specs) -> nn.Module:
        """Convert the float network, what no spec names to direct int8."""
        return convert(self.model, {**specs, "*": Direct()}, skips=self.skips).eval()

    def attempt(self, key: str, name: str, promise: Promise, specs: Specs, make: Callable[[], nn.Module]) -> Attempt:
        """Try a network, unless it was tried before.

        Parameters
        ----------
        key, name, promise, specs
            As of an :class:`Attempt`; direct int8 has to be tried first.
        make : callable
            Gives the network, converted by the specs and calibrated.
        """

        def measure() -> dict[str, Any]:
            self.say(f"trying {name} ...")
            network = make()
            engine = compile_model(network, self.example, threads=self.config.threads)
            self.journal.path(key).parent.mkdir(parents=True, exist_ok=True)
            engine.save(self.engine_path(key))
            save_weights(network, self.weights_path(key))
            counts = self.counts(engine)
            if promise == "direct" and self.judge.from_direct:
                self._base = counts
            found = time_in_turns({DIRECT: self._direct or engine, name: engine}, self.example)
            return Attempt(
                key=key, name=name, promise=promise, score=self.judge.score(counts), drop=self.drop(counts),
                specs={pattern: spec.to_dict() for pattern, spec in {**specs, "*": Direct()}.items()},
                milliseconds=1e3 * min(found[name]), speedup=ratio(found[DIRECT], found[name]),
                size=self.engine_path(key).stat().st_size, layers=_layers(engine, network, self.example),
            ).to_dict()  # fmt: skip

        found = Attempt.from_dict(self.journal.step(key, measure))
        if promise == "direct":
            self._direct = self.engine(found)
            if self.judge.from_direct:
                self._base = self.counts(self._direct)
        self.attempts[key] = found
        lost = f"loses {found.drop.value:.3g} {self.judge.task.unit} ({found.drop.low:.2g} to {found.drop.high:.2g})"
        self.say(f"{name}: {found.speedup:.2f}x direct int8, {lost}")
        return found

    def engine_path(self, key: str) -> Path:
        """Return where the compiled network of an attempt lies."""
        return self.journal.path(f"{key}.tilewise")

    def weights_path(self, key: str) -> Path:
        """Return where the weights and ranges of an attempt lie."""
        return self.journal.path(f"{key}.safetensors")

    def engine(self, attempt: Attempt) -> Engine:
        """Load an attempt's engine."""
        return load(self.engine_path(attempt.key), threads=self.config.threads)

    def fits(self, attempt: Attempt) -> bool:
        """Whether an attempt loses no more than is allowed."""
        return attempt.drop.value <= self.config.max_drop

    def eligible(self) -> list[Attempt]:
        """Return the attempts that fit; only those that surely do, if they are nearly as fast."""
        fitting = [attempt for attempt in self.attempts.values() if self.fits(attempt)]
        sure = [attempt for attempt in fitting if attempt.drop.high <= self.config.max_drop]
        fastest, surest = (max((attempt.speedup for attempt in some), default=0.0) for some in (fitting, sure))
        return sure if sure and surest >= SURE * fastest else fitting

    def best(self) -> Attempt | None:
        """Return the fastest of the eligible attempts."""
        return max(self.eligible(), key=lambda attempt: attempt.speedup, default=None)


def time_in_turns(networks: Mapping[str, Callable[[Tensor], Any]], image: Tensor) -> dict[str, list[float]]:
    """Return the seconds of a call of each network, turn by turn."""
    with torch.no_grad():
        watches = {name: stopwatch(functools.partial(network, image), SECONDS) for name, network in networks.items()}
        first = {name: [watch()] for name, watch in watches.items()}
        rounds = int(MOST_SECONDS / max(1e-6, 2 * sum(seconds for (seconds,) in first.values())))
        rest = in_turns(watches, max(2, min(TURNS - 1, rounds)))
    return {name: first[name] + rest[name] for name in networks}


def ratio(base: list[float], own: list[float]) -> float:
    """Return how many times as fast the second is, by the fastest turns of both: what disturbs a machine only adds."""
    return min(base) / min(own)


def _skips(model: nn.Module) -> Skips:
    """Tell whether skip connections can be quantized, which needs a network that can be traced."""
    try:
        convert(model, {"*": Direct()}, skips="quantized")
    except ValueError as error:
        if "torch.fx can not trace" not in str(error):
            raise
        return "float"
    return "quantized"


def _layers(engine: Engine, network: nn.Module, image: Tensor) -> list[TriedLayer]:
    """Return what the compiled network's operations are and take."""
    known = {report.name: report for report in describe(network)}
    runs = [engine.profile(image, repeats=1) for _ in range(PROFILES)]
    found = []
    for rows in zip(*runs, strict=True):
        name, op = rows[0]["name"], rows[0]["op"]
        report = known.get(name)
        algorithm = "" if report is None else "direct" if op.startswith("direct") else report.algorithm
        seconds = min(row["seconds"] for row in rows)
        reason = "" if report is None else report.reason
        found.append(TriedLayer(name=name, op=op, algorithm=algorithm, seconds=seconds, reason=reason))
    return found
