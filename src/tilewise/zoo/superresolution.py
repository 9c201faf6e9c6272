"""Networks that enlarge an image: ESPCN of Shi et al., a small EDSR, the compact one of Real-ESRGAN."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

SCALES = (2, 3, 4)


class ESPCN(nn.Module):
    """Three convolutions at low resolution, then pixel shuffle: 5x5 to 64 channels, 3x3 to 32, 3x3 to scale^2."""

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 5, padding=2)
        self.conv2 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, channels * scale * scale, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, scale * H, scale * W)."""
        y: Tensor = self.shuffle(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))
        return y


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions without batch norm, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        return y + x


class EDSR(nn.Module):
    """Eight residual blocks at low resolution, then pixel shuffle; what it learns is added to the enlarged image."""

    def __init__(self, scale: int, channels: int, width: float) -> None:
        super().__init__()
        self.scale = scale
        features = max(1, round(32 * width))
        self.head = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(8)))
        self.body = nn.Conv2d(features, features, 3, padding=1)
        self.tail = nn.Conv2d(features, channels * scale * scale, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, scale * H, scale * W)."""
        y = self.head(x)
        y = self.body(self.blocks(y)) + y
        details: Tensor = self.shuffle(self.tail(y))
        return details + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


class Compact(nn.Module):
    """A plain chain at low resolution with a PReLU for each channel; its details are added to the repeated pixels."""

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.PReLU(64)]
        for _ in range(16):
            layers += [nn.Conv2d(64, 64, 3, padding=1), nn.PReLU(64)]
        self.body = nn.Sequential(*layers, nn.Conv2d(64, channels * scale * scale, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels, scale * H, scale * W)."""
        details = F.pixel_shuffle(self.body(x), self.scale)
        return details + F.interpolate(x, scale_factor=self.scale, mode="nearest")


def compact(*, scale: int = 4, channels: int = 3) -> Compact:
    """Build the compact network of Real-ESRGAN (Wang et al. 2021), of 18 convolutions, for RGB from 0 to 1.

    Its weights ``realesr-animevideov3`` load by name.

    Parameters
    ----------
    scale : {2, 3, 4}
        Factor of both sides.
    channels : int
        Of the images.

    Raises
    ------
    ValueError
        If the factor is another one.
    """
    return Compact(_checked(scale), channels)


def espcn(*, scale: int = 3, channels: int = 1) -> ESPCN:
    """Build ESPCN (Shi et al., CVPR 2016, section 3.1) with ReLU, which keeps 8-bit activations free of a sign.

    Parameters
    ----------
    scale : {2, 3, 4}
        Factor of both sides.
    channels : int
        Of the images: 1 for luma.

    Raises
    ------
    ValueError
        If the factor is another one.
    """
    return ESPCN(_checked(scale), channels)


def edsr(*, scale: int = 2, channels: int = 1, width: float = 1.0) -> EDSR:
    """Build a small EDSR (Lim et al., CVPR workshops 2017): 8 blocks of 32 channels.

    The paper's smallest has 16 blocks of 64 channels, a convolution after the pixel shuffle, and learns the image
    itself; learning what bilinear enlarging lacks takes a fraction of the steps.

    Parameters
    ----------
    scale : {2, 3, 4}
        Factor of both sides.
    channels : int
        Of the images: 1 for luma.
    width : float
        Factor on the channels, positive.

    Raises
    ------
    ValueError
        If the factor is another one, or ``width`` is not positive.
    """
    if not width > 0:
        raise ValueError(f"width is {width}; it must be positive")
    return EDSR(_checked(scale), channels, width)


def _checked(scale: int) -> int:
    if scale not in SCALES:
        raise ValueError(f"scale is {scale}; allowed: {', '.join(map(str, SCALES))}")
    return scale
