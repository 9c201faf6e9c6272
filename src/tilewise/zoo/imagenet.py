"""Networks for images of 224x224: ResNet-18 and ResNet-50 of He et al., VGG-16 of Simonyan and Zisserman.

Layers have the names that torchvision gives them, so that its state dicts load.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class StridedBlock(nn.Module):
    """Basic block whose first convolution may have stride 2; the skip connection then has a strided 1x1 one."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1 to fewer channels, 3x3 that may have stride 2, 1x1 to four times as many."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * inner
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, 4 * inner, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(y)))))
        return F.relu(y + self.downsample(x))


class ImageResNet(nn.Module):
    """A 7x7 stem of stride 2, max pooling, four stages of so many blocks."""

    def __init__(
        self, block: type[StridedBlock | Bottleneck], growth: int, counts: tuple[int, ...], classes: int, channels: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inputs, stages = 64, []
        for stage, count in enumerate(counts):
            inner, first = 64 << stage, 2 if stage else 1
            outputs = growth * inner
            blocks = [block(inputs if i == 0 else outputs, inner, first if i == 0 else 1) for i in range(count)]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, H, W)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions with bias in five stages, three linear layers; no batch norm."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(count):
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
                channels = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, H, W)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return logits


def resnet18_224(*, classes: int = 1000, channels: int = 3) -> ImageResNet:
    """Build ResNet-18 for 224x224 images (He et al. 2016); convolutions of stride 2 stay direct when converted."""
    return ImageResNet(StridedBlock, 1, (2, 2, 2, 2), classes, channels)


def resnet50(*, classes: int = 1000, channels: int = 3) -> ImageResNet:
    """Build ResNet-50 for 224x224 images (He et al. 2016), the 3x3 convolutions strided as torchvision has it."""
    return ImageResNet(Bottleneck, 4, (3, 4, 6, 3), classes, channels)


def vgg16(*, classes: int = 1000, channels: int = 3) -> VGG16:
    """Build VGG-16 for 224x224 images (Simonyan and Zisserman 2015, configuration D)."""
    return VGG16(classes, channels)
