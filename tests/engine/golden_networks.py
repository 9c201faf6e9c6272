"""The networks of tests/golden.json: together they hold every operation of the engine.

Their weights, statistics, ranges and images are integers divided by integers, so they are the same on every machine.
Nothing is calibrated: a forward pass in floats may round as the machine likes, so ranges follow a rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.engine.certificate import integers
from tilewise.nn import QuantizedConv, WinogradConv2d

LARGEST = 3.0
"""Every input range ends here; values of a network are of about this size."""


F4 = tw.Winograd("F4")


def numbers(seed: int, like: Tensor, limit: int, unit: int) -> Tensor:
    """Return multiples of 1 / unit, rounded to float32, in the shape of a tensor."""
    return torch.from_numpy((integers(seed, *like.shape, limit=limit) / unit).astype(np.float32))


def images(*shape: int) -> NDArray[np.float32]:
    """Return images with values from -2 to 2."""
    return (integers(0, *shape, limit=128) / 64).astype(np.float32)


@torch.no_grad()
def filled(model: nn.Module) -> nn.Module:
    """Fill a network, in place: weights that keep the size of the values, and statistics as training leaves them."""
    for seed, module in enumerate(model.modules(), 1):
        if isinstance(module, nn.Conv2d | nn.Linear):
            unit = 408 * math.isqrt(module.weight[0].numel()) + 1
            module.weight.copy_(numbers(2 * seed, module.weight, 1000, unit))
            if module.bias is not None:
                module.bias.copy_(numbers(2 * seed + 1, module.bias, 16, 64))
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.copy_(numbers(4 * seed, module.running_mean, 16, 64))
            module.running_var.copy_(1 + numbers(4 * seed + 1, module.running_var, 32, 64))
            if module.affine:
                module.weight.copy_(1 + numbers(4 * seed + 2, module.weight, 32, 64))
                module.weight[::5] *= -1
                module.bias.copy_(numbers(4 * seed + 3, module.bias, 16, 64))
    return model.eval()


@torch.no_grad()
def ranged(model: nn.Module) -> nn.Module:
    """Give all quantized layers their ranges, and learned transforms other numbers than they begin with, in place.

    Every third layer has an unsigned grid. V's range of a tap is a quarter of the largest value it can take.
    """
    layers = [m for m in model.modules() if isinstance(m, QuantizedConv) and m.spec.bits < 32]
    for seed, layer in enumerate(layers):
        signed = seed % 3 != 1 or layer.spec.bits > 15  # 16 bits without a sign are more than the engine takes
        layer.get_range("input_range").reset()
        layer.get_range("input_range").update(torch.tensor(LARGEST), None if signed else 0.0)
        if not isinstance(layer, WinogradConv2d):
            continue
        for name, parameter in layer.named_parameters(recurse=False):
            if name not in ("weight", "bias"):
                parameter.add_(numbers(seed, parameter, 8, 64))
        sums = [math.fsum(map(abs, row)) for row in layer.transforms()[2].tolist()]
        planar = len(sums) == len(layer.get_range("v_range").absmax)
        reach = sums if planar else [a * b for a in sums for b in sums]
        taps = np.array([[LARGEST * most / 4] * layer.in_channels for most in reach], np.float32)
        layer.get_range("v_range").reset()
        layer.get_range("v_range").update(torch.from_numpy(taps))
    return model


def converted(model: nn.Module, specs: Any, skips: Literal["float", "quantized"] = "quantized") -> nn.Module:
    """Return a filled network converted, with its ranges."""
    return ranged(tw.convert(filled(model), specs, skips=skips)).eval()


def conv(c: int, k: int, r: int = 3, **kwargs: Any) -> nn.Conv2d:
    """Return a convolution that keeps height and width."""
    return nn.Conv2d(c, k, **{"kernel_size": r, "padding": r // 2, **kwargs})


def chain(
    *specs: Any, channels: int = 8, r: int | tuple[int, ...] = 3, between: Callable[[], nn.Module] = nn.ReLU
) -> nn.Module:
    """Return a direct layer, and one layer of each spec, with kernels of size r."""
    sizes = (r,) * len(specs) if isinstance(r, int) else r
    layers: list[nn.Module] = [conv(3, channels)]
    for size in sizes:
        layers += [between(), conv(channels, channels, size)]
    return converted(nn.Sequential(*layers), {"0": tw.Direct()} | {str(2 * i): s for i, s in enumerate(specs, 1)})


class Net(nn.Module):
    """Layers by name and a forward function over them."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def lopsided() -> nn.Module:
    """Grids that begin below 0, but less far than they go above, as after a SiLU; the last of fewer bits."""
    fast = [tw.Winograd(name) for name in ("F2", "F4", "SFC6", "SFC6-planar")]
    specs = (
        *fast,
        tw.Winograd("F4", transforms="learned"),
        tw.Exact("F4"),
        tw.Residue(),
        tw.Direct(),
        tw.Direct(bits=5),
    )
    model = chain(*specs, channels=16, between=nn.SiLU)
    layers = [m for m in model.modules() if isinstance(m, QuantizedConv)]
    for part, layer in enumerate(layers[1:], 2):
        layer.get_range("input_range").reset()
        layer.get_range("input_range").update(torch.tensor(LARGEST), -LARGEST / part)
    return model


def wide_sums() -> nn.Module:
    """16 bits: one channel of each filter is large in every tap, or int32 could not be proved to hold the sums."""
    fast = [tw.Winograd(name, bits=16) for name in ("F2", "F4", "F6", "SFC6")]
    model = chain(*fast, tw.Direct(bits=16), channels=4, r=(3, 3, 3, 3, 1))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, QuantizedConv) and layer.spec.bits == 16:
                falling = torch.tensor([4.0**-i for i in range(layer.kernel_size[0])])
                large = torch.eye(4)[:, :, None, None]
                layer.weight.copy_((layer.weight / 512 + large) * falling[:, None] * falling)
    return model


def strided() -> nn.Module:
    """Stride 2 by decomposed algorithms. ``convert`` leaves so few channels direct, so they are made directly."""
    layers: list[nn.Module] = [conv(3, 8)]
    for spec, r in [
        (tw.Winograd("F2"), 3),
        (tw.Winograd("F4", bits=12), 3),
        (tw.Winograd("SFC6"), 3),
        (tw.Winograd("F4", transforms="learned"), 5),
        (tw.Winograd("F2"), 7),
    ]:
        plain = conv(8, 8, r, stride=2)
        filled(nn.Sequential(plain, nn.Identity(), plain))
        layers += [nn.ReLU(), WinogradConv2d.from_conv(plain, spec)]
    filled(nn.Sequential(layers[0]))
    return ranged(tw.convert(nn.Sequential(*layers), {"0": tw.Direct()})).eval()


def balanced() -> nn.Module:
    """Few bits, one scale for a tensor, ranges of V and U balanced by channel."""
    model = chain(
        tw.Winograd("F4"), tw.Winograd("F4", bits=4), tw.Winograd("F2", bits=6, scales="tensor"), tw.Direct(bits=3),
        tw.Winograd("F4-textbook", bits=7),
    )  # fmt: skip
    for layer in model.modules():
        if isinstance(layer, WinogradConv2d) and layer.spec.bits in (8, 4):
            taps, channels = layer.balance.shape
            layer.balance.copy_(1 + (torch.arange(taps)[:, None] + torch.arange(channels)) % 3)
    return model


def pools(n: Any, x: Tensor) -> Tensor:
    x = F.relu(n.stem(x))
    a = F.avg_pool2d(x, 3, stride=2, padding=1)
    b = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False, ceil_mode=True)
    c = F.avg_pool2d(F.max_pool2d(x, 2, ceil_mode=True), (1, 1), divisor_override=3)
    y = n.first(a) + b[:, :, : a.shape[2], : a.shape[3]] + c[:, :, : a.shape[2], : a.shape[3]]
    y = F.relu(F.max_pool2d(y, (2, 1), stride=(1, 2)))
    z = F.adaptive_max_pool2d(n.second(y), (3, 2)).mean((2, 3), keepdim=True)
    return n.head(torch.flatten(F.adaptive_avg_pool2d(y, (2, 3)) + F.interpolate(z, size=(2, 3)), 1))


def pooling(skips: Literal["float", "quantized"]) -> nn.Module:
    net = Net(pools, stem=conv(3, 8), first=conv(8, 8), second=conv(8, 8), head=nn.Linear(48, 4))
    return converted(net, {"*": F4}, skips)


def moved(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    y = F.pad(x[:, :, 1::2, ::3], (1, 2, 0, 3, 2, 1)).clamp(-0.25, 0.5)
    y = n.first(y)
    y = F.pad(F.relu(y)[:, :, 1:-1], (0, 0, 1, 1))
    return n.last(torch.cat([y, F.relu6(n.second(y))], 1))


def resized(n: Any, x: Tensor) -> Tensor:
    x = F.relu(n.stem(x))
    a = F.interpolate(n.first(x), scale_factor=2)
    b = F.interpolate(n.second(x), scale_factor=2, mode="bilinear", align_corners=True)
    c = F.pixel_shuffle(n.third(x), 2)
    y = n.last(torch.cat([a, b, c], 1))
    height, width = x.shape[2:]
    y = F.interpolate(F.relu(y), size=(3 * height, 2 * width + 1), mode="bilinear")
    return y + F.interpolate(y, scale_factor=1.0, mode="bilinear")


def kinds(n: Any, x: Tensor) -> Tensor:
    """Direct layers of all shapes, one of them in two places; a norm, a sum and an activation that stand alone."""
    x = n.norm(F.relu(n.stem(x)))
    x = F.relu(n.wide(x) + n.strip(x))
    y = torch.relu(n.strided(x))
    y = n.shared(F.hardtanh(n.shared(y), -0.5, 2.0)) + y
    y = n.valid(n.five(n.seven(y + y)))
    return n.head(F.adaptive_avg_pool2d(y, (2, 3)).flatten(1))


def floats(n: Any, x: Tensor) -> Tensor:
    """Every operation on floats."""
    x = F.relu(n.norm(n.stem(x)))
    y = n.f6(F.relu(n.f4(F.relu(n.f2(x))))) + x
    y = F.relu(n.sfc(n.own(y)))
    z = F.max_pool2d(F.relu(n.down(y)), 3, 1, 1)
    z = n.up(torch.cat([y, F.interpolate(z, scale_factor=2)[:, :, : y.shape[2], : y.shape[3]]], 1))
    z = F.interpolate(F.pixel_shuffle(z, 2), size=(12, 11), mode="bilinear")
    return n.head(F.avg_pool2d(z, 2, 1, padding=1)[:, :, 1:, 1:].flatten(1))


def float_network() -> nn.Module:
    net = Net(
        floats, stem=conv(3, 8), norm=nn.BatchNorm2d(8), f2=conv(8, 8), f4=conv(8, 8, 5), f6=conv(8, 8), sfc=conv(8, 8),
        own=nn.BatchNorm2d(8), down=conv(8, 16, stride=2), up=conv(24, 8), head=nn.Linear(2 * 12 * 11, 5),
    )  # fmt: skip
    names = {"f2": "F2", "f4": "F4", "f6": "F6", "sfc": "SFC6"}
    return tw.convert(filled(net), {layer: tw.Winograd(name, bits=32) for layer, name in names.items()})


@dataclass(frozen=True)
class Golden:
    """A network of the table.

    Parameters
    ----------
    build : callable
        Makes it.
    shape : (int, int, int, int)
        Of the images. The engine is compiled for two of them at a time.
    precision : {"float32", "bf16"}
        What it is compiled for.
    same : bool
        Whether its bits are the same on every kernel set. Fast float layers, and bfloat16, are free to round.
    """

    build: Callable[[], nn.Module]
    shape: tuple[int, int, int, int]
    precision: Literal["float32", "bf16"] = "float32"
    same: bool = True


MIXED = {"layers.[01].*": tw.Winograd("F2"), "layers.[23].*": tw.Winograd("SFC6"), "layers.[45].*": tw.Winograd("F6")}
TEN = {"conv1": tw.Direct(bits=12), "conv2": tw.Winograd("F4", bits=10), "conv3": tw.Winograd("F2", bits=10)}
ENLARGING = {"blocks.[0-3].*": tw.Winograd("F6", bits=10), "blocks.*": tw.Winograd("SFC6", bits=10)}
CERTIFIED = (
    "lenet5, SFC12",
    "espcn, 10 and 12 bits",
    "lopsided",
    "16 bits",
    "large kernels",
    "learned",
    "learned, V in floats",
    "lossless",
    "residues",
    "few bits, balanced",
    "pools of integers",
    "moved",
    "resized",
)
"""Those with a certificate, tests/certificates/: of more sizes and numbers of images."""
NETWORKS = {
    "resnet20, F4": Golden(lambda: converted(zoo.resnet20(), {"*": F4}), (3, 3, 19, 13)),
    "resnet18, F2, SFC6, F6": Golden(
        lambda: converted(zoo.resnet18(width=1 / 16), {**MIXED, "*": tw.Direct()}, "float"), (2, 3, 17, 21)
    ),
    "lenet5, SFC12": Golden(lambda: converted(zoo.lenet5(), {"*": tw.Winograd("SFC12")}), (2, 1, 28, 31)),
    "unet, F4": Golden(lambda: converted(zoo.unet(width=0.25), {"*": F4}), (1, 3, 19, 22)),
    "espcn, 10 and 12 bits": Golden(lambda: converted(zoo.espcn(), TEN, "float"), (2, 1, 9, 11)),
    "edsr, 8 to 10 bits": Golden(
        lambda: converted(zoo.edsr(width=0.25), {"head": tw.Direct(bits=9), **ENLARGING, "*": F4}), (1, 1, 11, 14)
    ),
    "lopsided": Golden(lopsided, (2, 3, 15, 12)),
    "16 bits": Golden(wide_sums, (2, 3, 10, 11)),
    "large kernels": Golden(
        lambda: chain(tw.Winograd("F2"), F4, tw.Winograd("SFC6"), tw.Winograd("F4"), tw.Direct(), r=(5, 5, 7, 7, 7)),
        (3, 3, 13, 12),
    ),
    "learned": Golden(
        lambda: chain(
            tw.Winograd("F4", transforms="convolution"), tw.Winograd("F4", transforms="learned"),
            tw.Winograd("F6", transforms="sparse"), tw.Winograd("SFC6", transforms="sparse", bits=11),
            tw.Winograd("F6", transforms="convolution", bits=11), tw.Winograd("F2", transforms="learned", bits=5),
        ),
        (3, 3, 9, 14),
    ),
    "learned, V in floats": Golden(lambda: chain(tw.Winograd("F6", transforms="learned"), F4, r=5), (2, 3, 8, 13)),
    "lossless": Golden(
        lambda: chain(
            tw.Exact("F4"), tw.Exact("SFC6(5)"), tw.Exact("SFC6"), tw.Exact("F4"), tw.Exact(), channels=32,
            r=(3, 5, 7, 3, 3),
        ),
        (1, 3, 11, 9),
    ),
    "residues": Golden(
        lambda: chain(
            tw.Residue(tile=4), tw.Residue(tile=6, residue_bits=13), tw.Residue(), tw.Residue(tile=10, residue_bits=13),
            r=(3, 5, 3, 7),
        ),
        (2, 3, 12, 13),
    ),
    "strided": Golden(strided, (3, 3, 67, 45)),
    "few bits, balanced": Golden(balanced, (3, 3, 9, 10)),
    "pools": Golden(lambda: pooling("float"), (3, 3, 17, 12)),
    "pools of integers": Golden(lambda: pooling("quantized"), (3, 3, 17, 12)),
    "moved": Golden(
        lambda: converted(
            Net(moved, stem=conv(3, 8), first=conv(11, 8), second=conv(8, 8), last=conv(16, 5)), {"*": F4}
        ),
        (3, 3, 16, 13),
    ),
    "resized": Golden(
        lambda: converted(
            Net(resized, stem=conv(3, 8), first=conv(8, 6), second=conv(8, 5), third=conv(8, 12), last=conv(14, 4)),
            {"stem": tw.Direct(), "first": tw.Winograd("SFC6"), "*": tw.Direct(bits=10)},
        ),
        (2, 3, 7, 9),
    ),
    "kinds": Golden(
        lambda: converted(
            Net(
                kinds, stem=conv(3, 8), norm=nn.BatchNorm2d(8, affine=False), wide=conv(8, 8, dilation=2, padding=2),
                strip=conv(8, 8, kernel_size=(1, 3), padding=(0, 1)), strided=conv(8, 8, stride=(2, 1)),
                shared=conv(8, 8), seven=conv(8, 6, 7), five=conv(6, 6, 5, padding="same"),
                valid=conv(6, 5, padding="valid"), head=nn.Linear(30, 7),
            ),
            {"[sw]*": tw.Direct(), "five": tw.Direct(bits=11)},  # seven is float
            "float",
        ),
        (3, 3, 16, 12),
    ),
    "floats": Golden(float_network, (3, 3, 13, 11), same=False),
    "floats, bf16": Golden(float_network, (3, 3, 13, 11), precision="bf16", same=False),
}  # fmt: skip
