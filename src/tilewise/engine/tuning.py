"""Tuning: of several plans of one network, operation by operation the fastest on this machine.

Measured is within the network, where weights come from where they will come from: a layer that is fast in a loop of
its own may wait for memory between its neighbours.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import nn

from tilewise.conversion import convert
from tilewise.engine.engine import Choice, Engine
from tilewise.engine.exact import candidates
from tilewise.engine.plan import Plan
from tilewise.nn import QuantizedConv
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd

ALGORITHMS = ("F2", "F4", "F6")
BLOCKS = (12, 24, 48, 96)
BLOCKED = ("fast", "exact", "residue")
"""Operations whose tiles go through in blocks."""
ROUNDS = 7
WORTHWHILE = 0.98
"""What replaces the first choice has to take less than this share of its time: below that it is noise."""


def free_layers(model: nn.Module) -> list[str]:
    """Name the float convolutions of a float network: any algorithm computes them, up to float rounding.

    A quantized layer's algorithm is part of what was trained; and where a network has quantized layers, what is
    float keeps its order of rounding.
    """
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    if any(isinstance(m, QuantizedConv) and m.spec.bits != FLOAT_BITS for m in convs.values()):
        return []
    return [name for name, m in convs.items() if not isinstance(m, QuantizedConv) or isinstance(m.spec, Direct)]


def tune_plan(
    model: nn.Module,
    example: NDArray[np.float32],
    threads: int,
    make: Callable[[nn.Module], Plan],
) -> tuple[Plan, list[Choice]]:
    """Choose algorithms of free layers, then the tiles of a block of each fast convolution, by measuring.

    Parameters
    ----------
    model : torch.nn.Module
        As for :func:`tilewise.compile`.
    example : array of shape (N, C, H, W), float32
        Images to measure with.
    threads : int
        How many to measure with.
    make : callable
        Gives a model's plan.

    Returns
    -------
    Plan
        With the choices in it: saving it keeps them.
    list of Choice
        One for each operation that had one.
    """
    plan, choices = make(model), []
    if free := free_layers(model):
        specs: dict[str, dict[str, Spec]] = {"": {}}
        specs |= {name: dict.fromkeys(free, Winograd(name, bits=FLOAT_BITS)) for name in ALGORITHMS}
        plans = {name or "direct": make(convert(model, spec) if spec else model) for name, spec in specs.items()}
        plan, found = _fastest(plans, example, threads)
        choices += found
    if exact := candidates(plan):
        plan, found = _fastest({"direct": plan, **exact}, example, threads)
        choices += found
    if any(node["op"] in BLOCKED for node in plan.nodes):
        plans = {"model": plan} | {f"{block} tiles": with_block(plan, block) for block in BLOCKS}
        plan, found = _fastest(plans, example, threads)
        choices += found
    return plan, choices


def with_block(plan: Plan, block: int) -> Plan:
    """Give the plan with so many tiles in a block of every convolution that goes through in blocks."""
    nodes = tuple({**node, "block": block} if node["op"] in BLOCKED else node for node in plan.nodes)
    return dataclasses.replace(plan, nodes=nodes)


def _fastest(
    plans: Mapping[str, Plan],
    example: NDArray[np.float32],
    threads: int,
) -> tuple[Plan, list[Choice]]:
    """Compose the fastest plan out of plans that differ in single operations only; the first one is the default."""
    engines = {name: Engine(plan, threads=threads) for name, plan in plans.items()}
    seconds: dict[str, list[list[float]]] = {name: [] for name in plans}
    console = Console(stderr=True)
    for _ in track(range(ROUNDS), "tune", console=console, disable=not console.is_terminal, transient=True):
        for name, engine in engines.items():
            seconds[name].append([row["seconds"] for row in engine.profile(example, repeats=3)])
    default, nodes, choices = next(iter(plans)), [], []
    arrays: dict[str, NDArray[Any]] = {}
    for i, node in enumerate(plans[default].nodes):
        times = {
            name: statistics.median(row[i] for row in seconds[name])
            for name, plan in plans.items()
            if name == default or plan.nodes[i] != node
        }
        best = min(times, key=lambda name: times[name])
        chosen = best if times[best] < WORTHWHILE * times[default] else default
        source = plans[chosen]
        nodes.append(source.nodes[i])
        arrays |= {key: value for key, value in source.arrays.items() if key.partition(".")[0] == str(i)}
        if len(times) > 1:
            choices.append(Choice(node["name"], chosen, times))
    return dataclasses.replace(plans[default], nodes=tuple(nodes), arrays=arrays), choices
