"""A compiled network: arrays in, arrays out, one native call."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tilewise.common.files import read_bytes, write_whole
from tilewise.common.limits import check_threads, usable_memory, usable_threads
from tilewise.engine.ports import Extents, Input, Output, check_layout, nchw
from tilewise.engine.program import Layout, Program, read_program
from tilewise.engine.streams import Mode, in_order, streams_of

LARGEST_FILE = 2**40
"""Bytes of a file; what memory holds is less."""
DEFAULT_BATCH = 16
"""Images that go through at once, at most."""


class Choice(NamedTuple):
    """What tuning chose for an operation: the candidate's name, and the seconds that each candidate took."""

    name: str
    chosen: str
    seconds: dict[str, float]


class Engine:
    """Runs a compiled network, on images of any size that it allows.

    Results are the same bits on every machine and for every number of threads, as far as 8-bit numbers go into them
    (docs/contracts/numbers.md). The environment variable ``TILEWISE_ISA`` forces a kernel set (``tilewise info`` lists
    them). Calls may come from several threads; they take turns.

    Parameters
    ----------
    content : bytes
        A ``.tilewise`` file.
    threads : int
        How many to run with, at most the cores that this process may use; 0 for all of them, or as many as its control
        group gives time for.
    batch : int
        Images that go through at once, at most.
    kernel_set : str, optional
        Which one to compute with; by default what ``TILEWISE_ISA`` names, or the best of this machine.
    origin : path, optional
        Where the content comes from, for errors; it is not kept in memory then.
    choices : sequence of Choice
        How the program was tuned, if it was.

    Raises
    ------
    ValueError
        If the program is not possible, ``threads`` or ``batch`` out of range, or the forced kernel set unknown.
    """

    def __init__(
        self,
        content: bytes,
        *,
        threads: int = 1,
        batch: int = DEFAULT_BATCH,
        kernel_set: str | None = None,
        origin: str | Path | None = None,
        choices: Sequence[Choice] = (),
    ) -> None:
        from tilewise import _native

        threads = check_threads(threads)
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= 65536:
            raise ValueError(f"batch is {batch!r}; allowed: 1 to 65536")
        try:
            chosen = os.environ.get("TILEWISE_ISA", "") if kernel_set is None else kernel_set
            self._engine = _native.Engine(content, threads=threads, kernel_set=chosen, batch=batch)
        except (ValueError, MemoryError) as error:
            raise ValueError(str(error) if origin is None else f"{origin}: {error}") from error
        self.batch = batch
        self.asked_set = kernel_set
        self._content = content if origin is None else None
        self._origin = None if origin is None else Path(origin)
        self.choices = tuple(choices)
        self._fitting: list[Extents] = []
        self.inputs = tuple(Input(**_only(Input, entry)) for entry in self._engine.inputs)
        self.outputs = tuple(Output(**_only(Output, entry)) for entry in self._engine.outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make another one of the same file: what copying and pickling do."""
        return remade, (self.content(), self.threads, self.batch, self.asked_set, self.choices)

    @property
    def threads(self) -> int:
        """How many threads run it."""
        return int(self._engine.threads)

    @property
    def kernel_set(self) -> str:
        """Name of the kernel set that is used."""
        return str(self._engine.kernel_set)

    @property
    def activation_bytes(self) -> int:
        """Bytes of memory that activations take, for the sizes that it has run or prepared so far."""
        return int(self._engine.activation_bytes)

    @property
    def program(self) -> Program:
        """What is run."""
        return read_program(self.content())

    def memory(self, *shapes: tuple[int, int, int, int], layout: Layout = "NCHW") -> int:
        """Return the bytes of memory that activations take for images of these shapes, without taking them.

        Parameters
        ----------
        *shapes : (int, int, int, int)
            As for :meth:`prepare`, which, like a call, refuses by ``MemoryError`` what this process can not have.
        layout : {"NCHW", "NHWC"}
            Where the channels are.
        """
        return int(self._engine.memory(self._checked(shapes, layout)))

    def content(self) -> bytes:
        """Return the bytes of the ``.tilewise`` file.

        Raises
        ------
        FileNotFoundError
            If the engine was loaded from a file that is gone.
        """
        if self._content is not None:
            return self._content
        assert self._origin is not None
        return read_file(self._origin)

    def prepare(self, *shapes: tuple[int, int, int, int], layout: Layout = "NCHW") -> dict[str, tuple[int, ...]]:
        """Get ready for images of these shapes, so that the first call is as fast as later ones.

        Parameters
        ----------
        *shapes : (int, int, int, int)
            N, C, H, W of each input (or N, H, W, C with ``layout="NHWC"``).
        layout : {"NCHW", "NHWC"}
            Where the channels are.

        Returns
        -------
        dict of str to tuple of int
            The shape of each result.
        """
        found = self._prepare(self._checked(shapes, layout))
        return {o.name: o.seen(shape, layout) for o, shape in zip(self.outputs, found, strict=True)}

    def __call__(self, *images: Any, layout: Layout = "NCHW", integers: bool = False) -> Any:
        """Run the network.

        Parameters
        ----------
        *images : numpy arrays or torch Tensors of shape (N, C, H, W), float32 or uint8
            One for each input, or one dict by their names; any number of images from 1 on, of any height and width
            that the network allows. uint8 stands for the numbers 0 to 255. Images of one row may come as (N, C, W),
            of one pixel as (N, C).
        layout : {"NCHW", "NHWC"}
            Whether images, and results that are maps, have the channels first or last.
        integers : bool
            Return results as they are stored: integers, whose grid ``engine.outputs`` says.

        Returns
        -------
        array or Tensor of shape (N, ...)
            Of the kind of the first image; where the network has several results a dict of them by name.

        Raises
        ------
        ValueError
            If an image has another shape, is empty, or contains NaN or infinity; or results have no integers.
        MemoryError
            If activations of these images are more than this process may have, which :meth:`memory` says beforehand.
        TypeError
            If an image is neither array nor Tensor, not of an allowed type, or not on the CPU.
        """
        arrays, is_tensor = self._images(images, layout)
        results = self._results(arrays, layout, integers=integers)
        self._engine.run(arrays, results, channels_last=layout == "NHWC")
        found = {}
        for output, y in zip(self.outputs, results, strict=True):
            value: Any = y
            if is_tensor:
                import torch

                value = torch.from_numpy(value)
            found[output.name] = value
        return next(iter(found.values())) if len(found) == 1 else found

    def map(
        self, items: Iterable[Any], *, mode: Mode = "throughput", workers: int | None = None, pin: bool = False,
        layout: Layout = "NCHW", integers: bool = False,
    ) -> Iterator[Any]:  # fmt: skip
        """Run the network on each item, with several in flight; results come in the order of the items.

        Parameters
        ----------
        items : iterable
            What calls take: images; a tuple of them, or a dict by name, where there are several inputs. They are
            taken when results are asked for, twice as many ahead as there are workers.
        mode : {"throughput", "latency"}
            Each worker runs requests on its share of the threads, by an engine of its own that shares the weights; or
            all threads work on one request, while the next ones are checked and copied.
        workers : int, optional
            By default as many as the engine has threads; 2 for latency.
        pin : bool
            Keep each worker on cores of its own; for throughput on a machine that nobody else uses.
        layout, integers
            As for a call.

        Returns
        -------
        iterator
            Of what a call returns. What a call raises, or the source of the items, is raised where its result would
            stand, and ends the iteration.

        Raises
        ------
        ValueError
            If ``mode`` is another one, ``workers`` is out of range, or there are too few cores to pin to.
        """
        check_layout(layout)

        def call(engine: Engine, item: Any) -> Any:
            given = item if isinstance(item, tuple) else (item,)
            return engine(*given, layout=layout, integers=integers)

        return in_order(self, items, streams_of(mode, workers, self.threads, pin=pin), call)

    def share(self, threads: int = 1) -> Engine:
        """Return another engine of this network, whose calls do not wait for those of this one.

        Parameters
        ----------
        threads : int
            How many it has, as for an engine.

        Returns
        -------
        Engine
            With memory of its own for activations; packed weights are shared.
        """
        another = object.__new__(Engine)
        another.__dict__.update(self.__dict__, _engine=self._engine.share(check_threads(threads)))
        return another

    def profile(self, *images: Any, repeats: int = 20) -> list[dict[str, Any]]:
        """Measure each operation.

        Parameters
        ----------
        *images : numpy arrays or torch Tensors
            As for a call.
        repeats : int
            Runs to take the median of, at least 1.

        Returns
        -------
        list of dict
            ``name``, ``op``, ``algorithm``, ``seconds``, and of fast convolutions the seconds of their stages, summed
            over threads; ``operations``, two for each multiply-add that a direct convolution needs, whatever the
            algorithm really multiplies, and ``bytes`` of activations read and written and of weights.
        """
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            raise ValueError(f"repeats is {repeats!r}; it must be at least 1")
        arrays, _ = self._images(images, "NCHW")
        results = self._results(arrays, "NCHW", integers=False)
        return [dict(row) for row in self._engine.profile(arrays, results, repeats=repeats)]

    def peaks(self) -> dict[str, float]:
        """Measure what the threads can do at most with this kernel set: the ceilings for :meth:`profile`.

        Returns
        -------
        dict of str to float
            ``int8_operations`` and ``float_operations`` per second (two for each multiply-add), ``cache_bytes`` and
            ``memory_bytes`` read per second; those of one core times the threads. Zeros for the reference kernels.
        """
        return measure_peaks(self.kernel_set, self.threads)

    def save(self, path: str | Path) -> None:
        """Write the network to one file, for :func:`tilewise.load`.

        Parameters
        ----------
        path : path
            Such as ``"resnet20.tilewise"``; an existing file is replaced atomically.
        """
        write_whole(Path(path), self.content())

    def _checked(self, shapes: Sequence[Any], layout: Layout) -> list[Extents]:
        """Check the shapes of inputs, and return them as N, C, H, W."""
        check_layout(layout)
        if len(shapes) != len(self.inputs):
            raise ValueError(f"there are {len(shapes)} shapes; allowed: {', '.join(i.name for i in self.inputs)}")
        for entry, shape in zip(self.inputs, shapes, strict=True):
            if not isinstance(shape, Sequence) or [type(extent) for extent in shape] != [int] * 4:
                raise ValueError(f"the shape of {entry.name} is {shape!r}; allowed: {entry.allowed(layout)}")
        return [nchw(tuple(shape), layout) for shape in shapes]

    def _prepare(self, shapes: list[Extents]) -> list[Extents]:
        """Prepare for shapes, unless their activations are more than this process may have."""
        if shapes != self._fitting:
            # Before any of it is touched: beyond the limit of a control group the process would be killed.
            if (needed := self._engine.memory(shapes)) > (usable := usable_memory()):
                asked = ", ".join(map(str, shapes))
                raise MemoryError(f"images of {asked} take {needed} bytes of memory; this process may use {usable}")
            self._fitting = shapes
        return self._engine.prepare(shapes)

    def _results(self, arrays: list[NDArray[Any]], layout: Layout, *, integers: bool) -> list[NDArray[Any]]:
        """Return memory for the results."""
        shapes = self._prepare([nchw(x.shape, layout) for x in arrays])
        results = []
        for output, extents in zip(self.outputs, shapes, strict=True):
            if integers and output.stored == "float32":
                raise ValueError(f"the result {output.name!r} is stored as float32; it has no integers")
            results.append(np.empty(output.seen(extents, layout), output.stored if integers else np.float32))
        return results

    def _images(self, images: tuple[Any, ...], layout: Layout) -> tuple[list[NDArray[Any]], bool]:
        """Check the images; return them as arrays in the order of the inputs, and whether they came as tensors."""
        check_layout(layout)
        names = [entry.name for entry in self.inputs]
        if len(images) == 1 and isinstance(images[0], Mapping):
            given = images[0]
            if set(given) != set(names):
                raise ValueError(f"the inputs are {', '.join(map(str, given))}; allowed: {', '.join(names)}")
            images = tuple(given[name] for name in names)
        if len(images) != len(names):
            raise ValueError(f"there are {len(images)} inputs; allowed: {', '.join(names)}")
        checked = [self._image(entry, x, layout) for entry, x in zip(self.inputs, images, strict=True)]
        return [x for x, _ in checked], checked[0][1]

    def _image(self, entry: Input, x: Any, layout: Layout) -> tuple[NDArray[Any], bool]:
        name = "x" if len(self.inputs) == 1 else entry.name
        torch = sys.modules.get("torch")
        is_tensor = torch is not None and isinstance(x, torch.Tensor)
        if is_tensor:
            if x.device.type != "cpu":
                raise TypeError(f"{name} is on {x.device}; allowed: cpu")
            x = x.detach()
        elif not isinstance(x, np.ndarray):
            raise TypeError(f"{name} is {type(x).__name__}; allowed: a numpy array or a torch Tensor")
        dtype = str(x.dtype).removeprefix("torch.")
        if dtype not in ("float32", "uint8"):
            raise TypeError(f"{name} is {dtype}; allowed: float32, uint8")
        shape, missing = tuple(x.shape), (1,) * (4 - x.ndim)
        if len(missing) in (1, 2) and layout == "NCHW" and entry.size[: len(missing)] == missing:
            x = x.reshape(*x.shape[:2], *missing, *x.shape[2:])
        channels = x.shape[1 if layout == "NCHW" else 3] if x.ndim == 4 else None
        if channels != entry.channels or 0 in x.shape[1:]:
            raise ValueError(f"{name} has shape {shape}; allowed: {entry.allowed(layout)}")
        if len(x) == 0:
            raise ValueError(f"{name} holds no images; allowed: at least 1")
        images = np.ascontiguousarray(x.numpy() if is_tensor else x)
        if dtype == "float32":
            with np.errstate(all="ignore"):  # one pass; only a sum that is not finite needs a closer look
                if not math.isfinite(images.sum()) and not np.isfinite(images).all():
                    raise ValueError(f"{name} contains NaN or infinity")
        return images, is_tensor


def remade(content: bytes, threads: int, batch: int, kernel_set: str | None, choices: tuple[Choice, ...]) -> Engine:
    """Return an engine in another process or machine, with as many threads as it may use there."""
    threads = min(threads, usable_threads())
    return Engine(content, threads=threads, batch=batch, kernel_set=kernel_set, choices=choices)


def _only(kind: type[Input | Output], entry: Mapping[str, Any]) -> dict[str, Any]:
    return {f.name: entry[f.name] for f in fields(kind)}


def read_file(path: Path) -> bytes:
    """Return the bytes of a compiled network."""
    try:
        return read_bytes(path, LARGEST_FILE)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no compiled network at {path}") from error


def measure_peaks(kernel_set: str, threads: int) -> dict[str, float]:
    """Measure what a kernel set can do at most, as :meth:`Engine.peaks`."""
    from tilewise import _native

    found: dict[str, float] = dict(_native.measure_peaks(kernel_set))  # type: ignore[arg-type]
    return {name: float(value) * threads for name, value in found.items()}
