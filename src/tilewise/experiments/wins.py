"""Figure 9 and table 4 of the 2020 paper: what wiNAS finds, beside networks of one algorithm, in accuracy and time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.common.turns import in_turns, stopwatch
from tilewise.conversion import convert
from tilewise.data import Batches
from tilewise.experiments.front import Recipe, measure
from tilewise.experiments.plain import trained_network
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.speed import ROUNDS, SECONDS
from tilewise.experiments.tables import Claim, columns_of
from tilewise.experiments.training import ADAPT_LR, BATCH, SIZES, Size, labelled_parts
from tilewise.latency import measure as measure_latencies
from tilewise.nn import QuantizedConv
from tilewise.quant import FLOAT_BITS, Direct
from tilewise.winas import SearchConfig, pareto, search
from tilewise.winas.config import WA_Q

SEEDS = (0, 1, 2)
EPOCHS: dict[Scale, int] = {"smoke": 1, "tiny": 1, "small": 2, "paper": 2}
"""Of the search, and again of adapting each network."""
HELD_OUT = 0.2
"""Share of the training images that architectures are chosen on."""
FOUND = "found 0"
UNIFORM = ("direct fp32", "F4 fp32", "direct int8", "F2 int8", "F4 int8", "F6 int8")
NETWORKS = ("resnet20", "resnet18-cifar10", "resnet18-cifar100")
POINTS = 4
"""Networks of a front."""
MODES: dict[Literal["WA", "WA-Q"], tuple[int, ...]] = {"WA": (8,), "WA-Q": WA_Q}


class Im2row(nn.Module):
    """A convolution as the papers' baseline has it: a matrix of all windows, written to memory, and one product."""

    def __init__(self, conv: QuantizedConv) -> None:
        super().__init__()
        self.weight, self.bias = conv.folded_weight().detach().flatten(1), conv.folded_bias()
        self.stride = conv.stride
        self.window, self.padding = conv.kernel_size, tuple(map(int, conv.padding))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, K, P, Q)."""
        height, width = (
            (size + 2 * pad - r) // step + 1
            for size, pad, r, step in zip(x.shape[2:], self.padding, self.window, self.stride, strict=True)
        )
        matrix = F.unfold(x, self.window, padding=self.padding, stride=self.stride)
        y = self.weight @ matrix
        y = y if self.bias is None else y + self.bias[:, None]
        return y.view(len(x), -1, height, width)


def by_matrices(model: nn.Module) -> nn.Module:
    """Return a network in float, batch norms folded, whose convolutions are :class:`Im2row`."""
    network = convert(model, {"*": Direct(bits=FLOAT_BITS)}).eval()
    for name, layer in list(network.named_modules()):
        if isinstance(layer, QuantizedConv):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, Im2row(layer))
    return network


@dataclass(frozen=True, kw_only=True)
class Wins:
    """One search; what it finds and the uniform networks are adapted alike, compiled, scored and timed in turns."""

    network: str
    mode: Literal["WA", "WA-Q"]
    points: int
    """Networks to find, from accurate to fast; 1 is a single search."""
    seed: int
    epochs: int
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet20-WA-s0``."""
        return f"{self.network}-{self.mode}-s{self.seed}"

    def run(self, place: Place) -> dict[str, Any]:
        """Measure latencies here, search, adapt, measure."""
        train, _, test = labelled_parts(self.size, place)
        model = trained_network(self.network, place)
        example = next(iter(Batches(test, 1)))[0]
        table = measure_latencies(model, example, threads=place.threads, out=place.folder / "latencies.jsonl")
        config = SearchConfig(
            widths=MODES[self.mode], epochs=self.epochs, lr=self.lr, out=place.folder / "search", resume=True,
            device=place.device, seed=self.seed, progress=False,
        )  # fmt: skip
        shown, held_out = (
            Batches(part, BATCH, shuffle=True, augment=True, seed=self.seed, device=place.device)
            for part in train.split(HELD_OUT, self.seed)
        )
        if self.points == 1:
            found = [search(model, shown, held_out, table, config, teacher=model)]
        else:
            found = pareto(model, shown, held_out, table, config, self.points, teacher=model)
        recipe = Recipe(
            out=place.folder / "adapted", epochs=self.epochs, lr=self.lr, batch=BATCH, threads=place.threads,
            device=place.device, seed=self.seed,
        )  # fmt: skip
        rows = measure(model, found, train, test, recipe)
        slow = baseline(model, example, place.threads)
        accuracies = {row.case: round(row.accuracy or 0.0, 2) for row in rows}
        return {
            "accuracy": accuracies[FOUND],
            "images": len(test),
            "accuracies": accuracies,
            "milliseconds": {row.case: round(row.milliseconds, 4) for row in rows} | {"im2row fp32": round(slow, 4)},
            "faster": {row.case: round(slow / row.milliseconds, 2) for row in rows},
            "architectures": [architecture.to_dict() for architecture in found],
        }


def baseline(model: nn.Module, example: Tensor, threads: int) -> float:
    """Return the milliseconds of one image by im2row in float, the products by torch's library."""
    network, before = by_matrices(model), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            (times,) = in_turns({"": stopwatch(functools.partial(network, example), SECONDS)}, ROUNDS).values()
    finally:
        torch.set_num_threads(before)
    return 1e3 * sorted(times)[len(times) // 2]


def cases(scale: Scale) -> Sequence[Case]:
    """Return one search in each mode, over three seeds."""
    if scale == "smoke":
        return [_case(scale, "small", "WA", 0)]
    return [_case(scale, network, mode, seed) for network in NETWORKS for seed in SEEDS for mode in MODES]


def front_cases(scale: Scale) -> Sequence[Case]:
    """Return walks from accurate to fast, over three seeds."""
    if scale == "smoke":
        return [_case(scale, "small", "WA", 0, 2)]
    return [_case(scale, network, "WA", seed, POINTS) for network in NETWORKS[:2] for seed in SEEDS]


def _case(scale: Scale, network: str, mode: Literal["WA", "WA-Q"], seed: int, points: int = 1) -> Wins:
    size = SIZES[scale]
    if scale != "smoke":
        size = replace(size, data="cifar100" if network.endswith("cifar100") else "cifar10")
    return Wins(network=network, mode=mode, points=points, seed=seed, epochs=EPOCHS[scale], lr=ADAPT_LR, size=size)


COLUMNS = (*UNIFORM, FOUND)
STUDY = Study(
    name="wins",
    title="What wiNAS finds, beside networks of one algorithm: accuracy and speed-up over im2row in float (Table 4)",
    cases=cases,
    columns=(*columns_of("accuracies", COLUMNS, "%"), *columns_of("faster", COLUMNS, "x")),
    published={
        "*-WA": "92.71 %, 2.66x (ResNet-18, 120 epochs, Cortex-A73; direct int8 93.20 %, F4 92.46 %)",
        "*-WA-Q": "92.89 % (ResNet-18, 120 epochs)",
    },
    claims=(
        Claim(
            text="What is found loses no more than F4 in all layers.", source="MLSys 2020, Table 4",
            more="*-WA", less="*-WA", key="accuracies/found 0", less_key="accuracies/F4 int8", seeded=True,
        ),
        Claim(
            text="What is found is faster than direct int8 in all layers.", source="MLSys 2020, Table 4",
            more="*-WA", less="*-WA", key="faster/found 0", less_key="faster/direct int8", seeded=True,
        ),
    ),
)  # fmt: skip
WALKED = (*UNIFORM, *(f"found {index}" for index in range(POINTS)))
FRONT = Study(
    name="front",
    title="Accuracy against latency: what wiNAS finds from accurate to fast, beside networks of one algorithm",
    cases=front_cases,
    columns=(*columns_of("accuracies", WALKED, "%"), *columns_of("milliseconds", WALKED, "ms", 3)),
)
