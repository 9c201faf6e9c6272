"""A compiled network: arrays in, arrays out, one native call."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tilewise.engine.cost import costs
from tilewise.engine.file import load_plan, save_plan
from tilewise.engine.plan import Plan

T = TypeVar("T")


class Choice(NamedTuple):
    """What tuning chose for an operation: the candidate's name, and the seconds that each candidate took."""

    name: str
    chosen: str
    seconds: dict[str, float]


class Engine:
    """Runs a compiled network.

    Results are the same bits on every machine and for every number of threads, as far as 8-bit numbers go into them
    (docs/contracts/numbers.md). The environment variable ``TILEWISE_ISA`` forces a kernel set (``tilewise info`` lists
    them). Calls may come from several threads; they take turns.

    Parameters
    ----------
    plan : Plan
        What to run.
    threads : int
        How many to run with, at most the cores that this process may use.
    origin : path, optional
        File that the plan comes from, for errors.
    choices : sequence of Choice
        How the plan was tuned, if it was.

    Raises
    ------
    ValueError
        If the plan is not possible, ``threads`` is out of range, or the forced kernel set unknown.
    """

    def __init__(
        self, plan: Plan, *, threads: int = 1, origin: str | Path | None = None, choices: Sequence[Choice] = ()
    ) -> None:
        from tilewise import _native

        check_threads(threads)
        self._plan = plan
        self.choices = tuple(choices)
        try:
            native = plan.native()
        except (ValueError, TypeError, OverflowError) as error:  # the latter two where a number is too large for C++
            raise ValueError(str(error) if origin is None else f"{origin}: {error}") from error
        self._engine = _native.Engine(native, threads=threads, isa=os.environ.get("TILEWISE_ISA", ""))

    @property
    def plan(self) -> Plan:
        """What is run."""
        return self._plan

    @property
    def threads(self) -> int:
        """How many threads run it."""
        return int(self._engine.threads)

    @property
    def isa(self) -> str:
        """Name of the kernel set that is used."""
        return str(self._engine.isa)

    def __call__(self, x: T) -> T:
        """Run the network.

        Parameters
        ----------
        x : numpy array or torch Tensor of shape (N, C, H, W), float32
            Any number of images from 1 on, of the size that the network was compiled for.

        Returns
        -------
        array or Tensor of shape (N, ...)
            Of the kind of ``x``.

        Raises
        ------
        ValueError
            If ``x`` has another shape, is empty, or contains NaN or infinity.
        TypeError
            If ``x`` is neither, not float32, or not on the CPU.
        """
        images, is_tensor = self._images(x)
        maps = self._maps(images)
        self._engine.run(images, maps)
        y = maps.reshape(len(maps), *self._plan.output_shape)
        if not is_tensor:
            return y  # type: ignore[return-value]
        import torch

        return torch.from_numpy(y)  # type: ignore[return-value]

    def profile(self, x: Any, *, repeats: int = 20) -> list[dict[str, Any]]:
        """Measure each operation.

        Parameters
        ----------
        x : numpy array or torch Tensor
            As for a call.
        repeats : int
            Runs to take the median of, at least 1.

        Returns
        -------
        list of dict
            ``name``, ``op``, ``algorithm``, ``seconds``, and of fast convolutions the seconds of their stages, summed
            over threads; ``operations`` and ``bytes`` as in :class:`tilewise.engine.cost.Cost`.
        """
        if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
            raise ValueError(f"repeats is {repeats!r}; it must be at least 1")
        images, _ = self._images(x)
        measured = self._engine.profile(images, self._maps(images), repeats)
        work = costs(self._plan, len(images))
        return [{**entry, **cost._asdict()} for entry, cost in zip(measured, work, strict=True)]

    def peaks(self) -> dict[str, float]:
        """Measure what the threads can do at most with this kernel set: the ceilings for :meth:`profile`.

        Returns
        -------
        dict of str to float
            ``int8_operations`` and ``float_operations`` per second (two for each multiply-add), ``cache_bytes`` and
            ``memory_bytes`` read per second; those of one core times the threads. Zeros for the reference kernels.
        """
        return measure_peaks(self.isa, self.threads)

    def save(self, path: str | Path) -> None:
        """Write the network to one file, for :func:`tilewise.load`.

        Parameters
        ----------
        path : path
            Such as ``"resnet20.tilewise"``; an existing file is replaced atomically.
        """
        save_plan(self._plan, path)

    def _maps(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Memory for the result, with the three axes of the tensor that it comes from."""
        return np.empty((len(images), *self._plan.output_chw), np.float32)

    def _images(self, x: Any) -> tuple[NDArray[np.float32], bool]:
        """Check the images; give them as an array, and whether they came as a tensor."""
        torch = sys.modules.get("torch")
        is_tensor = torch is not None and isinstance(x, torch.Tensor)
        if is_tensor:
            if x.device.type != "cpu":
                raise TypeError(f"x is on {x.device}; allowed: cpu")
            x = x.detach()
        elif not isinstance(x, np.ndarray):
            raise TypeError(f"x is {type(x).__name__}; allowed: a numpy array or a torch Tensor")
        dtype = str(x.dtype).removeprefix("torch.")
        if dtype != "float32":
            raise TypeError(f"x is {dtype}; allowed: float32")
        if x.ndim != 4 or tuple(x.shape[1:]) != self._plan.input_shape:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; allowed: (N, {', '.join(map(str, self._plan.input_shape))})"
            )
        if len(x) == 0:
            raise ValueError("x holds no images; allowed: at least 1")
        images = np.ascontiguousarray(x.numpy() if is_tensor else x)
        with np.errstate(all="ignore"):  # one pass; only a sum that is not finite needs a closer look
            if not math.isfinite(images.sum()) and not np.isfinite(images).all():
                raise ValueError("x contains NaN or infinity")
        return images, is_tensor


def load(path: str | Path, *, threads: int = 1) -> Engine:
    """Load a compiled network. Needs numpy only, not torch.

    Parameters
    ----------
    path : path
        A file of :meth:`Engine.save`.
    threads : int
        How many to run with.

    Returns
    -------
    Engine
        Ready to be called.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of a later version, or no compiled network; or ``threads`` is out of range.

    Examples
    --------
    >>> engine = tilewise.load("resnet20.tilewise", threads=2)
    >>> logits = engine(images)
    """
    check_threads(threads)
    plan = load_plan(path)
    try:
        return Engine(plan, threads=threads, origin=path)
    except MemoryError as error:
        raise ValueError(f"{path}: {error}") from error


def measure_peaks(isa: str, threads: int) -> dict[str, float]:
    """Measure what a kernel set can do at most, as :meth:`Engine.peaks`."""
    from tilewise import _native

    return {name: float(value) * threads for name, value in dict(_native.measure_peaks(isa)).items()}  # type: ignore[arg-type]


def check_threads(threads: Any) -> None:
    """Refuse a number of threads that the process has no cores for."""
    cores = len(os.sched_getaffinity(0))
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= cores:
        raise ValueError(f"threads is {threads!r}; allowed: 1 to {cores}, the cores that this process may use")
