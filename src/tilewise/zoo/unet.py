"""A small U-Net for semantic segmentation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (16, 32, 64, 128, 128)
"""Channels at full size, half of it, and so on."""


class ConvNormReLU(nn.Sequential):
    """A 3x3 convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Up(nn.Module):
    """Enlarge a small map twofold to the size of a large one, put both together, convolve."""

    def __init__(self, small: int, large: int) -> None:
        super().__init__()
        self.conv = ConvNormReLU(small + large, large)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """(N, small, H/2 rounded up, W/2 rounded up), (N, large, H, W) -> (N, large, H, W)."""
        up = F.interpolate(small, scale_factor=2)[:, :, : large.shape[2], : large.shape[3]]
        y: Tensor = self.conv(torch.cat((up, large), 1))
        return y


class UNet(nn.Module):
    """Four times down by max pooling, four times up by nearest neighbours, skip connections by concatenation.

    Any height and width: pooling rounds odd sizes up, and what goes up is cropped to what it meets.
    """

    def __init__(self, classes: int, channels: int, width: float) -> None:
        super().__init__()
        sizes = [max(1, round(c * width)) for c in CHANNELS]
        inputs = [channels, *sizes[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(ConvNormReLU(c, k), ConvNormReLU(k, k)) for c, k in zip(inputs, sizes, strict=True)
        )
        self.up = nn.ModuleList(Up(sizes[i + 1], sizes[i]) for i in reversed(range(len(sizes) - 1)))
        self.classifier = nn.Conv2d(sizes[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, classes, H, W) of images (N, channels, H, W)."""
        maps = [self.down[0](x)]
        for down in list(self.down)[1:]:
            maps.append(down(F.max_pool2d(maps[-1], 2, ceil_mode=True)))
        y = maps.pop()
        for up in self.up:
            y = up(y, maps.pop())
        logits: Tensor = self.classifier(y)
        return logits


def unet(*, classes: int = 11, channels: int = 3, width: float = 1.0) -> UNet:
    """Build a small U-Net (Ronneberger et al., MICCAI 2015), with batch norm, padding, one convolution a step upwards.

    Parameters
    ----------
    classes, channels : int
        Outputs of each pixel, and channels of the input images.
    width : float
        Factor on all channel counts (16 at full size), positive.

    Raises
    ------
    ValueError
        If ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"width is {width}; it must be positive")
    return UNet(classes, channels, width)
