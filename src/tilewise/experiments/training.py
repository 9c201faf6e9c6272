"""What studies that train share: the data at each scale, the one schedule, a run that reports its curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from tilewise.calibration import calibrate
from tilewise.conversion import convert
from tilewise.data import PAIRS, SCENES, Batches, Images, Known, load_known
from tilewise.data.catalogue import SPLITS
from tilewise.experiments.runs import Place, Scale
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd
from tilewise.train import TrainConfig, evaluate, fit
from tilewise.train.runs import read_log

BATCH = 64
BATCHES = {**dict.fromkeys(PAIRS, 16), **dict.fromkeys(SCENES, 8)}
"""Images per step where they are not :data:`BATCH`."""
LR = 3e-3
"""Peak rate of training from scratch, AdamW with warm-up and cosine: one for all studies."""
ADAPT_LR = 2e-4
"""Peak rate of adapting a trained network."""
CALIBRATION_IMAGES = 512
DATA_SEED = 0
"""Of the part of the data: all seeds of a study see the same images."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of a data set a scale takes, and how long it trains.

    Parameters
    ----------
    data : str
        Name of the set.
    images : int or None
        Training images, drawn at random; None takes all.
    scored : int or None
        Test images scored after each epoch; the last accuracy is that of all.
    epochs : int
        Of training from scratch.
    """

    data: str
    images: int | None
    scored: int | None
    epochs: int


SIZES: Mapping[Scale, Size] = {
    "smoke": Size(data="digits", images=320, scored=100, epochs=2),
    "tiny": Size(data="cifar10", images=10_000, scored=1_000, epochs=4),
    "small": Size(data="cifar10", images=None, scored=2_000, epochs=12),
    "paper": Size(data="cifar10", images=None, scored=None, epochs=120),
}


def make_spec(algorithm: str, bits: int, transforms: str = "static", scales: str = "tap", rules: str = "tap") -> Spec:
    """Return the spec of a run: ``"direct"`` or an algorithm's name, with its transforms, scales and quantizer."""
    if algorithm == "direct":
        return Direct(bits=bits, quantizer=rules)  # type: ignore[arg-type]
    return Winograd(algorithm, bits=bits, transforms=transforms, scales=scales, quantizer=rules)  # type: ignore[arg-type]


def parts(size: Size, place: Place) -> tuple[Known, Known, Known]:
    """Return the training images, the test images of each epoch, and all test images."""
    train, test = (load_known(size.data, split, place.data_root) for split in SPLITS)
    shown = train if size.images is None else train.subset(size.images, DATA_SEED)
    return shown, test if size.scored is None else test.subset(size.scored, DATA_SEED), test


def labelled_parts(size: Size, place: Place) -> tuple[Images, Images, Images]:
    """Return the same of a set of labelled images."""
    train, scored, test = parts(size, place)
    assert isinstance(train, Images)
    assert isinstance(scored, Images)
    assert isinstance(test, Images)
    return train, scored, test


def calibrated(model: nn.Module, spec: Spec, train: Known, device: str) -> nn.Module:
    """Convert all layers of a trained network to a spec, and measure ranges where there are any."""
    network = convert(model, {"*": spec}).eval()
    if spec.bits == FLOAT_BITS:
        return network
    sample = train.subset(min(CALIBRATION_IMAGES, len(train)), DATA_SEED)
    if isinstance(sample, Images):
        return calibrate(network, Batches(sample, BATCH, device=device), device=device)
    return calibrate(network, sample.training(BATCHES[sample.name], seed=DATA_SEED, device=device), device=device)


def trained(
    model: nn.Module,
    size: Size,
    place: Place,
    *,
    seed: int,
    epochs: int,
    lr: float,
    transform_rate: float = 1.0,
    swapped: bool = False,
) -> dict[str, Any]:
    """Train in the run's folder, going on where a killed run stopped; return the curve and the last score.

    Parameters
    ----------
    model : torch.nn.Module
        Converted; changed in place.
    size : Size
        Which data.
    place : Place
        Where.
    seed : int
        Of order and augmentation.
    epochs : int
        How long.
    lr, transform_rate : float
        Peak rate, and the share of it that learned transforms get.
    swapped : bool
        Report the accuracy before training too.
    """
    train, scored, test = parts(size, place)
    val, task, batch = scored.scoring(device=place.device), train.task, BATCHES.get(size.data, BATCH)
    before = {"before": round(evaluate(model, val, task=task, device=place.device).value, 2)} if swapped else {}
    config = TrainConfig(
        epochs=epochs, lr=lr, transform_rate=transform_rate, out=place.folder / "run", resume=True,
        device=place.device, seed=seed, progress=False,
    )  # fmt: skip
    fit(model, train.training(batch, seed=seed, device=place.device), val, config, task=task)
    last = evaluate(model, test.scoring(device=place.device), task=task, device=place.device)
    log = read_log(place.folder / "run")
    return {
        task.metric: round(last.value, 2),
        "images": last.images,
        **before,
        "curve": [round(entry[task.metric], 2) for entry in log],
        "losses": [round(entry["train_loss"], 4) for entry in log],
        "seconds": sum(entry["seconds"] for entry in log),
    }
