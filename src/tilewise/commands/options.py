"""Options that commands share, and what they stand for."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

import tyro

from tilewise.calibration.config import CalibrationConfig
from tilewise.commands.outputs import Folder, JsonFile
from tilewise.quant import QuantizerName, Scales, Transforms
from tilewise.train.config import TrainConfig

if TYPE_CHECKING:
    from torch import nn

    from tilewise.calibration import CalibrationConfig
    from tilewise.data import Images, Pairs, Scenes
    from tilewise.quant import Spec

C = TypeVar("C")
Split: TypeAlias = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes."""

    json: JsonFile | None = None
    """Write the result to this file too."""
    device: str = "cpu"
    """Where to run: cpu or cuda."""
    threads: int | None = None
    """CPU threads; all cores by default."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True, kw_only=True)
class OwnImages:
    """How a folder or an .npz file of --data becomes what the network reads."""

    image_size: int | None = None
    """Height and width to bring image files to; without it all have to be alike in size."""
    mean: tuple[float, ...] = ()
    """Per channel of pixel / 255; ImageNet's by default, 0 for images that are not of three channels."""
    std: tuple[float, ...] = ()
    """Per channel; ImageNet's by default, 1 for images that are not of three channels."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which network, which weights, which data."""

    model: str
    """edsr, espcn, lenet5, resnet18, resnet18_224, resnet20, small, unet or vgg16; a file (.onnx, .pt2); or
    package.module:function, which gives a torch.nn.Module."""
    data: str
    """digits, mnist, cifar10 or cifar100; camvid (segmentation); set5 or set14 (super-resolution, trained on T91); or
    a folder of images, with or without folders of classes, or an .npz file (docs/guide/own.md)."""
    own: OwnImages = field(default_factory=OwnImages)
    data_root: Path | None = None
    """Folder with the set's original files; without it sets of labelled images come from the Hugging Face hub."""
    weights: Path | None = None
    """Weights to start from: safetensors of an earlier run, or a torch checkpoint."""
    width: float = 1.0
    """Factor on the channels (edsr, resnet18, unet)."""
    scale: int | None = None
    """Factor of super-resolution, 2 by default."""
    train_images: int | None = None
    """Use a random part of the training images only."""


@dataclass(frozen=True, kw_only=True)
class Layers:
    """What the convolutions shall become."""

    algorithm: str | None = None
    """direct, F2, F4, F6, SFC6, ... (see: tilewise algorithms), exact, residue; without it layers stay as they are."""
    bits: int = 8
    """2 to 16, or 32 for float."""
    scales: Scales | None = None
    """One scale for each tap, or one per tensor. Tap by default, tensor with the paper quantizer."""
    transforms: Transforms = "static"
    """Whether the transform matrices are trained too: all entries, those that are not 0 or +-1, or the points."""
    quantizer: QuantizerName = "tap"
    """tap, or the paper's own."""
    hadamard_bits: int | None = None
    """Quantize the sums over channels to this width."""
    specs_file: Annotated[Path | None, tyro.conf.arg(name="specs")] = None
    """Instead of an algorithm: an architecture that `tilewise search` found, or what `tilewise doctor` wrote."""
    layers: str = "*"
    """Which layers, as a shell pattern over their names; all others become direct at the same width."""
    skips: Literal["float", "quantized"] = "float"
    """Whether skip connections read the integers that convolutions read: the engine then keeps tensors in 8 bits."""

    def specs(self) -> dict[str, Spec]:
        """Return the specs to convert with."""
        from tilewise.quant import Direct, Exact, Residue, Winograd
        from tilewise.winas.architecture import load_specs

        if self.specs_file is not None and self.algorithm is not None:
            raise ValueError(f"both --algorithm {self.algorithm} and --specs {self.specs_file}; give one of them")
        self._check_effect()
        if self.specs_file is not None:
            return load_specs(self.specs_file)
        if self.algorithm is None:
            return {}
        direct = Direct(bits=self.bits, quantizer=self.quantizer)
        if self.algorithm == "direct":
            return {self.layers: direct}
        if self.algorithm in (Exact.kind, Residue.kind):
            if (self.bits, self.quantizer) != (8, "tap"):
                raise ValueError(
                    f"bits is {self.bits}, quantizer {self.quantizer}; algorithm {self.algorithm} allows 8 and tap"
                )
            exact: Spec = Exact() if self.algorithm == Exact.kind else Residue()
            return {self.layers: exact} if self.layers == "*" else {self.layers: exact, "*": direct}
        scales = self.scales or ("tensor" if direct.rules.quantizes_all_stages else "tap")
        fast = Winograd(
            self.algorithm,
            bits=self.bits,
            scales=scales,
            transforms=self.transforms,
            quantizer=self.quantizer,
            hadamard_bits=self.hadamard_bits,
        )
        return {self.layers: fast} if self.layers == "*" else {self.layers: fast, "*": direct}

    def _check_effect(self) -> None:
        """Refuse options that nothing would come of; a sweep over algorithms may leave direct ones some."""
        if self.algorithm is None:
            for name in ("bits", "scales", "transforms", "quantizer", "hadamard_bits", "layers"):
                if (value := getattr(self, name)) != getattr(Layers, name):
                    raise ValueError(f"{name.replace('_', '-')} is {value}, which needs --algorithm")


class Unchecked:
    """Options of a config, before it is made: its checks wait until then, and give one line."""

    def __post_init__(self) -> None:
        """Check nothing."""


def config_of(kind: type[C], options: Any, **others: Any) -> C:
    """Make a config of the options that the command line gave, and of what does not stand there under its name.

    Raises
    ------
    ValueError
        If the config refuses a value.
    """
    given = {field.name: getattr(options, field.name) for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**given | others)


@dataclass(frozen=True, kw_only=True)
class Calibration(Unchecked, CalibrationConfig):
    """How to measure, and refine, what was converted. All but --calibration-images are for --refine."""

    calibration_images: int = 512
    """Training images to measure on, when an algorithm is given. No label is used."""
    refine: bool = False
    """Bring one layer after another nearer to the float network."""
    seed: int = field(default=0, init=False)

    def config(self, seed: int) -> CalibrationConfig | None:
        """Return what :func:`tilewise.calibrate` takes."""
        if self.calibration_images < 1:
            raise ValueError(f"calibration-images is {self.calibration_images}; it must be at least 1")
        if not self.refine:
            for option in fields(CalibrationConfig):
                if option.name != "seed" and (value := getattr(self, option.name)) != option.default:
                    raise ValueError(f"{option.name.replace('_', '-')} is {value}, which needs --refine")
        return config_of(CalibrationConfig, self, seed=seed) if self.refine else None

    def to_dict(self) -> dict[str, Any]:
        """Return the options, for results."""
        return {option.name: getattr(self, option.name) for option in fields(self) if option.init}


@dataclass(frozen=True, kw_only=True)
class Training(Unchecked, TrainConfig):
    """How to train."""

    out: Folder = field()
    """Run folder for checkpoints and log."""
    batch: int = 64
    """Images per step."""
    devices: int = 1
    """Processes that share every batch, and the CPU threads or one GPU each; the result stays that of one."""
    device: str = field(default="cpu", init=False)
    seed: int = field(default=0, init=False)
    progress: bool = field(default=True, init=False)

    def config(self, common: Common) -> TrainConfig:
        """Return what :func:`tilewise.fit` takes."""
        return config_of(TrainConfig, self, device=common.device, seed=common.seed)


def load_set(
    name: str, split: Split, root: Path | None, scale: int | None = None, own: OwnImages | None = None
) -> Images | Pairs | Scenes:
    """Load one split of a data set; what has no images for validation is validated on its test images."""
    from tilewise.data import is_own, load_known, load_own

    if is_own(name):
        own = own or OwnImages()
        return load_own(name, split, size=own.image_size, mean=own.mean, std=own.std)
    if own not in (None, OwnImages()):
        raise ValueError(f"image-size, mean and std are for a folder or an .npz file; {name} has its own")
    return load_known(name, split, root, scale)


def load_data(source: Source, split: Split) -> Images | Pairs | Scenes:
    """Load what a network is trained or scored on."""
    data = load_set(source.data, split, source.data_root, source.scale, source.own)
    if split == "train" and source.train_images is not None:
        return data.subset(source.train_images)
    return data


def load_images(source: Source, split: Literal["train", "test"]) -> Images:
    """Load one split of a set of labelled images.

    Raises
    ------
    ValueError
        If the set is for another task.
    """
    from tilewise.data import Images

    data = load_data(source, split)
    if not isinstance(data, Images):
        raise ValueError(f"{source.data} is no set of labelled images, which is what this command is for")  # noqa: TRY004
    return data


def plain_model(source: Source, data: Images | Pairs | Scenes) -> nn.Module:
    """Build the network for a data set, with its weights, if there are any."""
    from tilewise.data import Pairs
    from tilewise.train import load_weights

    fitting: dict[str, int] = {"scale": data.task.scale} if isinstance(data, Pairs) else {"classes": data.classes}
    model = named_model(source.model, channels=data.shape[0], width=source.width, **fitting)
    return model if source.weights is None else load_weights(model, source.weights)


def named_model(name: str, *, channels: int, width: float = 1.0, **fitting: int) -> nn.Module:
    """Build a network of the zoo, or bring in the user's own: a file, or what a function of a module gives.

    Raises
    ------
    ValueError
        If there is none of this name, or what the function gives is no network.
    """
    from tilewise.zoo import MODELS, build

    if name in MODELS:
        return build(name, channels=channels, width=width, **fitting)
    if width != 1.0:
        raise ValueError(f"width is {width}, but {name} has none; allowed: 1.0")
    if name.endswith((".onnx", ".pt2")):
        from tilewise.doors import from_onnx, from_pt2

        return from_onnx(name) if name.endswith(".onnx") else from_pt2(name)
    if ":" in name:
        return _called(name)
    allowed = f"{', '.join(MODELS)}, a file (.onnx, .pt2), package.module:function"
    raise ValueError(f"unknown model {name!r}; allowed: {allowed}")


def _called(name: str) -> nn.Module:
    """Return what ``package.module:function`` gives; modules of the current folder are found too."""
    from torch import nn

    place, _, function = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"model {name!r}: {error}") from error
    make = getattr(module, function, None)
    if make is None:
        raise ValueError(f"model {name!r}: {place} has no function {function!r}")
    model = make()
    if not isinstance(model, nn.Module):
        raise ValueError(f"model {name!r} gives {type(model).__name__}; allowed: a torch.nn.Module")  # noqa: TRY004
    return model


def converted_model(source: Source, layers: Layers, common: Common, calibration: Calibration) -> nn.Module:
    """Build the network, convert it as asked, and calibrate what is new."""
    import torch

    from tilewise.calibration import calibrate
    from tilewise.conversion import convert
    from tilewise.quant import FLOAT_BITS

    specs = layers.specs()
    train = load_data(source, "train")
    torch.manual_seed(common.seed)
    model = plain_model(source, train)
    if specs or layers.skips == "quantized":
        model = convert(model, specs, skips=layers.skips)
    if any(spec.bits != FLOAT_BITS for spec in specs.values()):
        config = calibration.config(common.seed)
        sample = train.subset(min(calibration.calibration_images, len(train)), seed=common.seed)
        calibrate(model, sample.scoring(device=common.device), config, device=common.device, progress=True)
    return model


def layers_summary(layers: Layers) -> dict[str, Any]:
    """Return what was asked for, for results."""
    if not (specs := layers.specs()):
        return {}
    if layers.specs_file is not None:
        return {"specs": {name: spec.to_dict() for name, spec in specs.items()}, "skips": layers.skips}
    return {k: v for k, v in next(iter(specs.values())).to_dict().items() if k not in ("kind", "version")} | {
        "algorithm": layers.algorithm, "skips": layers.skips,
    }  # fmt: skip


def print_layers(model: nn.Module) -> None:
    """Say what became direct although a fast algorithm was asked, and why."""
    from tilewise.nn import describe

    for layer in describe(model):
        if layer.reason:
            print(
                f"{layer.name} ({layer.shape}) is direct at {layer.bits} bits: {layer.reason}",
                file=sys.stderr,
            )
