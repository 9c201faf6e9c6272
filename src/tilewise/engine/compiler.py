"""Compiling: a trained model becomes a plan, and the plan an engine."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.engine.capture import capture
from tilewise.engine.engine import Engine
from tilewise.engine.importer import import_graph
from tilewise.engine.lower import lower
from tilewise.engine.passes import optimize
from tilewise.engine.plan import Plan
from tilewise.engine.tuning import tune_plan

PRECISIONS = ("float32", "bf16")
"""Of float convolutions."""


def compile(  # noqa: A001 - what users call it
    model: nn.Module,
    example: Any,
    *,
    threads: int = 1,
    precision: Literal["float32", "bf16"] = "float32",
    tune: bool = False,
) -> Engine:
    """Compile a trained model to the native engine.

    Quantized layers run the integers they were trained with; what is not quantized runs in float. Batch norms are
    multiplied into convolutions, additions and activations done at their end.

    Parameters
    ----------
    model : torch.nn.Module
        Converted and calibrated or trained; or plain, for a float network. It is not changed.
    example : Tensor or array of shape (N, C, H, W), float32
        Images of the size to serve; N of them go through at once (calls take any number).
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
    if not tune:
        return Engine(make_plan(model, example, precision), threads=threads)
    images = check_example(example)
    plan, choices = tune_plan(model, images.numpy(), threads, lambda candidate: make_plan(candidate, images, precision))
    return Engine(plan, threads=threads, choices=choices)


@torch.no_grad()
def make_plan(model: nn.Module, example: Any, precision: str = "float32") -> Plan:
    """Give the plan of a model, as :func:`compile` runs it."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; allowed: {', '.join(PRECISIONS)}")
    graph = import_graph(capture(model, check_example(example)))
    return lower(optimize(graph, precision), precision)


def check_example(example: Any) -> Tensor:
    """Give the example as a tensor.

    Raises
    ------
    ValueError
        If its shape is not allowed.
    TypeError
        If it is neither Tensor nor array, or not float32.
    """
    if isinstance(example, np.ndarray):
        example = torch.from_numpy(example)
    if not isinstance(example, Tensor):
        raise TypeError(f"example is {type(example).__name__}; allowed: a torch Tensor or a numpy array")
    if example.dtype != torch.float32:
        raise TypeError(f"example is {example.dtype}; allowed: torch.float32")
    if example.ndim != 4 or 0 in example.shape:
        raise ValueError(f"example has shape {tuple(example.shape)}; allowed: (N, C, H, W), none of them 0")
    return example.detach().cpu()
