"""The climb over the promises, from free to dear, until the budget is met and more time gains nothing."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tilewise.optimization.attempts import DIRECT as DIRECT_NAME
from tilewise.optimization.attempts import Attempt, Bench
from tilewise.optimization.candidates import CANDIDATES, DIRECT, LOSSLESS, SPECS, LayerCandidate, Promise
from tilewise.optimization.choosing import front, layer_losses
from tilewise.optimization.training import Trainer
from tilewise.quant import Spec, spec_from_dict
from tilewise.train import load_weights

GAIN = 1.02
"""How many times as fast the table must promise a network to be for it to be tried."""
REFINING = 3
"""How many times as long refinement takes as calibration, until it is known."""
ADAPTED = 3
"""Networks that are adapted at most, from the fastest on."""
SHARE = 0.6
"""Of the time left that one adaptation may take."""


@dataclass
class Clock:
    """The time that may be spent."""

    end: float

    @classmethod
    def of(cls, minutes: float) -> Clock:
        """Start it."""
        return cls(time.monotonic() + 60 * minutes)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()


class Climb:
    """Tries networks, each by what is known from those before.

    Parameters
    ----------
    bench : Bench
        Where networks are measured.
    trainer : Trainer
        What makes them.
    clock : Clock
        Nothing new is begun once it has run down, but direct int8 is always tried.

    Attributes
    ----------
    seconds, losses : dict of str to dict of str to float
        By layer, then by candidate: measured in networks of one candidate, and alone in the float network.
    """

    def __init__(self, bench: Bench, trainer: Trainer, clock: Clock) -> None:
        self.bench, self.trainer, self.clock = bench, trainer, clock
        self.seconds: dict[str, dict[str, float]] = {}
        self.losses: dict[str, dict[str, float]] = {}
        self._longest: dict[bool, float] = {}

    def run(self) -> None:
        """Climb; all that was tried is the bench's."""
        plain = [candidate for candidate in CANDIDATES if candidate.promise != "refined"]
        self._uniform(plain)
        self._mixed("post-training", plain)
        # Refinement makes up for less than the algorithms' own noise, but also where that is small, as symbolic
        # Fourier's is: on images, it pays there first.
        self._mixed("refined", plain)
        trained = [candidate for candidate in CANDIDATES if candidate.promise == "refined"]
        self._uniform(trained)
        self._mixed("refined", CANDIDATES)
        self._adapt()

    def _uniform(self, candidates: Sequence[LayerCandidate]) -> None:
        """Try each candidate in all layers: a network of its own, and what each layer takes and loses by it."""
        for candidate in candidates:
            if candidate is not DIRECT and not self._has_time(candidate.promise):
                return
            name = DIRECT_NAME if candidate is DIRECT else f"{candidate.name} in all layers"
            specs = self._specs(dict.fromkeys(self.losses, candidate.name))
            self._learn(candidate, self._try(candidate.key, name, candidate.promise, specs))

    def _learn(self, candidate: LayerCandidate, attempt: Attempt) -> None:
        """Note what each layer takes and loses as a candidate."""

        def measure() -> dict[str, Any]:
            network = load_weights(self.bench.model, self.bench.weights_path(attempt.key)).eval()
            return layer_losses(self.bench.model, network, self.trainer.looked_at())

        if candidate is LOSSLESS:
            served = {layer.name for layer in attempt.layers if layer.op.startswith(("wrapping", "residue"))}
            losses = {layer: found[DIRECT.name] for layer, found in self.losses.items() if layer in served}
        else:
            losses = self.bench.journal.step(f"losses-{attempt.key}", measure)
        taken: dict[str, float] = {}
        for row in attempt.layers:
            taken[row.name] = taken.get(row.name, 0.0) + row.seconds
        for layer in losses.keys() & taken.keys():
            self.seconds.setdefault(layer, {})[candidate.name] = taken[layer]
            self.losses.setdefault(layer, {})[candidate.name] = losses[layer]

    def _mixed(self, promise: Promise, candidates: Sequence[LayerCandidate]) -> None:
        """Find the fastest network of the front that fits: loss grows along it, so its middle says where to look."""
        names = [candidate.name for candidate in candidates]
        points = self._front(names)
        low, high = 0, len(points)
        while low < high and self._has_time(promise):
            middle = (low + high) // 2
            best = self.bench.best()
            if best is not None and self._promised(points[middle]) < GAIN * best.speedup:
                low = middle + 1  # no faster than what fits already
                continue
            if self.bench.fits(self._try_choice(promise, points[middle])):
                low = middle + 1
            else:
                high = middle

    def _adapt(self) -> None:
        """Distil the fastest networks that do not fit yet, from refined weights on."""
        if not self.trainer.can_adapt():
            return
        points = self._front([candidate.name for candidate in CANDIDATES])
        for choice in list(reversed(points))[:ADAPTED]:
            best = self.bench.best()
            if best is not None and self._promised(choice) < GAIN * best.speedup:
                return
            if not self._has_time("refined"):
                return
            refined = self._try_choice("refined", choice)
            if self.bench.fits(refined):
                return
            if self._adapt_from(refined) is None:
                return

    def _adapt_from(self, refined: Attempt) -> Attempt | None:
        """Distil one network; None if there is no time for it."""
        bench, key = self.bench, f"{refined.key}-adapted"
        start = load_weights(bench.model, bench.weights_path(refined.key)).eval()

        def plan() -> dict[str, Any]:
            return {"steps": self.trainer.adaptation_steps(start, SHARE * self.clock.left)}

        # A run that was killed goes on with as many steps as it began with.
        steps = bench.journal.step(f"{key}-plan", plan)["steps"]
        if not steps:
            bench.journal.forget(f"{key}-plan")
            return None
        name = f"{refined.name}, {steps} steps of distillation"
        specs = {pattern: spec_from_dict(spec) for pattern, spec in refined.specs.items()}
        return bench.attempt(
            key, name, "adapted", specs, lambda: self.trainer.adapted(start, steps, bench.journal.path(key))
        )

    def _front(self, names: Sequence[str]) -> list[dict[str, str]]:
        """Return choices for all layers, from the least loss to the least time."""
        seconds = {layer: {n: s for n, s in found.items() if n in names} for layer, found in self.seconds.items()}
        return front(seconds, self.losses)

    def _promised(self, choice: Mapping[str, str]) -> float:
        """Return how many times as fast as direct int8 a choice should be, by the times of its layers."""
        saved = sum(self.seconds[layer][DIRECT.name] - self.seconds[layer][name] for layer, name in choice.items())
        total = sum(layer.seconds for layer in self.bench.attempts[DIRECT.key].layers)
        return total / max(1e-9, total - saved)

    def _try_choice(self, promise: Promise, choice: Mapping[str, str]) -> Attempt:
        """Try a network of a choice for each layer; its name counts the layers of each candidate."""
        counts = Counter(choice.values())
        name = ", ".join(f"{counts[c.name]} {c.name}" for c in CANDIDATES if counts[c.name])
        text = json.dumps([promise, sorted(choice.items())])
        return self._try(f"mixed-{hashlib.sha256(text.encode()).hexdigest()[:12]}", name, promise, self._specs(choice))

    def _try(self, key: str, name: str, promise: Promise, specs: dict[str, Spec]) -> Attempt:
        make = self.trainer.refined if promise == "refined" else self.trainer.calibrated
        began = time.monotonic()
        attempt = self.bench.attempt(key, name, promise, specs, lambda: make(self.bench.converted(specs)))
        refined = promise == "refined"
        self._longest[refined] = max(self._longest.get(refined, 0.0), time.monotonic() - began)
        return attempt

    def _has_time(self, promise: Promise) -> bool:
        """Whether the time that is left is as much as the longest network of this kind took."""
        known = self._longest.get(promise == "refined", REFINING * self._longest.get(False, 0.0))
        return self.clock.left > known

    def _specs(self, choice: Mapping[str, str]) -> dict[str, Spec]:
        return {layer: SPECS[name] for layer, name in choice.items() if name != DIRECT.name}
