"""Networks for 32x32 images beside the ResNets: SqueezeNet and ResNeXt-20 (8x16) of the 2020 paper, and Inception."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _layer(inputs: int, outputs: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Fire(nn.Module):
    """A few channels by a 1x1 convolution; a 1x1 and a 3x3 convolution of them, side by side."""

    def __init__(self, inputs: int, squeezed: int, each: int) -> None:
        super().__init__()
        self.squeeze = _layer(inputs, squeezed)
        self.expand1x1, self.expand3x3 = _layer(squeezed, each), _layer(squeezed, each, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 2 * each, H, W)."""
        x = self.squeeze(x)
        return torch.cat([self.expand1x1(x), self.expand3x3(x)], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 with a stem of stride 1, and batch norms: eight fire modules, three times max pooling."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _layer(channels, 64, 3), nn.MaxPool2d(2), Fire(64, 16, 64), Fire(128, 16, 64),
            nn.MaxPool2d(2), Fire(128, 32, 128), Fire(256, 32, 128),
            nn.MaxPool2d(2), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Conv2d(512, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, 32, 32)."""
        logits: Tensor = self.classifier(self.features(x)).mean((2, 3))
        return logits


class AggregatedBlock(nn.Module):
    """A bottleneck whose 3x3 convolution has groups; max pooling before it halves the map, as in ResNet-18."""

    def __init__(self, inputs: int, inner: int, outputs: int, groups: int, *, downsample: bool) -> None:
        super().__init__()
        self.downsample = downsample
        self.reduce, self.conv = _layer(inputs, inner), _layer(inner, inner, 3, groups)
        self.expand = nn.Sequential(nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H or H/2, W or W/2)."""
        if self.downsample:
            x = F.max_pool2d(x, 2)
        return F.relu(self.expand(self.conv(self.reduce(x))) + self.skip(x))


class ResNeXt20(nn.Module):
    """Three stages of two blocks with 8 groups, of 16, 32 and 64 channels each."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.stem = _layer(channels, 64, 3)
        blocks: list[nn.Module] = []
        inputs = 64
        for stage in range(3):
            inner, outputs = 128 << stage, 256 << stage
            for block in range(2):
                blocks.append(AggregatedBlock(inputs, inner, outputs, 8, downsample=stage > 0 and block == 0))
                inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, 32, 32)."""
        logits: Tensor = self.classifier(self.layers(self.stem(x)).mean((2, 3)))
        return logits


class InceptionBlock(nn.Module):
    """Side by side: 1x1; 1x1 and 3x3; 1x1 and 5x5; max pooling and 1x1."""

    def __init__(self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.one = _layer(inputs, one)
        self.three = nn.Sequential(_layer(inputs, three[0]), _layer(three[0], three[1], 3))
        self.five = nn.Sequential(_layer(inputs, five[0]), _layer(five[0], five[1], 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _layer(inputs, pooled))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, one + three[1] + five[1] + pooled, H, W) of (N, inputs, H, W)."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class Inception(nn.Module):
    """GoogLeNet's first four blocks behind a stem for small images, max pooling between."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _layer(channels, 192, 3), InceptionBlock(192, 64, (96, 128), (16, 32), 32),
            InceptionBlock(256, 128, (128, 192), (32, 96), 64),
            nn.MaxPool2d(2), InceptionBlock(480, 192, (96, 208), (16, 48), 64),
            nn.MaxPool2d(2), InceptionBlock(512, 160, (112, 224), (24, 64), 64),
        )  # fmt: skip
        self.classifier = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, 32, 32)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def squeezenet(*, classes: int = 10, channels: int = 3) -> SqueezeNet:
    """Build SqueezeNet for 32x32 images (Iandola et al. 2016), as Fernandez-Marques et al., MLSys 2020, take it."""
    return SqueezeNet(classes, channels)


def resnext20(*, classes: int = 10, channels: int = 3) -> ResNeXt20:
    """Build ResNeXt-20 (8x16) (Xie et al., CVPR 2017) with max pooling instead of stride 2, as in MLSys 2020."""
    return ResNeXt20(classes, channels)


def inception(*, classes: int = 10, channels: int = 3) -> Inception:
    """Build a network of Inception blocks with 5x5 convolutions (Szegedy et al., CVPR 2015) for 32x32 images."""
    return Inception(classes, channels)
