"""Starts the workers, lets their contenders take turns, and keeps what they took."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console

from peers import cases
from peers.net import Sample
from peers.ratios import best, gops
from peers.registry import OURS, peer
from peers.results import DTYPES, Contender, Results, Unit
from peers.runner import Variant
from peers.sample_file import write_sample
from peers.worker import Worker, WorkerError

PAUSE = 0.025  # several threads spin on for some milliseconds when a call is over
ISA_VARIABLES = {
    "TILEWISE_ISA": str.lower, "DNNL_MAX_CPU_ISA": str.upper, "ONEDNN_MAX_CPU_ISA": str.upper,
    "ATEN_CPU_CAPABILITY": str.lower,
}  # fmt: skip


Key: TypeAlias = tuple[str, str, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to measure.

    Parameters
    ----------
    cases, dtypes, peers : tuple of str
        By name.
    threads : tuple of int
        Numbers of threads.
    batches, layer_batches : tuple of int
        Numbers of images, for networks and for layers.
    launches, rounds : int
        Fresh processes per unit, and turns within one.
    seconds : float
        Of calls per contender and turn.
    isa : str
        Instructions to stay with; empty for the best.
    """

    cases: tuple[str, ...]
    dtypes: tuple[str, ...]
    peers: tuple[str, ...]
    threads: tuple[int, ...]
    batches: tuple[int, ...]
    layer_batches: tuple[int, ...]
    launches: int
    rounds: int
    seconds: float
    isa: str = ""

    def keys(self) -> Iterator[Key]:
        """Return case, data type, batch, threads and launch of each unit, in order."""
        for launch, threads, case in product(range(self.launches), self.threads, self.cases):
            batches = self.batches if case in cases.NETWORKS else self.layer_batches
            for batch, dtype in product(batches, self.dtypes):
                yield case, dtype, batch, threads, launch


def isa_settings(isa: str) -> dict[str, str]:
    """Return the environment variables that hold the peers to instructions such as ``"avx2"``."""
    return {name: spell(isa) for name, spell in ISA_VARIABLES.items()} if isa else {}


def available(names: Iterable[str], isa: str, log: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Ask the peers for their versions; give those, and why others are left out."""
    versions, missing = {}, {}
    for name in names:
        if isa and not peer(name).FORCED_BY:
            missing[name] = f"nothing holds it to {isa}"
            continue
        worker = Worker(name, 1, isa_settings(isa), log)
        try:
            versions[name] = worker.ask("version")
        except WorkerError as error:
            missing[name] = str(error)
        worker.stop()
    return versions, missing


class Team:
    """The workers of one launch; one that dies is started again with what it had."""

    def __init__(self, job: Job, threads: int, log: Path) -> None:
        self.job, self.threads, self.log = job, threads, log
        self.workers: dict[str, Worker] = {}

    def worker(self, name: str) -> Worker:
        """Return a peer's worker, started if need be."""
        if name not in self.workers or not self.workers[name].alive:
            self.workers[name] = Worker(name, self.threads, isa_settings(self.job.isa), self.log)
        return self.workers[name]

    def build(self, name: str, variants: list[Variant], path: str) -> list[Contender]:
        """Build a peer's variants; where its process dies of one, all over again without that one."""
        refused: dict[str, str] = {}
        while True:
            found = []
            for variant in variants:
                contender = Contender(name, variant.name, variant.fast, note=refused.get(variant.name, ""))
                found.append(contender)
                if variant.name in refused:
                    continue
                worker = self.worker(name)
                try:
                    built = worker.ask("build", variant, path)
                except WorkerError as error:
                    contender.note = refused[variant.name] = str(error)
                    if not worker.alive:
                        break
                else:
                    contender.error, contender.note = built["error"], built["note"]
            else:
                return found

    def rounds(self, contenders: list[Contender]) -> None:
        """Let the contenders take turns."""
        ready = [c for c in contenders if c.error is not None]
        for _ in range(self.job.rounds):
            for contender in list(ready):
                if self.threads > 1:
                    time.sleep(PAUSE)
                try:
                    seconds = self.workers[contender.peer].ask("measure", contender.variant, self.job.seconds)
                except WorkerError as error:
                    contender.note, contender.call, contender.node = str(error), [], []
                    ready.remove(contender)
                    continue
                contender.call.append(seconds["call"])
                if "node" in seconds:
                    contender.node.append(seconds["node"])

    def free(self) -> None:
        """Forget the case."""
        for worker in self.workers.values():
            if worker.alive:
                worker.ask("free")

    def stop(self) -> None:
        """End all workers."""
        for worker in self.workers.values():
            worker.stop()


def variants_of(name: str, dtype: str, *, layer: bool) -> list[Variant]:
    """List a peer's variants for a kind of case."""
    return [v for v in peer(name).VARIANTS if v.dtype == dtype and (v.layers if layer else v.networks)]


def peaks(job: Job, threads: int) -> dict[str, float]:
    """Measure what the threads can do at most: one core's figures times the threads."""
    from tilewise import _native

    found: dict[str, Any] = dict(_native.measure_peaks(job.isa))
    return {name: float(value) * threads for name, value in found.items()}


def measure(job: Job, names: list[str], results: Results, console: Console) -> None:
    """Measure every unit that the results lack."""
    todo = [key for key in job.keys() if key not in results]  # noqa: SIM118 - not a mapping
    done, start = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        held = SampleFolder(Path(folder))
        for (_, threads), keys in groupby(todo, key=lambda key: (key[-1], key[-2])):
            team = Team(job, threads, results.path.with_suffix(".log"))
            for key in keys:
                unit = _unit(team, names, key, held.prepare(key[0], key[2]), folder)
                results.add(unit)
                done += 1
                console.print(summary(unit), f"[{done} of {len(todo)}, {time.monotonic() - start:.0f} s]")
            team.stop()


class SampleFolder:
    """Where workers find the case."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: tuple[tuple[str, int], Sample] | None = None

    def prepare(self, case: str, batch: int) -> Sample:
        """Make a case and write it, unless it is there."""
        if self._held is None or self._held[0] != (case, batch):
            self._held = ((case, batch), cases.make(case, batch))
            write_sample(self._held[1], self.path)
        return self._held[1]


def _unit(team: Team, names: list[str], key: Key, sample: Sample, path: str) -> Unit:
    case, dtype, batch, threads, launch = key
    layer = sample.net.is_layer
    unit = Unit(
        kind="layer" if layer else "network", case=case, dtype=dtype, batch=batch, threads=threads, launch=launch,
        operations=sample.net.operations(batch), bytes=sample.net.bytes(batch, DTYPES[dtype].bytes),
        peaks=peaks(team.job, threads),
    )  # fmt: skip
    for name in names:
        unit.contenders += team.build(name, variants_of(name, dtype, layer=layer), path)
    team.rounds(unit.contenders)
    team.free()
    return unit


def summary(unit: Unit) -> str:
    """Name a unit, our best contender and the best of the others."""
    text = f"{unit.case}, {unit.dtype}, batch {unit.batch}, {unit.threads} threads, launch {unit.launch + 1}:"
    for whose, found in (("ours", best(unit, ours=True)), ("peers", best(unit, ours=False))):
        if found is not None:
            text += f" {whose} {gops(unit, found):.0f} GOP/s ({found.name.removeprefix(OURS + ' ')});"
    return text
