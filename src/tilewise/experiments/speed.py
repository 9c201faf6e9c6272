"""Latency beside accuracy: one network compiled with each algorithm, measured against each other on this machine."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tilewise.calibration import calibrate
from tilewise.common.progress import track
from tilewise.common.turns import in_turns, stopwatch
from tilewise.conversion import convert
from tilewise.data import Batches
from tilewise.engine import Engine
from tilewise.engine.compiler import compile  # noqa: A004 - what users call it
from tilewise.experiments.demo import Study
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd
from tilewise.zoo import resnet18

BASELINE = "direct int8"
ROUNDS, SECONDS = 31, 0.003
"""How often networks take turns, and about how long each runs in a round."""

CASES: dict[str, Spec] = {
    "direct fp32": Direct(bits=FLOAT_BITS),
    BASELINE: Direct(bits=8),
    **{f"{name} int8": Winograd(name, bits=8) for name in ("F2", "F4", "F6", "SFC6")},
}


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """One compiled network.

    Parameters
    ----------
    case : str
        Algorithm and width.
    milliseconds, fastest, slowest : float
        Of one call with one image: median over rounds, and its quartiles.
    speedup : float
        Median over rounds of the baseline's time in the same round divided by this one's.
    accuracy : float, optional
        In percent, on all test images, through the engine.
    """

    case: str
    milliseconds: float
    fastest: float
    slowest: float
    speedup: float
    accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


# ResNet-18's last stage has maps of 4x4, one tile of F4: 36 taps of weights for 16 outputs do not pay.
MIXED = "F4 int8, F2 on 4x4"
MIXTURE: dict[str, Spec] = {"layers.[67]*": Winograd("F2", bits=8), "*": Winograd("F4", bits=8)}


def engines_of(
    model: nn.Module, sample: Sequence[Tensor], threads: int, mixture: dict[str, Spec] | None = None
) -> dict[str, Engine]:
    """Convert, calibrate on a sample and compile a network with each algorithm, skip connections in 8 bits."""
    cases: dict[str, dict[str, Spec]] = {case: {"*": spec} for case, spec in CASES.items()}
    if mixture is not None:
        cases[MIXED] = mixture
    engines = {}
    for case, specs in track(list(cases.items()), "compile", enabled=True):
        quantized = specs["*"].bits != FLOAT_BITS
        converted = convert(model, specs, skips="quantized" if quantized else "float").eval()
        if quantized:
            calibrate(converted, sample)
        engines[case] = compile(converted, sample[0][:1], threads=threads)
    return engines


def accuracy(engine: Engine, test: Batches) -> float:
    """Give the share of right answers in percent."""
    right = [(engine(x).argmax(1) == y).sum().item() for x, y in test]
    return 100 * sum(right) / test.samples


def speed(engines: Mapping[str, Engine], image: Tensor, test: Batches | None = None) -> list[SpeedRow]:
    """Measure compiled networks against each other, one image at a time.

    Parameters
    ----------
    engines : mapping of str to Engine
        By case; one of them the baseline.
    image : Tensor of shape (1, C, H, W), float32
        What to run.
    test : Batches, optional
        Images to score.
    """
    watches = {case: stopwatch(functools.partial(engine, image), SECONDS) for case, engine in engines.items()}
    seconds = in_turns(watches, ROUNDS, progress="measure")
    rows = []
    for case, engine in engines.items():
        low, middle, high = (1e3 * q for q in statistics.quantiles(seconds[case], n=4))
        ratios = [base / own for base, own in zip(seconds[BASELINE], seconds[case], strict=True)]
        rows.append(
            SpeedRow(
                case=case,
                milliseconds=middle,
                fastest=low,
                slowest=high,
                speedup=statistics.median(ratios),
                accuracy=None if test is None else accuracy(engine, test),
            )
        )
    return rows


def race_study(study: Study, threads: int) -> dict[str, list[SpeedRow]]:
    """Measure the demo's network, and for its size the papers' ResNet-18 with random weights (no accuracy, then).

    Returns
    -------
    dict of str to list of SpeedRow
        By title.
    """
    sample = [x for x, _ in Batches(study.train.subset(min(256, len(study.train)), seed=study.seed), 64)]
    engines = engines_of(study.model, sample, threads)
    torch.manual_seed(study.seed)
    noise = [torch.randn(8, 3, 32, 32)]
    large = engines_of(resnet18().eval(), noise, threads, MIXTURE)
    return {
        study.title: speed(engines, sample[0][:1], study.test_batches()),
        "ResNet-18 on 32x32 images, random weights": speed(large, noise[0][:1]),
    }
