"""Networks trained in float, which the studies of swapping, adapting and searching start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.training import BATCH, DATA_SEED, LR, SIZES, Size, labelled_parts, trained
from tilewise.train import TrainConfig, fit, load_weights
from tilewise.train.runs import LAST
from tilewise.zoo import build, resnet20

WEIGHTS = "pretrained/resnet20-12fca82f.th"
EPOCHS: dict[Scale, int] = {"smoke": 2, "tiny": 10, "small": 30, "paper": 120}
WIDTHS: dict[Scale, float] = {"smoke": 0.125, "tiny": 0.25, "small": 0.25, "paper": 1.0}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A ResNet-18 in float, on all images of its data set."""

    width: float
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet18-w0.25-cifar10``."""
        return f"resnet18-w{self.width:g}-{self.size.data}"

    def network(self, place: Place) -> nn.Module:
        """Build it for its data."""
        train, _, _ = labelled_parts(self.size, place)
        return build("resnet18", width=self.width, channels=train.shape[0], classes=train.classes)

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(DATA_SEED)
        return trained(self.network(place), self.size, place, seed=DATA_SEED, epochs=self.size.epochs, lr=self.lr)


def plain(data: str, scale: Scale) -> Plain:
    """Return the network that studies at a scale start from, on a data set."""
    size = replace(SIZES[scale], data=data, images=SIZES["smoke"].images if scale == "smoke" else None)
    return Plain(width=WIDTHS[scale], lr=LR, size=replace(size, epochs=EPOCHS[scale]))


def trained_network(name: str, place: Place) -> nn.Module:
    """Return a network trained in float.

    Parameters
    ----------
    name : str
        ``"resnet20"``, the released one; ``"small"``, for digits, trained here in seconds; or ``"resnet18-"`` and a
        data set, as this study has trained it at the scale of the run.
    place : Place
        Of the run that starts from it.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    if name == "small":
        return _small(place)
    if name == "resnet20":
        if place.data_root is None or not (path := place.data_root / WEIGHTS).is_file():
            folder = "a folder (--data-root)" if place.data_root is None else str(place.data_root)
            raise FileNotFoundError(f"{name} needs its released weights {WEIGHTS} in {folder}")
        return resnet20(path)
    case = plain(name.removeprefix("resnet18-"), place.scale)
    path = place.beside(STUDY.name, case.name) / "run" / LAST
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is trained by tilewise experiment {STUDY.name} --scale {place.scale}, with the same --out"
        )
    return load_weights(case.network(place), path)


def _small(place: Place) -> nn.Module:
    torch.manual_seed(DATA_SEED)
    model, (train, _, _) = build("small", channels=1), labelled_parts(SIZES["smoke"], place)
    config = TrainConfig(epochs=2, lr=3e-3, device=place.device, progress=False)
    return fit(model, train.training(BATCH, device=place.device), train.scoring(device=place.device), config)


def cases(scale: Scale) -> Sequence[Case]:
    """Return the networks."""
    return [plain("digits", scale)] if scale == "smoke" else [plain(data, scale) for data in ("cifar10", "cifar100")]


STUDY = Study(name="plain", title="Networks trained in float, which other studies start from", cases=cases)
