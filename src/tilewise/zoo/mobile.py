"""MobileNetV2 for images of 224x224.

Layers have the names that torchvision gives them, so that its state dicts load.
"""

from __future__ import annotations

from torch import Tensor, nn

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Of each stage: factor of the inner channels, outputs, blocks, stride of the first block."""


def _layer(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Expand, a depthwise 3x3 convolution, project; added to what it read where the sizes are the same."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        inner = inputs * factor
        self.adds = stride == 1 and inputs == outputs
        expand = [_layer(inputs, inner)] if factor > 1 else []
        project = (nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.conv = nn.Sequential(*expand, _layer(inner, inner, 3, stride, groups=inner), *project)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


class MobileNetV2(nn.Module):
    """A strided stem, seventeen inverted residuals, a 1x1 convolution, the mean, a linear layer."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [_layer(channels, 32, 3, 2)]
        inputs = 32
        for factor, outputs, blocks, first_stride in STAGES:
            for block in range(blocks):
                layers.append(InvertedResidual(inputs, outputs, 1 if block else first_stride, factor))
                inputs = outputs
        self.features = nn.Sequential(*layers, _layer(inputs, 1280))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, H, W)."""
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def mobilenet_v2(*, classes: int = 1000, channels: int = 3) -> MobileNetV2:
    """Build MobileNetV2 for 224x224 images (Sandler et al., CVPR 2018)."""
    return MobileNetV2(classes, channels)
