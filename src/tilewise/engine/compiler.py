"""Compiling: a trained model becomes a program, and the program an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from tilewise.engine.capture import Captured, Example, capture, check_example
from tilewise.engine.engine import DEFAULT_BATCH, Engine
from tilewise.engine.importer import ComputedSizeError, Importer, UnsupportedError
from tilewise.engine.lower import lower
from tilewise.engine.operations import IMPORTS, SIMULATIONS
from tilewise.engine.operations.images import Images
from tilewise.engine.passes import optimize
from tilewise.engine.program import Program
from tilewise.engine.simulation import Run
from tilewise.engine.tuning import tune as tune_program

PRECISIONS = ("float32", "bf16")
"""Of float convolutions."""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """What is done to images before the network sees them: v of channel c becomes ``(v - mean[c]) / deviation[c]``.

    Parameters
    ----------
    mean, deviation : sequence of float
        One for each channel, in the units of the images: 0 to 255 for uint8.

    Raises
    ------
    ValueError
        If they have different lengths, or a deviation is 0 or a number not finite.
    """

    mean: Sequence[float]
    deviation: Sequence[float]

    def __post_init__(self) -> None:
        mean, deviation = (np.asarray(values, np.float32) for values in (self.mean, self.deviation))
        if mean.ndim != 1 or mean.shape != deviation.shape or not mean.size:
            raise ValueError(f"mean is {self.mean} and deviation {self.deviation}; allowed: one number each a channel")
        if not np.isfinite([mean, deviation]).all() or 0 in deviation:
            raise ValueError(f"mean is {self.mean} and deviation {self.deviation}; allowed: finite, no deviation of 0")


def compile(  # noqa: A001 - what users call it
    model: nn.Module,
    example: Any,
    *,
    threads: int = 1,
    precision: Literal["float32", "bf16"] = "float32",
    tune: bool = False,
    batch: int = DEFAULT_BATCH,
    normalization: Normalization | Mapping[str, Normalization] | None = None,
) -> Engine:
    """Compile a trained model to the native engine.

    Quantized layers run the integers they were trained with; what is not quantized runs in float. Batch norms are
    multiplied into convolutions, additions and activations done at their end. The engine serves all heights and
    widths that the model allows.

    Parameters
    ----------
    model : torch.nn.Module
        Converted and calibrated or trained; or plain, for a float network. It is not changed.
    example : Tensor or array of shape (N, C, H, W), (N, C, W) or (N, C), float32; or a tuple or dict of them
        Images such as will be served: one tensor, several by position, or several by the names of the model's
        arguments. Where a model computes sizes in a way that the engine does not follow, it serves this size only.
    threads : int
        How many to run with, at most the cores that this process may use.
    precision : {"float32", "bf16"}
        What layers that are not quantized multiply in. ``"bf16"`` rounds their weights (U) and activations (V) to
        bfloat16 and adds up in float32: faster, near the float network, and not the same bits on every machine.
    tune : bool
        Measure candidates on this machine, with these threads and the example as input, and keep the fastest: the
        algorithm of each convolution of a float network (direct, F2, F4, F6; results then differ by float rounding),
        and for each fast convolution how many tiles go through together (results stay the same). What was chosen is
        ``engine.choices``, and part of the saved file. A quantized layer keeps the algorithm it was trained with.
    batch : int
        Images that go through at once, at most; calls take any number.
    normalization : Normalization, or dict of str to Normalization
        What callers' images are normalized by, of the only input or by its name; it becomes part of the file.

    Returns
    -------
    Engine
        ``engine(x)`` runs it, ``engine.save(path)`` writes it.

    Raises
    ------
    ValueError
        If an operation or a layer is one that the engine lacks, naming it, its place and what is supported; or an
        argument is out of range.
    TypeError
        If the example is neither Tensor nor array, or not float32.

    Examples
    --------
    >>> engine = tilewise.compile(model, torch.zeros(1, 3, 32, 32))
    >>> engine.save("resnet20.tilewise")
    """
    images = check_example(example)
    if not tune:
        program = make_program(model, images, precision, normalization)
        return Engine(program.to_bytes(), threads=threads, batch=batch)
    arrays = [x.numpy() for x in (images.values() if isinstance(images, dict) else images)]
    program, choices = tune_program(
        model, arrays, threads, lambda candidate: make_program(candidate, images, precision, normalization)
    )
    return Engine(program.to_bytes(), threads=threads, batch=batch, choices=choices)


@torch.no_grad()
def make_program(
    model: nn.Module,
    example: Any,
    precision: str = "float32",
    normalization: Normalization | Mapping[str, Normalization] | None = None,
) -> Program:
    """Return the program of a model, as :func:`compile` runs it."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; allowed: {', '.join(PRECISIONS)}")
    images = check_example(example)
    try:
        captured = capture(model, images, any_size=True)
        graph = Importer(captured, IMPORTS).run(_inputs(captured, normalization))
    except ValueError as error:
        # What is computed from sizes alone, as a grid of places, is a constant where these are known.
        if not isinstance(error, ComputedSizeError | UnsupportedError) and not str(error).startswith("torch.export"):
            raise
        captured = capture(model, images, any_size=False)
        graph = Importer(captured, IMPORTS).run(_inputs(captured, normalization))
    return lower(optimize(graph, precision), precision)


def _inputs(captured: Captured, normalization: Normalization | Mapping[str, Normalization] | None) -> Any:
    """Return what makes the op of an input."""
    names = list(captured.inputs)
    if isinstance(normalization, Normalization):
        if len(names) > 1:
            raise ValueError(f"normalization is one for the inputs {', '.join(names)}; allowed: a dict by their names")
        normalization = {names[0]: normalization}
    by_name = dict(normalization or {})
    if unknown := sorted(set(by_name) - set(names)):
        raise ValueError(f"normalization names the input {unknown[0]!r}; allowed: {', '.join(names)}")

    def make(name: str, node: fx.Node) -> Images:
        given, channels = by_name.get(name), node.meta["val"].shape[1]
        if given is None:
            return Images(captured.axes[name])
        if len(given.mean) != channels:
            raise ValueError(f"normalization of {name!r} has {len(given.mean)} channels; allowed: {channels}")
        return Images(captured.axes[name], tuple(map(float, given.mean)), tuple(map(float, given.deviation)))

    return make


class Simulation:
    """What ``tilewise.compile(model, example)`` computes, in torch.

    Exact for networks with quantized layers, compiled with the default precision. A float network, and a float layer
    that a fast algorithm computes, is equal up to rounding only, because the engine is free to round less there.

    Parameters
    ----------
    model : torch.nn.Module
        As for :func:`tilewise.compile`.
    example : Tensor or array of shape (N, C, H, W), float32; or a tuple or dict of them
        As for :func:`tilewise.compile`; the simulation serves this size only.
    """

    def __init__(self, model: nn.Module, example: Any) -> None:
        self.example: Example = check_example(example)
        self.captured = capture(model, self.example, any_size=False)

    @torch.no_grad()
    def __call__(self, *images: Tensor) -> Any:
        """Return the result for as many images as the example has; a dict by name where there are several."""
        inputs = dict(zip(self.captured.inputs, images, strict=True))
        results = Run(self.captured, SIMULATIONS).outputs(inputs)
        return next(iter(results.values())) if len(results) == 1 else results
