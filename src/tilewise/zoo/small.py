"""The small network of the demo."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class SmallCNN(nn.Module):
    """Six 3x3 convolutions with batch norm in three stages, for 32x32 images; trains in seconds on a CPU."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        widths = [channels, 16, 16, 32, 32, 64, 64]
        self.convs = nn.ModuleList(nn.Conv2d(c, k, 3, padding=1, bias=False) for c, k in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(k) for k in widths[1:])
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, H, W)."""
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(norm(conv(x)))
            if i in (1, 3):
                x = F.max_pool2d(x, 2)
        logits: Tensor = self.classifier(x.mean((2, 3)))
        return logits


def small_cnn(*, classes: int = 10, channels: int = 1) -> SmallCNN:
    """Build the demo's network."""
    return SmallCNN(classes, channels)
