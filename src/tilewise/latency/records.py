"""One measured latency: of what, how long, where; a line of JSON in a table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from tilewise.latency.candidates import Candidate
from tilewise.latency.machine import Machine
from tilewise.latency.shapes import LayerShape

RECORD_VERSION = 1
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
    unfused : bool
        Whether float sums are rounded in the one order that networks with integers have (docs/contracts/kernels.md).
    """

    shape: LayerShape
    candidate: Candidate
    output: str = ""
    residual: str | None = None
    unfused: bool = False

    def __post_init__(self) -> None:
        if not self.output:
            object.__setattr__(self, "output", self.candidate.stored)

    def __str__(self) -> str:
        """Say it as errors name it."""
        s = self.shape
        kernel = "x".join(map(str, s.kernel))
        stride = "" if s.stride == (1, 1) else f", stride {s.stride[0]}"
        size = (
            f"{s.in_channels} -> {s.out_channels} channels, {kernel}{stride}, of {s.height}x{s.width}, batch {s.batch}"
        )
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


def convolution(shape: LayerShape, candidate: Candidate, *, mixed: bool) -> Convolution:
    """Give a convolution between layers of its own type, in a network where others are quantized (``mixed``) or not."""
    return Convolution(shape=shape, candidate=candidate, unfused=mixed and str(candidate) == "direct float32")


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
        """Give one line of JSON."""
        values = dataclasses.asdict(self)
        if isinstance(self.work, Convolution):
            values["work"] = {**values["work"], "candidate": str(self.work.candidate)}
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
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"it is no latency record: {error}") from error
        return record

    def _check(self) -> None:
        times = {
            "seconds": self.seconds,
            **dict(zip(("first quartile", "third quartile"), self.quartiles, strict=True)),
        }
        for name, value in times.items():
            if not isinstance(value, int | float) or not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value!r}; allowed: seconds from 0 on")
        if self.source not in ("network", "grid"):
            raise ValueError(f"source is {self.source!r}; allowed: network, grid")


def _work(values: dict[str, Any]) -> Work:
    if "op" in values:
        inputs = tuple(tuple(x) for x in values["inputs"])
        return Operation(**{**values, "inputs": inputs, "output": tuple(values["output"])})
    shape: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["shape"].items()}
    return Convolution(**{**values, "shape": LayerShape(**shape), "candidate": Candidate.parse(values["candidate"])})


def origin(machine: Machine, versions: Mapping[str, str]) -> dict[str, Any]:
    """Give the fields of a record that say where and when it is measured."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"machine": machine, "versions": dict(versions), "date": date}
