"""What candidates take, from a latency table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tilewise.calibration import calibrate
from tilewise.conversion import convert
from tilewise.latency import LayerShape, layer_shapes
from tilewise.quant import Spec
from tilewise.winas.budget import best_within
from tilewise.winas.supernet import SuperNet


class Latencies(Protocol):
    """What the search asks of a latency table."""

    def seconds(self, shape: LayerShape, spec: Spec) -> float:
        """Give what a layer of this shape takes."""
        ...

    def predict(self, model: nn.Module, example: Tensor) -> float:
        """Give what a converted network takes on an example, in seconds."""
        ...


class Reach(NamedTuple):
    """Latencies between which a search can choose, in seconds."""

    fastest: float
    slowest: float

    def check(self, budget: float) -> None:
        """Refuse a budget that nothing fits.

        Raises
        ------
        ValueError
            Naming the budget and what can be reached, in milliseconds.
        """
        if math.isnan(budget) or budget < self.fastest:
            fastest = math.ceil(1e9 * self.fastest) / 1e6  # rounded up, so that it is allowed as it stands
            raise ValueError(
                f"the latency budget is {1e3 * budget:g} ms; reachable are {fastest} to {1e3 * self.slowest:.6g} ms"
            )


class Prices:
    """What every candidate of every choice comes to, its seconds, and those of the rest of the network.

    A candidate that can be computed in several ways, with the same numbers, is the fastest of them.

    Parameters
    ----------
    net : SuperNet
        Whose candidates are asked for.
    model : torch.nn.Module
        The plain network.
    table : Latencies
        Measured on the machine to serve.
    example : Tensor of shape (N, C, H, W), float32
        Images of the size to serve.

    Raises
    ------
    ValueError
        If a layer does not run on the example, or the table's answer is not a time.
    """

    def __init__(self, net: SuperNet, model: nn.Module, table: Latencies, example: Tensor) -> None:
        shapes = layer_shapes(model, example)
        self.specs: dict[str, list[Spec]] = {name: [specs[0] for specs in ways] for name, ways in net.ways.items()}
        self.seconds: dict[str, Tensor] = {}
        for name, ways in net.ways.items():
            if ways == [[self.specs[name][0]]]:  # nothing to choose
                continue
            if name not in shapes:
                raise ValueError(f"layer {name!r} does not run on the example, so it has no latency")
            fastest = [_fastest(specs, table, name, shapes[name]) for specs in ways]
            self.specs[name] = [spec for _, spec in fastest]
            if name in net.choices:
                self.seconds[name] = torch.tensor([seconds for seconds, _ in fastest], dtype=torch.float64)
        # What the table predicts of the whole with first candidates, less these: the same whatever is chosen.
        first = calibrate(convert(model, self.picked({}), skips="quantized"), [example])
        self.baseline = table.predict(first, example)
        self.rest = self.baseline - sum(float(s[0]) for s in self.seconds.values())

    def picked(self, chosen: Mapping[str, int]) -> dict[str, Spec]:
        """Give the specs of a network by layer, from each choice's index; first candidates where there is none."""
        return {name: specs[chosen.get(name, 0)] for name, specs in self.specs.items()}

    def reach(self) -> Reach:
        """Give the fastest and the slowest network there is."""
        indices = ({name: int(f(s)) for name, s in self.seconds.items()} for f in (torch.argmin, torch.argmax))
        return Reach(*map(self.total, indices))

    def total(self, chosen: Mapping[str, int]) -> float:
        """Give the seconds of a network, from each choice's index; added in the order of :func:`best_within`."""
        total = self.rest
        for name, seconds in self.seconds.items():
            total += float(seconds[chosen[name]])
        return total

    def best_within(self, values: Mapping[str, NDArray[np.float64]], budget: float) -> dict[str, int]:
        """Choose one candidate of every choice: the largest sum of values within a budget in seconds."""
        costs = [np.array([self.rest]), *(seconds.numpy() for seconds in self.seconds.values())]
        _, *indices = best_within([np.zeros(1), *(values[name] for name in self.seconds)], costs, budget)
        return dict(zip(self.seconds, indices, strict=True))

    def expected(self, alphas: dict[str, Tensor]) -> Tensor:
        """E[latency] in seconds over all candidates, differentiable, float64.

        Parameters
        ----------
        alphas : dict of str to Tensor of shape (candidates,)
            Architecture parameters; their softmax is how likely each candidate is.
        """
        shares = [torch.softmax(a.double(), 0) @ self.seconds[name].to(a.device) for name, a in alphas.items()]
        return torch.stack(shares).sum() + self.rest


def _fastest(specs: Sequence[Spec], table: Latencies, name: str, shape: LayerShape) -> tuple[float, Spec]:
    """Give the seconds and the spec that takes least, the first of equal ones."""
    timed = [(_checked(table.seconds(shape, spec), name, spec), spec) for spec in specs]
    return min(timed, key=lambda pair: pair[0])


def _checked(seconds: float, name: str, spec: Spec) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"the table says that layer {name!r} takes {seconds} s as {spec}; it must be a time")
    return seconds
