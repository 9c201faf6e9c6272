"""Networks that take noise out of an image: DnCNN of Zhang et al."""

from __future__ import annotations

from torch import Tensor, nn


class DnCNN(nn.Module):
    """Seventeen 3x3 convolutions that find the noise, which is taken from the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.ReLU()]
        for _ in range(15):
            layers += [nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same."""
        noise: Tensor = self.layers(x)
        return x - noise


def dncnn(*, channels: int = 1) -> DnCNN:
    """Build DnCNN of 17 layers (Zhang et al., IEEE Transactions on Image Processing 2017), for luma or RGB."""
    return DnCNN(channels)
