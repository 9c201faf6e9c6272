"""Networks trained in float, which the studies of swapping, adapting and searching start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tilewise.data import Pairs
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import ACCURACY, MIOU, PSNR
from tilewise.experiments.training import BATCH, DATA_SEED, LR, SIZES, Size, labelled_parts, parts, trained
from tilewise.train import TrainConfig, fit, load_weights
from tilewise.train.runs import LAST
from tilewise.zoo import build, resnet20

WEIGHTS = "pretrained/resnet20-12fca82f.th"
NETWORKS = {"cifar10": "resnet18", "cifar100": "resnet18", "set5": "edsr", "camvid": "unet", "digits": "resnet18"}
"""By data set."""
EPOCHS: dict[Scale, dict[str, int]] = {
    "smoke": {"resnet18": 2},
    "tiny": {"resnet18": 10, "edsr": 12, "unet": 14},
    "small": {"resnet18": 30, "edsr": 30, "unet": 30},
    "paper": {"resnet18": 120, "edsr": 100, "unet": 100},
}
WIDTHS: dict[Scale, dict[str, float]] = {
    "smoke": {"resnet18": 0.125},
    "tiny": {"resnet18": 0.25, "edsr": 0.5, "unet": 0.5},
    "small": {"resnet18": 0.25, "edsr": 1.0, "unet": 1.0},
    "paper": {"resnet18": 1.0, "edsr": 1.0, "unet": 1.0},
}


@dataclass(frozen=True, kw_only=True)
class Plain:
    """A network in float, on all images of its data set."""

    network: str
    width: float
    lr: float
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet18-w0.25-cifar10``."""
        return f"{self.network}-w{self.width:g}-{self.size.data}"

    def built(self, place: Place) -> nn.Module:
        """Build it for its data."""
        train, _, _ = parts(self.size, place)
        fitting = {"scale": train.task.scale} if isinstance(train, Pairs) else {"classes": train.classes}
        return build(self.network, width=self.width, channels=train.shape[0], **fitting)

    def run(self, place: Place) -> dict[str, Any]:
        """Train."""
        torch.manual_seed(DATA_SEED)
        return trained(self.built(place), self.size, place, seed=DATA_SEED, epochs=self.size.epochs, lr=self.lr)


def plain(data: str, scale: Scale) -> Plain:
    """Return the network that studies at a scale start from, on a data set."""
    network, smoke = NETWORKS[data], SIZES["smoke"]
    size = Size(
        data=data, images=smoke.images if scale == "smoke" else None,
        scored=SIZES[scale].scored if network == "resnet18" else None, epochs=EPOCHS[scale][network],
    )  # fmt: skip
    return Plain(network=network, width=WIDTHS[scale][network], lr=LR, size=size)


def trained_network(name: str, place: Place) -> nn.Module:
    """Return a network trained in float.

    Parameters
    ----------
    name : str
        ``"resnet20"``, the released one; ``"small"``, for digits, trained here in seconds; or a network and its data
        set, such as ``"unet-camvid"``, as this study has trained it at the scale of the run.
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
    case = plain(name.rpartition("-")[2], place.scale)
    path = place.beside(STUDY.name, case.name) / "run" / LAST
    if not path.is_file():
        raise FileNotFoundError(
            f"{name} is trained by tilewise experiment {STUDY.name} --scale {place.scale}, with the same --out"
        )
    return load_weights(case.built(place), path)


def _small(place: Place) -> nn.Module:
    torch.manual_seed(DATA_SEED)
    model, (train, _, _) = build("small", channels=1), labelled_parts(SIZES["smoke"], place)
    config = TrainConfig(epochs=2, lr=3e-3, device=place.device, progress=False)
    return fit(model, train.training(BATCH, device=place.device), train.scoring(device=place.device), config)


def cases(scale: Scale) -> Sequence[Case]:
    """Return the networks."""
    return [plain(data, scale) for data in NETWORKS if (data == "digits") == (scale == "smoke")]


STUDY = Study(
    name="plain",
    title="Networks trained in float, which other studies start from",
    cases=cases,
    columns=(ACCURACY, PSNR, MIOU),
)
