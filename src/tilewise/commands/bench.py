"""The command that measures a compiled network as a server sees it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from tilewise.commands.options import Common
from tilewise.common.limits import usable_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tilewise.engine import Engine
    from tilewise.engine.streams import Streams

SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
LONGEST = 3600.0
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure a compiled network as a server sees it: percentiles of latency, and throughput.

    With 1, 2, 4, ... threads up to --threads: one request at a time on all of them, and as many requests at a time as
    there are threads.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """File that `tilewise compile` wrote."""
    size: str | None = None
    """Height and width of the images, such as 224x224; for a network that takes images of any size."""
    batch: tuple[int, ...] = (1,)
    """Images of a request; several numbers are measured one after another."""
    seconds: float = 2.0
    """How long to measure each."""
    pin: bool = False
    """Keep each of several requests on cores of its own."""
    common: Common = field(default_factory=Common)

    def run(self) -> dict[str, Any]:
        """Measure."""
        from tilewise import _native
        from tilewise.common.progress import track
        from tilewise.engine import load
        from tilewise.latency.requests import serve

        self._check()
        most = self.common.threads or usable_threads()
        engine = load(self.file, threads=most, batch=max(self.batch))
        pixels = _size(self.size, engine, self.file)
        rows = []
        cases = [(threads, batch) for threads in _counts(most) for batch in self.batch]
        for threads, batch in track(cases, "bench", enabled=True):
            own, images = engine.share(threads), _images(engine, batch, pixels, self.common.seed)
            for streams in self._streams(threads):
                served = serve(own, images, streams, self.seconds)
                rows.append({
                    "threads": threads, "batch": batch, "in_flight": streams.workers, "requests": len(served.seconds),
                    **{f"p{percent}_ms": 1e3 * served.percentile(percent) for percent in PERCENTILES},
                    "images_per_second": served.images_per_second,
                })  # fmt: skip
        sizes = {entry.name: list(size) for entry, size in zip(engine.inputs, pixels, strict=True)}
        _print(f"{self.file.name}: {engine.kernel_set}, {_native.cpu_name()}", rows)
        return {
            "file": str(self.file), "kernel_set": engine.kernel_set, "cpu": _native.cpu_name(), "sizes": sizes,
            "seconds": self.seconds, "pin": self.pin, "rows": rows,
        }  # fmt: skip

    def _check(self) -> None:
        if not 0 < self.seconds <= LONGEST:
            raise ValueError(f"seconds is {self.seconds}; allowed: above 0, at most {LONGEST:.0f}")
        if not self.batch or min(self.batch) < 1:
            raise ValueError(f"batch is {' '.join(map(str, self.batch)) or 'empty'}; allowed: numbers from 1 on")
        if self.size is not None and not SIZE.fullmatch(self.size):
            raise ValueError(f"size is {self.size}; allowed: height x width, such as 224x224")

    def _streams(self, threads: int) -> Iterator[Streams]:
        """Go through one request at a time, and several where that is another thing."""
        from tilewise.engine.streams import streams_of

        yield streams_of("latency", 1, threads)
        if threads > 1:
            yield streams_of("throughput", threads, threads, pin=self.pin)


def _counts(most: int) -> list[int]:
    """Return the powers of 2 below ``most``, and it."""
    return [*(2**i for i in range(most.bit_length()) if 2**i < most), most]


def _size(asked: str | None, engine: Engine, file: Path) -> list[tuple[int, int]]:
    """Return height and width of each input."""
    match = SIZE.fullmatch(asked or "")
    sizes = []
    for entry in engine.inputs:
        if match is None and 0 in entry.size:
            raise ValueError(f"{file} takes images of many sizes; allowed: --size HEIGHTxWIDTH, such as 224x224")
        height, width = map(int, match.groups()) if match is not None else entry.size
        sizes.append((entry.size[0] or height, entry.size[1] or width))
    if match is not None and all(0 not in entry.size for entry in engine.inputs):
        raise ValueError(f"size is {asked}, but {file} takes images of one size; allowed: no --size")
    return sizes


def _images(engine: Engine, batch: int, sizes: list[tuple[int, int]], seed: int) -> list[NDArray[Any]]:
    import numpy as np

    random = np.random.default_rng(seed)
    return [
        random.standard_normal((batch, entry.channels, *size), np.float32)
        for entry, size in zip(engine.inputs, sizes, strict=True)
    ]


def _print(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    columns = ("threads", "batch", "in flight", "requests", *(f"p{percent} ms" for percent in PERCENTILES), "images/s")
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        whole = [str(row[name]) for name in ("threads", "batch", "in_flight", "requests")]
        times = [f"{row[f'p{percent}_ms']:.3f}" for percent in PERCENTILES]
        table.add_row(*whole, *times, f"{row['images_per_second']:.0f}")
    Console(width=120).print(table)
