"""Measuring a network's layers where they stand: in engines of the whole network, each candidate in every layer."""

from __future__ import annotations

import copy
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.conversion import convert
from tilewise.engine import Engine
from tilewise.engine.compiler import check_example, make_plan
from tilewise.latency.candidates import CANDIDATES, Candidate, check_candidates
from tilewise.latency.machine import Machine
from tilewise.latency.records import STAGES, Record, Work, origin
from tilewise.latency.table import LatencyTable
from tilewise.latency.works import call_of, works_of
from tilewise.nn import Quantize, QuantizedConv, WinogradConv2d
from tilewise.quant import FLOAT_BITS
from tilewise.train import calibrate
from tilewise.train.progress import track

Layers: TypeAlias = Mapping[str, Candidate]
"""What each convolution of a network becomes, by its name."""

ROUNDS = 15
TOGETHER = 2**30
"""Bytes of weights in engines that take turns; there are at least two."""


def measure(
    model: nn.Module,
    example: Any,
    *,
    threads: int = 1,
    candidates: Iterable[Candidate | str] = CANDIDATES,
    out: str | Path | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> LatencyTable:
    """Measure what each layer of a model takes as each candidate, and all else that a call of its engine does.

    Measured is within engines of the whole network, where a layer's weights and inputs come from where they will come
    from: one engine per candidate in all layers, and as many again in which each layer draws another candidate, so
    that what stands between layers of different types is measured too. Engines take turns, round by round. A layer
    that a candidate does not serve is direct at its width, as :func:`tilewise.convert` makes it.

    Parameters
    ----------
    model : torch.nn.Module
        Any network that can be compiled, converted or not; its weights do not matter.
    example : Tensor or array of shape (N, C, H, W), float32
        Images of the size to serve, N at once.
    threads : int
        How many to run with.
    candidates : iterable of Candidate or str
        What to measure, such as ``"F4 int8"``.
    out : path, optional
        File of the table: what is there stays, what is measured again is replaced.
    rounds : int
        Runs of each engine, at least 1; medians are kept.
    seed : int
        Of noise, and of which layer draws what.

    Returns
    -------
    LatencyTable
        With the file's records, and the new ones.

    Raises
    ------
    ValueError
        If there are no candidates or one is unknown, the file is of another machine, or the network can not be compiled.
    """
    chosen, images = check_candidates(candidates), check_example(example)
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}; it must be at least 1")
    table = open_table(out, threads)
    convs = [name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    choices = [*uniform(convs, chosen), *shuffled(convs, chosen, seed)]
    occurrences: dict[Work, list[Timing]] = defaultdict(list)
    for group in _groups(model, images, choices, threads):
        for _ in track(range(rounds), "measure", enabled=True):
            for network in group:
                network.run(images.numpy())
        for network in group:
            for work, timing in network.timings():
                occurrences[work].append(timing)
    for work, timings in occurrences.items():
        mean = Timing.mean(timings)
        table.append(Record(work=work, **vars(mean), rounds=rounds, source="network", **origin(threads)))
    return table


def open_table(path: str | Path | None, threads: int) -> LatencyTable:
    """Give the table of a file, or an empty one; refuse one of another machine or number of threads."""
    if path is None or not Path(path).exists():
        return LatencyTable(path=path)
    table = LatencyTable.load(path)
    if len(table) and table.machine != Machine.here(threads):
        raise ValueError(f"{path} is of {table.machine}; this would be {Machine.here(threads)}: use another file")
    return table


def uniform(convs: Sequence[str], candidates: Sequence[Candidate]) -> list[Layers]:
    """Give each candidate to all layers."""
    return [dict.fromkeys(convs, candidate) for candidate in candidates]


def shuffled(convs: Sequence[str], candidates: Sequence[Candidate], seed: int) -> list[Layers]:
    """Give each layer all candidates, one in each network, in an order of its own.

    A network is compiled with one precision of float layers: float32 and bf16 are never in the same one.
    """
    random = np.random.default_rng(seed)
    found: list[Layers] = []
    for dtype, other in (("float32", "bf16"), ("bf16", "float32")):
        group = [c for c in candidates if c.dtype != other]
        if len(group) > 1 and any(c.dtype == dtype for c in group) or (dtype == "float32" and len(group) > 1):
            orders = [random.permutation(len(group)) for _ in convs]
            found += [
                {name: group[order[i]] for name, order in zip(convs, orders, strict=True)} for i in range(len(group))
            ]
    return found


def converted(model: nn.Module, layers: Layers, example: Tensor) -> nn.Module:
    """Convert a model as chosen, with ranges of noise; learned transforms are moved off their algorithm's zeros."""
    quantized = any(candidate.spec().bits != FLOAT_BITS for candidate in layers.values())
    specs = {name: candidate.spec() for name, candidate in layers.items()}
    result = convert(model, specs, skips="quantized" if quantized else "float").eval()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for module in result.modules():
            if isinstance(module, WinogradConv2d) and module.spec.transforms == "learned":
                for matrix in (module.AT, module.G, module.BT):
                    matrix += 0.1 * torch.rand_like(matrix)
    return with_ranges(result, example)


def with_ranges(model: nn.Module, example: Any) -> nn.Module:
    """Give a model in evaluation whose quantized layers have ranges: itself, or a copy that has seen noise."""
    layers = [m for m in model.modules() if isinstance(m, QuantizedConv | Quantize)]
    names = {id(m): "range" if isinstance(m, Quantize) else "input_range" for m in layers}
    quantized = [m for m in layers if isinstance(m, Quantize) or m.spec.bits != FLOAT_BITS]
    if all(getattr(m, names[id(m)]).ready for m in quantized):
        return model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return calibrate(copy.deepcopy(model), [torch.randn(check_example(example).shape)])


def precision_of(layers: Layers) -> str:
    """Tell what to compile a network with."""
    return "bf16" if any(candidate.dtype == "bf16" for candidate in layers.values()) else "float32"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one operation: median over rounds, quartiles; and of its stages."""

    seconds: float
    quartiles: tuple[float, float]
    stages: dict[str, float]

    @classmethod
    def of(cls, seconds: Sequence[float], stages: Sequence[Mapping[str, float]] = ()) -> Timing:
        """Sum up rounds."""
        low, middle, high = (max(0.0, float(q)) for q in np.quantile(seconds, (0.25, 0.5, 0.75)))
        medians = {s: statistics.median(row[s] for row in stages) for s in STAGES} if stages else {}
        return cls(seconds=middle, quartiles=(low, high), stages=medians)

    @classmethod
    def mean(cls, timings: Sequence[Timing]) -> Timing:
        """Give the mean over the places of a network that are alike: sums over the network stay the same."""
        means = [statistics.mean(x) for x in zip(*((t.seconds, *t.quartiles) for t in timings), strict=True)]
        stages = {s: statistics.mean(t.stages[s] for t in timings) for s in timings[0].stages}
        return cls(seconds=means[0], quartiles=(means[1], means[2]), stages=stages)


@dataclass
class Network:
    """An engine, what its operations are, and what they took in each round."""

    engine: Engine
    works: list[Work]
    rows: list[list[dict[str, Any]]] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, model: nn.Module, layers: Layers, example: Tensor, threads: int) -> Network:
        """Compile a network as chosen."""
        prepared = converted(model, layers, example)
        plan = make_plan(prepared, example, precision_of(layers))
        return cls(Engine(plan, threads=threads), [*works_of(plan, prepared), call_of(plan)])

    def run(self, images: Any) -> None:
        """Measure one round."""
        self.engine(images)  # brings its weights back to where a network's own calls leave them
        start = time.perf_counter()
        self.engine(images)
        self.calls.append(time.perf_counter() - start)
        self.rows.append(self.engine.profile(images, repeats=1))

    def timings(self) -> Iterator[tuple[Work, Timing]]:
        """Give each operation's seconds; last the call's, less its operations."""
        for i, work in enumerate(self.works[:-1]):
            rows = [row[i] for row in self.rows]
            yield work, Timing.of([row["seconds"] for row in rows], rows if rows[0]["multiply"] else ())
        around = [t - sum(row["seconds"] for row in rows) for t, rows in zip(self.calls, self.rows, strict=True)]
        yield self.works[-1], Timing.of(around)


def _groups(model: nn.Module, example: Tensor, choices: Sequence[Layers], threads: int) -> Iterator[list[Network]]:
    """Compile the networks, as many at once as memory should hold."""
    group: list[Network] = []
    size = 0
    for layers in choices:
        network = Network.of(model, layers, example, threads)
        group.append(network)
        size += sum(array.nbytes for array in network.engine.plan.arrays.values())
        if size >= TOGETHER and len(group) > 1:
            yield group
            group, size = [], 0
    if group:
        yield group
