"""Latency tables: records of one machine in a file of JSON lines, and what they say of layers and networks."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tilewise.latency.candidates import Candidate
from tilewise.latency.interpolation import MissingError, OutsideError, Point, coordinates, family, interpolate
from tilewise.latency.layers import run_as, served, with_ranges
from tilewise.latency.models import ConvolutionModel, ElementModel
from tilewise.latency.operations import SizedProgram, call_of, ends_bytes, operations_of
from tilewise.latency.records import Convolution, Machine, Operation, Record, Work, convolution
from tilewise.latency.shapes import LayerShape
from tilewise.quant import Spec

if TYPE_CHECKING:
    from torch import nn

HOW = "measure it: tilewise measure --model ... for a network's layers, tilewise measure --grid for sizes between"
HOW_AS = (
    'measure it: tilewise measure --candidates "{}" with --model ... for a network\'s layers, --grid for sizes between'
)


class LatencyTable:
    """Latencies of one machine with one kernel set and number of threads.

    Parameters
    ----------
    records : iterable of Record
        What was measured; of two of the same work and source the later one counts.
    path : path, optional
        File that :meth:`append` writes to.

    Raises
    ------
    ValueError
        If records are of several machines.

    Examples
    --------
    >>> table = tilewise.measure(model, example)
    >>> table.seconds(shape, tilewise.Winograd("F4"))
    >>> table.predict(converted, example)
    """

    def __init__(self, records: Iterable[Record] = (), *, path: str | Path | None = None) -> None:
        self._records: dict[tuple[Work, str], Record] = {}
        self._fitted: ConvolutionModel | None = None
        self._path = None if path is None else Path(path)
        for record in records:
            self._add(record)

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        """Go through the records, in the order in which their work was first measured."""
        return iter(self._records.values())

    @property
    def machine(self) -> Machine:
        """What the records were measured on.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not self._records:
            raise ValueError(f"the latency table is empty; {HOW}")
        return next(iter(self)).machine

    def has(self, work: Work, source: str) -> bool:
        """Whether this was measured, in a network or in a grid."""
        return (work, source) in self._records

    # Files

    @classmethod
    def load(cls, path: str | Path, *, any_machine: bool = False) -> Self:
        """Read a table; :meth:`append` then goes on in the same file.

        Parameters
        ----------
        path : path
            JSON lines. A last line without an end, as a killed run leaves it, is left out with a warning.
        any_machine : bool
            Take a table of another machine too.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is damaged, naming it, or the records are of another machine, or of several.
        """
        path = Path(path)
        text = path.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        if torn:
            print(f"{path}: the last line is incomplete and left out", file=sys.stderr)
        table = cls(path=path)
        for number, line in enumerate(whole.split("\n") if whole else (), 1):
            try:
                table._add(Record.from_json(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
        if not any_machine and len(table):
            table.check_machine()
        return table

    def save(self, path: str | Path) -> None:
        """Write the table to a file, which :meth:`append` then goes on with."""
        self._path = Path(path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text("".join(record.to_json() + "\n" for record in self), encoding="utf-8")

    def append(self, record: Record) -> None:
        """Add a record, to the file too if the table has one: as one whole line, after whatever a killed run left.

        Raises
        ------
        ValueError
            If it is of another machine than the others.
        """
        self._add(record)
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            end = file.seek(0, 2)
            while end and _byte_before(file, end) != b"\n":  # an incomplete line
                end -= 1
            file.truncate(end)
            file.write(record.to_json().encode() + b"\n")

    def check_machine(self) -> None:
        """Refuse a table of another machine.

        Raises
        ------
        ValueError
            Naming both.
        """
        here = Machine.here(self.machine.threads)
        if here != self.machine:
            raise ValueError(
                f"the latency table is of {self.machine}; this is {here}: measure here, or ask for any_machine"
            )

    def _add(self, record: Record) -> None:
        if self._records and record.machine != self.machine:
            raise ValueError(f"the latency table is of {self.machine}; a record is of {record.machine}: use two tables")
        self._records[record.work, record.source] = record
        self._fitted = None

    # What they say

    def seconds(
        self, shape: LayerShape, spec: Spec, precision: str = "float32", *, ordered: bool | None = None
    ) -> float:
        """Return what a layer takes, on average over its places in the networks measured.

        Parameters
        ----------
        shape : LayerShape
            Of the layer.
        spec : Spec
            What it shall become; a layer that it does not serve is direct, as :func:`tilewise.convert` makes it.
        precision : {"float32", "bf16"}
            Of float layers, as in :func:`tilewise.compile`.
        ordered : bool, optional
            Whether sums of direct float convolutions are rounded in one order, which takes longer: as in networks
            whose other layers are quantized. By default they are, unless the table has float networks only.

        Returns
        -------
        float
            Measured; interpolated where only a grid around it was.

        Raises
        ------
        ValueError
            If neither was measured, naming the entry and how to measure it.
        """
        candidate = served(shape, Candidate.of(run_as(shape, spec), precision))
        asked = (True, False) if ordered is None else (ordered,)
        works = list(dict.fromkeys(convolution(shape, candidate, ordered=one) for one in asked))
        for work in works:
            if same := self._same(work):
                return statistics.mean(r.seconds for r in same)
        return self._interpolated(next((work for work in works if self._ratios(work)), works[0]))

    def seconds_of(self, work: Work) -> float:
        """Return what an operation takes at one place of a network: between what types of tensors it stands counts too.

        Raises
        ------
        ValueError
            As for :meth:`seconds`.
        """
        if found := self._records.get((work, "network")):
            return found.seconds
        if isinstance(work, Operation):
            return self._element_model(work).seconds(work) if ends_bytes(work) else 0.0
        if same := self._same(work):
            nearest = min(same, key=lambda r: abs(ends_bytes(r.work) - ends_bytes(work)))
            more = ends_bytes(work) - ends_bytes(nearest.work)
            return max(0.0, nearest.seconds + more * seconds_per_byte(self))
        return self._interpolated(work)

    def predict(self, model: nn.Module, example: Any, *, precision: str = "float32") -> float:
        """Return the seconds that a call of a model's engine should take: the sum of its operations and the call.

        Parameters
        ----------
        model : torch.nn.Module
            Converted; ranges that it lacks are measured on noise, in a copy.
        example : Tensor or array of shape (N, C, H, W), float32
            Images of the size to serve, N at once.
        precision : {"float32", "bf16"}
            As in :func:`tilewise.compile`.

        Raises
        ------
        ValueError
            If an operation was not measured, naming it.
        """
        return self.total(self._works(model, example, precision))

    def total(self, works: Iterable[Work]) -> float:
        """Return the sum of :meth:`seconds_of`."""
        return sum(self.seconds_of(work) for work in works)

    def rest(self, model: nn.Module, example: Any, *, precision: str = "float32") -> float:
        """Return what :meth:`predict` counts beside the convolutions of :func:`tilewise.latency.layer_shapes`."""
        from torch import nn

        convs = {name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
        return self.total(self._works(model, example, precision, leave_out=convs))

    def _works(self, model: nn.Module, example: Any, precision: str, leave_out: Iterable[str] = ()) -> list[Work]:
        from tilewise.engine.compiler import make_program

        n, c, h, w = example.shape
        sized = SizedProgram.of(make_program(with_ranges(model, example), example, precision), (n, c, h, w))
        works = zip(sized.program.operations, operations_of(sized, model), strict=True)
        kept = [w for node, w in works if not (isinstance(w, Convolution) and node["name"] in set(leave_out))]
        return [*kept, call_of(sized)]

    def _same(self, work: Convolution) -> list[Record]:
        """Return records of the same convolution in networks, whatever lies at its ends."""
        return [
            r for (w, source), r in self._records.items()
            if source == "network" and isinstance(w, Convolution) and _without_ends(w) == _without_ends(work)
        ]  # fmt: skip

    def _element_model(self, work: Operation) -> ElementModel:
        same = [r for r in self if isinstance(r.work, Operation) and r.work.op == work.op]
        model = ElementModel.fit(same)
        if model is None:
            raise ValueError(f"the latency table of {self._where()} has no entry for {work}; {HOW}")
        return model

    def _interpolated(self, work: Convolution) -> float:
        """Return the model's seconds times the ratio to them on the grid."""
        how = HOW_AS.format(work.candidate)
        if not (ratios := self._ratios(work)):
            raise ValueError(f"the latency table of {self._where()} has no entry for {work}; {how}")
        try:
            ratio = interpolate(ratios, coordinates(work))
        except (OutsideError, MissingError) as error:
            raise ValueError(f"{work} is not within what was measured: {_explain(error)}; {how}") from error
        return ratio * self._model().seconds(work)

    def _ratios(self, work: Convolution) -> dict[Point, float]:
        """Return the ratios of measured to modelled seconds on the grid that a convolution belongs to."""
        of_family, model = family(work), self._model()
        return {
            coordinates(w): r.seconds / model.seconds(w)
            for (w, source), r in self._records.items()
            if source == "grid" and isinstance(w, Convolution) and family(w) == of_family
        }

    def _model(self) -> ConvolutionModel:
        """Return the model with the rates of this table's grid."""
        if self._fitted is None:
            self._fitted = ConvolutionModel.fit(r for r in self if r.source == "grid")
        return self._fitted

    def _where(self) -> str:
        return str(self.machine) if self._records else "no machine yet"


def open_table(path: str | Path | None, machine: Machine) -> LatencyTable:
    """Return the table of a file, or an empty one; refuse one of another machine or number of threads."""
    if path is None or not Path(path).exists():
        return LatencyTable(path=path)
    table = LatencyTable.load(path, any_machine=True)
    if len(table) and table.machine != machine:
        raise ValueError(f"{path} is of {table.machine}; this would be {machine}: use another file")
    return table


def seconds_per_byte(records: Iterable[Record]) -> float:
    """Return what each byte at the ends of a convolution takes, from convolutions measured between several types.

    Deviations from the mean of the same convolution are fitted, relative to it, by least squares; 0 if there are none.
    """
    places: dict[tuple[object, ...], list[tuple[int, float]]] = {}
    for r in records:
        if r.source == "network" and isinstance(r.work, Convolution):
            places.setdefault(_without_ends(r.work), []).append((ends_bytes(r.work), r.seconds))
    product = square = 0.0
    for measured in places.values():
        size, seconds = (statistics.mean(values) for values in zip(*measured, strict=True))
        product += sum((b - size) * (s - seconds) for b, s in measured) / max(seconds, 1e-9) ** 2
        square += sum((b - size) ** 2 for b, _ in measured) / max(seconds, 1e-9) ** 2
    return max(0.0, product / square) if square else 0.0


def _without_ends(work: Convolution) -> tuple[object, ...]:
    return work.shape, work.candidate, work.ordered


def _explain(error: OutsideError | MissingError) -> str:
    """Say what is reachable, in channels and sizes."""
    if isinstance(error, MissingError):
        c, ratio, size = (2**x for x in error.point)
        return f"the grid lacks {c:.0f} -> {c * ratio:.0f} channels at {size:.0f}x{size:.0f}"
    name = ("input channels", "ratios of output to input channels", "heights and widths")[error.axis]
    return f"the grid has {name} from {2**error.low:g} to {2**error.high:g}"


def _byte_before(file: Any, end: int) -> bytes:
    file.seek(end - 1)
    return bytes(file.read(1))
