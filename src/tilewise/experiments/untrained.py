"""What post-training quantization keeps: each algorithm, with ranges only and refined, over draws of the images.

Two studies: the released ResNet-20 on all test images of CIFAR-10, and Real-ESRGAN's compact upscaler on Set5 and
Set14, by its distance from the float network and from the truth. No label is used but to score.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.calibration import CalibrationConfig, calibrate
from tilewise.conversion import convert
from tilewise.data import Batches
from tilewise.data.pairs import bicubic
from tilewise.data.pictures import picture_files, read_picture
from tilewise.engine.accelerate import accelerate
from tilewise.experiments.plain import trained_network
from tilewise.experiments.runs import Case, Place, Scale, Study
from tilewise.experiments.tables import Column, columns_of
from tilewise.experiments.training import SIZES, Size, labelled_parts
from tilewise.quant import Direct, Spec, Winograd
from tilewise.train import evaluate, load_weights
from tilewise.train.tasks import SuperResolution
from tilewise.zoo import compact

ALGORITHMS = ("direct", "SFC6", "SFC6-planar", "SFC6-planar(7)", "F2", "F4", "F6")
"""Without anything but ranges."""
REFINED = ("F4", "F6")
IMAGES = (16, 64, 256)
"""To refine with; the most are what ranges alone are measured on too."""
DRAWS = (0, 1, 2)
BATCH = 64
UPSCALER = "pretrained/realesr-animevideov3.safetensors"
SCALE, WINDOW = 4, 32
"""Of the upscaler: its factor, and the side of the windows of low resolution that it is calibrated on."""
LAST = "body.34"
"""Its last convolution, whose noise is the image's."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is done to a network.

    Parameters
    ----------
    algorithm : str
        ``"direct"`` or an algorithm's name.
    transforms : {"static", "learned"}
        Learned ones only where it is refined.
    images : int
        Training images that it sees.
    refined : bool
        Whether it is refined; else its ranges are measured.
    draw : int
        Which images.
    """

    algorithm: str
    transforms: Literal["static", "learned"] = "static"
    images: int = IMAGES[-1]
    refined: bool = False
    draw: int

    @property
    def name(self) -> str:
        """Such as ``F4-refined-256-s0``."""
        transforms = "" if self.transforms == "static" else f"-{self.transforms}"
        return f"{self.algorithm}{transforms}-{'refined' if self.refined else 'ranges'}-{self.images}-s{self.draw}"

    @property
    def spec(self) -> Spec:
        """Of all layers."""
        return Direct() if self.algorithm == "direct" else Winograd(self.algorithm, transforms=self.transforms)

    def made(self, network: nn.Module, batches: Sequence[Tensor]) -> tuple[nn.Module, dict[str, Any]]:
        """Calibrate a converted network, and refine it if asked to; return it and what refinement could not fit."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            calibrate(network, batches, CalibrationConfig(seed=self.draw) if self.refined else None)
        return network, {"left": [str(warning.message) for warning in caught]}


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A network that classifies images."""

    network: str
    kind: Kind
    size: Size

    @property
    def name(self) -> str:
        """Such as ``resnet20-F4-refined-256-s0``."""
        return f"{self.network}-{self.kind.name}"

    def run(self, place: Place) -> dict[str, Any]:
        """Convert, calibrate, score, against the float network too."""
        train, _, test = labelled_parts(self.size, place)
        model = trained_network(self.network, place)
        batches = [x for x, _ in Batches(train.subset(self.kind.images, self.kind.draw), BATCH)]
        network, found = self.kind.made(convert(model, {"*": self.kind.spec}).eval(), batches)
        teacher = accelerate(model, batches[0][:1], threads=torch.get_num_threads())
        score = evaluate(network, test.scoring(), teacher=teacher)
        return {"accuracy": round(score.value, 2), "images": score.images, "distance": score.distance, **found}


@dataclass(frozen=True, kw_only=True)
class Enlarged:
    """The upscaler; ``inner``: with its last convolution direct."""

    kind: Kind
    inner: bool = False

    @property
    def name(self) -> str:
        """Such as ``upscaler-F4-refined-256-s0``."""
        return f"upscaler-{'inner-' if self.inner else ''}{self.kind.name}"

    def run(self, place: Place) -> dict[str, Any]:
        """Convert, calibrate on windows of T91, enlarge Set5 and Set14."""
        root = place.data_root
        if root is None or not (root / UPSCALER).is_file():
            raise FileNotFoundError(f"the upscaler needs {UPSCALER} and SR/T91, SR/Set5, SR/Set14 in --data-root")
        model = load_weights(compact(), root / UPSCALER).eval()
        specs: dict[str, Spec] = {LAST: Direct()} if self.inner else {}
        network = convert(model, {**specs, "*": self.kind.spec}).eval()
        network, found = self.kind.made(network, windows(root, self.kind.images, self.kind.draw))
        fast = accelerate(network, torch.zeros(1, 3, WINDOW, WINDOW), threads=torch.get_num_threads())
        pairs = {name: pictures(root, name) for name in ("Set5", "Set14")}
        scores = {name: [decibels(model, fast, *pair) for pair in pairs[name]] for name in pairs}
        to_float, to_truth = (
            {name: round(float(np.mean([score[i] for score in found])), 2) for name, found in scores.items()}
            for i in range(2)
        )
        return {"psnr": round(float(np.mean(list(to_float.values()))), 2), "to_float": to_float, "to_truth": to_truth,
                **found}  # fmt: skip


@torch.no_grad()
def decibels(model: nn.Module, fast: nn.Module, low: Tensor, high: Tensor) -> tuple[float, float]:
    """Return the PSNR of an enlarged image to the float network's, in colour, and to the truth, in luma."""
    wanted, given = (network(low).clamp(0, 1) for network in (model, fast))
    error = float((wanted - given).double().square().mean())
    counts = SuperResolution(SCALE).counts(_luma(given), _luma(high))
    return -10 * float(np.log10(max(error, 1e-12))), SuperResolution(SCALE).score(counts)


def _luma(rgb: Tensor) -> Tensor:
    """Return (N, 1, H, W) from 0 to 1, as ``data.pairs.luma`` has it."""
    weights = rgb.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((rgb * weights).sum(1, keepdim=True) + 16) / 255


@functools.cache
def pictures(root: Path, name: str) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return the images of a set in low and high resolution, (1, 3, H, W) from 0 to 1."""
    found = []
    for file in picture_files(root, name, "SR", f"the images of {name}"):
        rgb = read_picture(file, colour=True)
        height, width = (side // SCALE for side in rgb.shape[:2])
        high = rgb[: height * SCALE, : width * SCALE]
        low = np.stack([bicubic(np.ascontiguousarray(high[..., c]), height, width) for c in range(3)])
        tensors = torch.from_numpy(low)[None], torch.from_numpy(high.copy()).permute(2, 0, 1)[None]
        found.append((tensors[0].float() / 255, tensors[1].float() / 255))
    return tuple(found)


def windows(root: Path, count: int, draw: int) -> list[Tensor]:
    """Cut windows out of T91 in low resolution, in batches."""
    images = [low for low, _ in pictures(root, "T91") if min(low.shape[2:]) >= WINDOW]
    generator = torch.Generator().manual_seed(draw)
    cut = []
    for _ in range(count):
        low = images[int(torch.randint(len(images), (), generator=generator))]
        y, x = (int(torch.randint(side - WINDOW + 1, (), generator=generator)) for side in low.shape[2:])
        cut.append(low[..., y : y + WINDOW, x : x + WINDOW])
    return list(torch.split(torch.cat(cut), BATCH))


def kinds() -> list[Kind]:
    """Return what is done, what is waited for most first: ranges only, then F4 and F6 refined."""
    found = [Kind(algorithm=name, draw=draw) for draw in DRAWS for name in ALGORITHMS]
    for name in REFINED:
        found += [Kind(algorithm=name, transforms="learned", refined=True, draw=draw) for draw in DRAWS]
        for images in reversed(IMAGES):
            found += [Kind(algorithm=name, images=images, refined=True, draw=draw) for draw in DRAWS]
            if images != IMAGES[-1]:
                found += [Kind(algorithm=name, images=images, draw=draw) for draw in DRAWS]
    return found


def classified(scale: Scale) -> Sequence[Case]:
    """Return the runs of the study ``accuracy``."""
    if scale == "smoke":
        chosen = [Kind(algorithm="direct", images=32, draw=0), Kind(algorithm="F4", images=16, refined=True, draw=0)]
        return [Classified(network="small", kind=kind, size=SIZES[scale]) for kind in chosen]
    return [Classified(network="resnet20", kind=kind, size=SIZES["paper"]) for kind in kinds()]


def enlarged(scale: Scale) -> Sequence[Case]:
    """Return the runs of the study ``enlarging``."""
    if scale == "smoke":
        return [Enlarged(kind=Kind(algorithm="SFC6-planar", images=4, draw=0))]
    inner = [Enlarged(kind=Kind(algorithm="F4", refined=refined, draw=draw), inner=True)
             for draw in DRAWS for refined in (False, True)]  # fmt: skip
    return [*(Enlarged(kind=kind) for kind in kinds()), *inner]


ACCURACY = Study(
    name="accuracy",
    title="ResNet-20 on CIFAR-10 at 8 bits without training: ranges only, and refined without labels",
    cases=classified,
)
ENLARGING = Study(
    name="enlarging",
    title="The compact upscaler at 8 bits without training on Set5 and Set14: PSNR to the float network",
    cases=enlarged,
    columns=(
        Column(title="both sets, to float", key="psnr", unit="dB"),
        *columns_of("to_float", ("Set5", "Set14"), "dB to float"),
        *columns_of("to_truth", ("Set5", "Set14"), "dB to the truth"),
    ),
)
