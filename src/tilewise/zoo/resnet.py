"""CIFAR ResNets: ResNet-18 as in the 2020 paper, ResNet-20 as in He et al."""

from __future__ import annotations

from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.train.checkpoint import load_weights


class PaperBlock(nn.Module):
    """Basic block whose downsampling is a max pooling before two stride-1 convolutions.

    A strided 3x3 convolution has no fast algorithm of one piece, so the 2020 paper replaces it this way; the
    skip connection sees the pooled input too.
    """

    def __init__(self, inputs: int, outputs: int, *, downsample: bool) -> None:
        super().__init__()
        self.downsample = downsample
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs:
            self.skip = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H or H/2, W or W/2)."""
        if self.downsample:
            x = F.max_pool2d(x, 2)
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


class ResNet18(nn.Module):
    """The paper's CIFAR variant: a 32-channel stem, four stages of two blocks, max pooling instead of stride 2."""

    def __init__(self, width: float, classes: int, channels: int) -> None:
        super().__init__()
        stages = [max(1, round(c * width)) for c in (64, 128, 256, 512)]
        self.stem = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)
        blocks, inputs = [], 32
        for index, outputs in enumerate(stages):
            blocks += [
                PaperBlock(inputs, outputs, downsample=index > 0),
                PaperBlock(outputs, outputs, downsample=False),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, 32, 32)."""
        x = self.layers(F.relu(self.bn(self.stem(x))))
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def resnet18(*, width: float = 1.0, classes: int = 10, channels: int = 3) -> ResNet18:
    """Build the ResNet-18 of Fernandez-Marques et al., MLSys 2020, section 5.1.

    Parameters
    ----------
    width : float
        Factor on the channels of the four stages (the stem keeps its 32), positive.
    classes, channels : int
        Outputs, and channels of the input images.

    Raises
    ------
    ValueError
        If ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"width is {width}; it must be positive")
    return ResNet18(width, classes, channels)


class BasicBlock(nn.Module):
    """Basic block with a parameter-free shortcut (option A): every second pixel, new channels zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.grow = outputs - inputs
        stride = 2 if self.grow else 1
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H or H/2, W or W/2)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.grow:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.grow // 2, self.grow // 2))
        return F.relu(y + x)


class ResNet20(nn.Module):
    """CIFAR ResNet-20: 0.27 M parameters, stages of 16, 32 and 64 channels."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(BasicBlock(16, 16), BasicBlock(16, 16), BasicBlock(16, 16))
        self.layer2 = nn.Sequential(BasicBlock(16, 32), BasicBlock(32, 32), BasicBlock(32, 32))
        self.layer3 = nn.Sequential(BasicBlock(32, 64), BasicBlock(64, 64), BasicBlock(64, 64))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, 32, 32)."""
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


def resnet20(weights: str | Path | None = None, *, classes: int = 10, channels: int = 3) -> ResNet20:
    """Build the CIFAR ResNet-20 of He et al. 2016 (option A shortcuts).

    Parameters
    ----------
    weights : path, optional
        A file for :func:`tilewise.load_weights` with a plain network, such as
        ``pretrained/resnet20-12fca82f.th`` (91.73 % on CIFAR-10).
    classes, channels : int
        Outputs, and channels of the input images.
    """
    model = ResNet20(classes, channels)
    if weights is None:
        return model
    loaded = load_weights(model, weights)
    assert isinstance(loaded, ResNet20)
    return loaded
