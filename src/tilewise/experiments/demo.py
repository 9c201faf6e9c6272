"""The main job in one recipe: swap convolutions without training, see who survives, adapt the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from tilewise.calibration import calibrate
from tilewise.common.progress import track
from tilewise.conversion import convert
from tilewise.data import Batches, Images, load
from tilewise.quant import FLOAT_BITS, Direct, Scales, Spec, Winograd
from tilewise.train import TrainConfig, evaluate, fit
from tilewise.zoo import resnet20, small_cnn

SWAPPED = ("direct", "F2", "F4-textbook", "F4", "F6", "SFC6")
WIDTHS = (16, 10, 8)
CALIBRATION_IMAGES = 512
# What is worth adapting: what the swap broke, and the largest tile.
ADAPTED: tuple[tuple[str, Scales], ...] = (
    ("F4-textbook", "tensor"),
    ("F4", "tensor"),
    ("F6", "tensor"),
    ("F6", "tap"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured network."""

    algorithm: str
    bits: int
    scales: Scales
    transforms: Literal["static", "learned"] = "static"
    adapted: bool = False
    epochs: int = 0
    accuracy: float
    images: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


@dataclass(kw_only=True)
class Study:
    """A trained network, its data, and the rows measured so far.

    Parameters
    ----------
    model : torch.nn.Module
        Trained in fp32.
    train, test : Images
        For calibration and adaptation, and for scoring.
    epochs : int
        Of each adaptation.
    lr : float
        Peak learning rate of adaptation.
    device : str
        Where to run.
    seed : int
        Of calibration images and adaptation.
    """

    model: nn.Module
    train: Images
    test: Images
    epochs: int
    lr: float
    device: str = "cpu"
    seed: int = 0
    rows: list[Row] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What is measured on what."""
        return f"{type(self.model).__name__} on {len(self.test)} test images of {self.test.name}"

    def swap(self) -> None:
        """Measure every algorithm at every width without training."""
        cases: list[tuple[str, int, Scales]] = [(name, FLOAT_BITS, "tensor") for name in SWAPPED]
        cases += [(name, bits, "tap") for bits in WIDTHS for name in SWAPPED]
        cases += [(name, bits, "tensor") for bits in WIDTHS for name in SWAPPED if name != "direct"]
        for name, bits, scales in track(cases, "swap without training", enabled=True):
            model = self.calibrated(make_spec(name, bits, scales, "static"))
            self.measure(model, Row(algorithm=name, bits=bits, scales=scales, accuracy=0, images=0))

    def adapt(self, name: str, scales: Scales, transforms: Literal["static", "learned"]) -> None:
        """Adapt to one algorithm at 8 bits, Winograd-aware, taught by the float network, and measure."""
        model = self.calibrated(make_spec(name, 8, scales, transforms))
        batches = Batches(self.train, 64, shuffle=True, augment=True, seed=self.seed, device=self.device)
        config = TrainConfig(epochs=self.epochs, lr=self.lr, seed=self.seed, device=self.device)
        fit(model, batches, self.test_batches(), config, teacher=self.model)
        empty = Row(
            algorithm=name,
            bits=8,
            scales=scales,
            transforms=transforms,
            adapted=True,
            epochs=self.epochs,
            accuracy=0,
            images=0,
        )
        self.measure(model, empty)

    def calibrated(self, spec: Spec) -> nn.Module:
        """Convert all layers to a spec and calibrate on training images."""
        model = convert(self.model, {"*": spec})
        images = self.train.subset(min(CALIBRATION_IMAGES, len(self.train)), seed=self.seed)
        return calibrate(model, Batches(images, 64, device=self.device), device=self.device)

    def test_batches(self) -> Batches:
        """All test images in order."""
        return Batches(self.test, 250, device=self.device)

    def measure(self, model: nn.Module, row: Row) -> None:
        """Score a model and keep the row."""
        score = evaluate(model, self.test_batches(), device=self.device)
        values = {**asdict(row), "accuracy": round(score.value, 2), "images": score.images}
        self.rows.append(Row(**values))


def make_spec(name: str, bits: int, scales: Scales, transforms: Literal["static", "learned"]) -> Spec:
    """Give the spec of a demo's row."""
    if name == "direct":
        return Direct(bits=bits)
    return Winograd(name, bits=bits, scales=scales, transforms=transforms)


def prepare(data_root: Path | None, test_images: int | None, *, device: str, seed: int) -> Study:
    """Set the study up: CIFAR-10 and the pretrained ResNet-20 from a folder, or digits and a small network.

    Raises
    ------
    FileNotFoundError
        If ``data_root`` is given but lacks CIFAR-10 or the weights.
    """
    name = "digits" if data_root is None else "cifar10"
    train, test = load(name, "train", data_root), load(name, "test", data_root)
    if data_root is None:
        if test_images is not None:
            test = test.subset(test_images, seed)
        model = train_small(train, test, epochs=8, device=device, seed=seed)
        return Study(model=model, train=train, test=test, epochs=3, lr=1e-3, device=device, seed=seed)
    weights = data_root / "pretrained" / "resnet20-12fca82f.th"
    if not weights.is_file():
        raise FileNotFoundError(f"the demo on CIFAR-10 needs the pretrained ResNet-20 at {weights}")
    test = test.subset(2000 if test_images is None else test_images, seed)
    train = train.subset(6_400, seed)
    return Study(model=resnet20(weights), train=train, test=test, epochs=1, lr=2e-4, device=device, seed=seed)


def train_small(train: Images, test: Images, *, epochs: int, device: str, seed: int) -> nn.Module:
    """Train the demo's small network in fp32."""
    torch.manual_seed(seed)
    model = small_cnn(classes=train.classes, channels=train.images.shape[1])
    batches = Batches(train, 64, shuffle=True, augment=True, seed=seed, device=device)
    return fit(model, batches, Batches(test, 250), TrainConfig(epochs=epochs, lr=3e-3, seed=seed, device=device))
