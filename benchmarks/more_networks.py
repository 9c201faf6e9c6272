"""Networks beside those of the zoo, as their papers have them, for whole-network times: weights are random."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DenseBlock(nn.Module):
    """Five convolutions, each of all that came before it: the residual dense block of ESRGAN (Wang et al., 2018)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        sizes = [growth] * 4 + [channels]
        self.convs = nn.ModuleList(nn.Conv2d(channels + i * growth, size, 3, padding=1) for i, size in enumerate(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        maps = [x]
        for conv in list(self.convs)[:-1]:
            maps.append(F.leaky_relu(conv(torch.cat(maps, 1)), 0.2))
        y: Tensor = self.convs[-1](torch.cat(maps, 1)) * 0.2 + x
        return y


class RRDB(nn.Module):
    """Blocks of three dense blocks each, of 64 and 32 channels, then twice nearest upsampling: x4 for RGB."""

    def __init__(self, blocks: int = 6) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 64, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Sequential(*(DenseBlock(64, 32) for _ in range(3))) for _ in range(blocks))
        self.body = nn.Conv2d(64, 64, 3, padding=1)
        self.up = nn.ModuleList(nn.Conv2d(64, 64, 3, padding=1) for _ in range(3))
        self.tail = nn.Conv2d(64, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, 4 H, 4 W)."""
        first = y = self.head(x)
        for block in self.blocks:
            y = block(y) * 0.2 + y
        y = self.body(y) + first
        for conv in list(self.up)[:2]:
            y = F.leaky_relu(conv(F.interpolate(y, scale_factor=2)), 0.2)
        out: Tensor = self.tail(F.leaky_relu(self.up[2](y), 0.2))
        return out


def repvgg_a0() -> nn.Sequential:
    """Return RepVGG-A0 as it is deployed, a chain of 3x3 convolutions (Ding et al., CVPR 2021)."""
    stages, inputs = ((1, 48), (2, 48), (4, 96), (14, 192), (1, 1280)), 3
    layers: list[nn.Module] = []
    for count, channels in stages:
        for place in range(count):
            layers += [nn.Conv2d(inputs, channels, 3, stride=1 if place else 2, padding=1), nn.ReLU()]
            inputs = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000))


class Unit(nn.Sequential):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.SiLU()
        )


class C2f(nn.Module):
    """Half of the channels through bottlenecks, all that they gave together: the block of YOLOv8."""

    def __init__(self, inputs: int, outputs: int, count: int, *, adds: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.adds = adds
        self.first, self.last = Unit(inputs, outputs), Unit((2 + count) * half, outputs)
        self.blocks = nn.ModuleList(nn.Sequential(Unit(half, half, 3), Unit(half, half, 3)) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W)."""
        maps = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            maps.append(maps[-1] + block(maps[-1]) if self.adds else block(maps[-1]))
        y: Tensor = self.last(torch.cat(maps, 1))
        return y


class Detector(nn.Module):
    """A detector of the size and kind of YOLOv8n: C2f blocks, three heads that give boxes and scores of 80 classes."""

    def __init__(self) -> None:
        super().__init__()
        sizes, counts = (16, 32, 64, 128, 256), (1, 2, 2, 1)
        self.stem = Unit(3, sizes[0], 3, 2)
        self.down = nn.ModuleList(
            nn.Sequential(Unit(a, b, 3, 2), C2f(b, b, count, adds=True))
            for a, b, count in zip(sizes[:-1], sizes[1:], counts, strict=True)
        )
        self.pooled, self.joined = Unit(256, 128), Unit(512, 256)
        self.up = nn.ModuleList([C2f(384, 128, 1, adds=False), C2f(192, 64, 1, adds=False)])
        self.shrink = nn.ModuleList([Unit(64, 64, 3, 2), Unit(128, 128, 3, 2)])
        self.back = nn.ModuleList([C2f(192, 128, 1, adds=False), C2f(384, 256, 1, adds=False)])
        self.heads = nn.ModuleList(
            nn.Sequential(Unit(size, width, 3), Unit(width, width, 3), nn.Conv2d(width, width, 1))
            for size in (64, 128, 256)
            for width in (64, 80)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> for each of three sizes boxes (N, 64, h, w) and scores (N, 80, h, w)."""
        x = self.stem(x)
        maps = []
        for block in self.down:
            x = block(x)
            maps.append(x)
        pools = [self.pooled(x)]
        for _ in range(3):
            pools.append(F.max_pool2d(pools[-1], 5, 1, 2))
        deep = self.joined(torch.cat(pools, 1))
        middle = self.up[0](torch.cat((F.interpolate(deep, scale_factor=2), maps[2]), 1))
        fine = self.up[1](torch.cat((F.interpolate(middle, scale_factor=2), maps[1]), 1))
        middle = self.back[0](torch.cat((self.shrink[0](fine), middle), 1))
        deep = self.back[1](torch.cat((self.shrink[1](middle), deep), 1))
        return [head(y) for y, head in zip((fine, fine, middle, middle, deep, deep), self.heads, strict=True)]


class Dilated(nn.Module):
    """A segmenter whose deep layers lie on pixels 2 and 4 apart, and DeepLab's pyramid (Chen et al., 2017), of 64."""

    def __init__(self, classes: int = 19) -> None:
        super().__init__()
        kinds = ((3, 32, 2, 1), (32, 64, 2, 1), (64, 64, 1, 1), (64, 64, 2, 1), (64, 128, 1, 2), (128, 128, 1, 2),
                 (128, 128, 1, 4), (128, 128, 1, 4))  # fmt: skip
        self.features = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride, d, d), nn.BatchNorm2d(b), nn.ReLU())
                for a, b, stride, d in kinds
            )
        )
        self.pyramid = nn.ModuleList(
            [nn.Conv2d(128, 64, 1), *(nn.Conv2d(128, 64, 3, padding=d, dilation=d) for d in (6, 12, 18))]
        )
        self.join, self.classifier = nn.Conv2d(256, 64, 3, padding=1), nn.Conv2d(64, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, classes, H, W)."""
        y = self.features(x)
        y = F.relu(self.join(torch.cat([F.relu(conv(y)) for conv in self.pyramid], 1)))
        logits: Tensor = F.interpolate(self.classifier(y), scale_factor=8, mode="bilinear", align_corners=False)
        return logits


def efficientnet_b0() -> nn.Module:
    """Return timm's, which has to be installed, as architectures.py says."""
    from architectures import Hollow

    if find_spec("torchvision") is None:
        sys.meta_path.append(Hollow())
    import timm  # type: ignore[import-not-found, unused-ignore]

    model: nn.Module = timm.create_model("efficientnet_b0")
    return model
