"""One measured latency: of what, how long, on what machine; a line of JSON in a table."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from tilewise.common.typed import check_types
from tilewise.latency.candidates import Candidate
from tilewise.latency.shapes import LayerShape

RECORD_VERSION = 1
RECORD_BEGINNING = f'{{"version": {RECORD_VERSION}, "work": {{'
"""How a line begins: by it one that a kill cut off is told from what others wrote."""
STAGES = ("input_transform", "requantize", "multiply", "output_transform")


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution within a network: what is computed, and what lies at its ends.

    Parameters
    ----------
    shape : LayerShape
        Its sizes.
    candidate : Candidate
        How it is computed.
    output : str
        What it writes: ``"uint8"``, ``"int16"``, ``"bfloat16"`` or ``"float32"``; by default as the candidate stores.
    residual : str, optional
        What it adds at its end, as the type of that tensor.
    ordered : bool
        Whether float sums are rounded in the one order that networks with integers have (docs/contracts/kernels.md).
    """

    shape: LayerShape
    candidate: Candidate
    output: str = ""
    residual: str | None = None
    ordered: bool = False

    def __post_init__(self) -> None:
        if not self.output:
            object.__setattr__(self, "output", self.candidate.stored)

    def __str__(self) -> str:
        """Say it as errors name it."""
        s = self.shape
        kernel = "x".join(map(str, s.kernel))
        stride = "" if s.stride == (1, 1) else f", stride {s.stride[0]}"
        groups = "" if s.groups == 1 else f", {s.groups} groups"
        layer = f"{s.in_channels} -> {s.out_channels} channels, {kernel}{stride}{groups}"
        size = f"{layer}, of {s.height}x{s.width}, batch {s.batch}"
        return f"{self.candidate} of {size}"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What else an engine does: an operation that is no convolution, or ``"call"``, what a call takes around them all.

    Parameters
    ----------
    op : str
        As in a program: ``"input"``, ``"pool"``, ``"eltwise"``, ...
    inputs : tuple of (str, int, int, int)
        Type, channels, height, width of each tensor that it reads: x, then the residual.
    output : (str, int, int, int)
        Of the tensor that it writes.
    batch : int
        Images at once.
    """

    op: str
    inputs: tuple[tuple[str, int, int, int], ...]
    output: tuple[str, int, int, int]
    batch: int

    def __str__(self) -> str:
        """Say it as errors name it."""
        ends = [f"{dtype} {c}x{h}x{w}" for dtype, c, h, w in (*self.inputs, self.output)]
        return f"{self.op} of {', '.join(ends[:-1])} to {ends[-1]}, batch {self.batch}"


Work: TypeAlias = Convolution | Operation


def convolution(shape: LayerShape, candidate: Candidate, *, ordered: bool) -> Convolution:
    """Return a convolution between layers of its own type, in a network whose float sums have one order or not.

    They have where other layers are quantized. Only sums of direct float layers take longer then.
    """
    return Convolution(shape=shape, candidate=candidate, ordered=ordered and str(candidate) == "direct float32")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One machine as far as latencies compare.

    Parameters
    ----------
    cpu : str
        The processor's name.
    isa : str
        Kernel set (``tilewise info``).
    threads : int
        How many the engine runs with.
    """

    cpu: str
    isa: str
    threads: int

    def __str__(self) -> str:
        """Name it in one line."""
        return f"{self.cpu}, {self.isa}, threads: {self.threads}"

    @classmethod
    def here(cls, threads: int) -> Machine:
        """Name the machine that this process runs on, with the kernel set that engines get."""
        return cls(cpu=cpu_name(), isa=kernel_set(), threads=threads)


def cpu_name() -> str:
    """Name the processor as the program for other machines names it (native/base/machine.h)."""
    from tilewise import _native

    return _native.cpu_name()


def kernel_set() -> str:
    """Name the kernel set that engines get: the one forced by ``TILEWISE_ISA``, or the best one."""
    from tilewise import _native

    best = next(str(entry["name"]) for entry in _native.kernel_sets() if entry["supported"])
    return os.environ.get("TILEWISE_ISA") or best


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measured latency.

    Parameters
    ----------
    work : Convolution or Operation
        What was measured.
    seconds : float
        Median over rounds.
    quartiles : (float, float)
        First and third, in seconds.
    rounds : int
        How many there were.
    stages : dict of str to float
        Seconds of the stages of a fast convolution, as in ``Engine.profile``; empty for all else.
    source : {"network", "grid"}
        Measured among the layers of a network, or alone.
    machine : Machine
        Where.
    versions : dict of str to str
        Of tilewise, and of the compiler if known.
    date : str
        ISO 8601, UTC.
    """

    work: Work
    seconds: float
    quartiles: tuple[float, float]
    rounds: int
    source: Literal["network", "grid"]
    machine: Machine
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    stages: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return one line of JSON."""
        values = dataclasses.asdict(self)
        if isinstance(self.work, Convolution):
            values["work"]["candidate"] = str(self.work.candidate)
            values["work"]["unfused"] = values["work"].pop("ordered")  # as version 1 calls it
        return json.dumps({"version": RECORD_VERSION, **values})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read one line.

        Raises
        ------
        ValueError
            If it is damaged, or of another version.
        """
        try:
            values = json.loads(line)
            version = values.pop("version")
            if version != RECORD_VERSION:
                raise ValueError(f"it is of version {version!r}; this release reads version {RECORD_VERSION}")
            record = cls(**{**values, "work": _work(values["work"]), "machine": Machine(**values["machine"]),
                            "quartiles": tuple(values["quartiles"])})  # fmt: skip
            record._check()
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"it is no latency record: {error}") from error
        return record

    def _check(self) -> None:
        check_types(self)
        times = {
            "seconds": self.seconds,
            **dict(zip(("first quartile", "third quartile"), self.quartiles, strict=True)),
        }
        for name, value in times.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value!r}; allowed: seconds from 0 on")


def _work(values: dict[str, Any]) -> Work:
    if "op" in values:
        inputs = tuple(tuple(x) for x in values["inputs"])
        return Operation(**{**values, "inputs": inputs, "output": tuple(values["output"])})
    known = {("ordered" if k == "unfused" else k): v for k, v in values.items()}
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in known["shape"].items()}
    return Convolution(**{**known, "shape": LayerShape(**shape), "candidate": Candidate.parse(known["candidate"])})


def origin(machine: Machine, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a record that say where and when it is measured."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"machine": machine, "versions": dict(versions), "date": date}
