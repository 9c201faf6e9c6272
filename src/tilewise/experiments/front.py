"""Found architectures beside uniform networks: adapted alike, compiled, scored and measured for real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from tilewise.calibration import calibrate
from tilewise.conversion import convert
from tilewise.data import Batches, Images
from tilewise.engine import Engine
from tilewise.engine.compiler import compile  # noqa: A004 - what users call it
from tilewise.experiments.speed import BASELINE, SpeedRow, speed
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd
from tilewise.train import TrainConfig, fit
from tilewise.winas import Architecture

CALIBRATION_IMAGES = 512
UNIFORM: dict[str, Spec] = {
    "direct fp32": Direct(bits=FLOAT_BITS),
    "F4 fp32": Winograd("F4", bits=FLOAT_BITS),
    BASELINE: Direct(),
    **{f"{name} int8": Winograd(name) for name in ("F2", "F4", "F6")},
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every network is adapted from the plain weights, taught by the plain network, and run.

    Parameters
    ----------
    out : Path
        Folder for a run folder of each network.
    epochs : int
        Of adaptation; networks without quantized layers need none.
    lr : float
        Peak learning rate.
    batch : int
        Images per step.
    threads : int
        Of the compiled networks.
    device : str
        Where to train.
    seed : int
        Of calibration images, order and augmentation.
    """

    out: Path
    epochs: int = 2
    lr: float = 2e-4
    batch: int = 64
    threads: int = 1
    device: str = "cpu"
    seed: int = 0


def measure(
    model: nn.Module, found: Sequence[Architecture], train: Images, test: Images, recipe: Recipe
) -> list[SpeedRow]:
    """Adapt, compile, score and measure found architectures and uniform networks, in turns with one another.

    Every network is adapted in a run folder of its own and resumed there, so that a kill loses the current epoch only.

    Parameters
    ----------
    model : torch.nn.Module
        The plain network.
    found : sequence of Architecture
        Named ``"found 0"``, ``"found 1"``, ... in their order; equal ones are measured once, by the first name.
    train, test : Images
        To adapt on, and to score on, all of them, through the engine.
    recipe : Recipe
        How.

    Returns
    -------
    list of SpeedRow
        Uniform networks first.
    """
    plans: dict[str, Mapping[str, Spec]] = {case: {"*": spec} for case, spec in UNIFORM.items()}
    for index, architecture in enumerate(found):
        if architecture.specs not in plans.values():
            plans[f"found {index}"] = architecture.specs
    example = next(iter(Batches(test, 1)))[0]
    engines: dict[str, Engine] = {}
    for index, (case, specs) in enumerate(plans.items(), 1):
        print(f"adapting and compiling {case} ({index} of {len(plans)}) ...")
        network = adapted(model, case, specs, train, recipe)
        engines[case] = compile(network, example, threads=recipe.threads)
    return speed(engines, example, Batches(test, 250))


def adapted(model: nn.Module, case: str, specs: Mapping[str, Spec], train: Images, recipe: Recipe) -> nn.Module:
    """Give a network of these specs with the plain network's weights, adapted if any layer is quantized."""
    network = convert(model, specs, skips="quantized").eval()
    if all(spec.bits == FLOAT_BITS for spec in specs.values()):
        return network
    sample = train.subset(min(CALIBRATION_IMAGES, len(train)), recipe.seed)
    calibrate(network, Batches(sample, recipe.batch), device=recipe.device)
    config = TrainConfig(
        epochs=recipe.epochs, lr=recipe.lr, freeze_norms=True, out=recipe.out / case.replace(" ", "-"), resume=True,
        device=recipe.device, seed=recipe.seed,
    )  # fmt: skip
    batches = Batches(train, recipe.batch, shuffle=True, augment=True, seed=recipe.seed, device=recipe.device)
    # Scored on training images: test images are for the end.
    return fit(network, batches, Batches(sample, 250), config, teacher=model).cpu()


def front(rows: Sequence[SpeedRow]) -> list[SpeedRow]:
    """Give the rows that no other beats, being as fast and as accurate and better in one, from fast to slow."""
    scored = sorted((row for row in rows if row.accuracy is not None), key=lambda r: (r.milliseconds, -_accuracy(r)))
    best: list[SpeedRow] = []
    for row in scored:
        if not best or _accuracy(row) > _accuracy(best[-1]):
            best.append(row)
    return best


def _accuracy(row: SpeedRow) -> float:
    assert row.accuracy is not None
    return row.accuracy
