"""The codec's networks: analysis, synthesis, and the hyperprior, which predicts each symbol's distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 48
SYMBOLS = 96
"""Channels of what is sent of each 8x8 pixels."""
SIDE = 16
"""Channels of the side information, of each 32x32 pixels: the hyperprior's symbols."""
BLOCK = 8
LIGHT = 16.0
"""Pixels are counted in it, so that rounding a symbol costs what JPEG's rounding costs."""
SMALLEST = 2.0**-4
"""Deviation of a symbol at a level of 0; every level more doubles it."""


def down(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a layer that halves height and width."""
    return nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)


def up(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return a layer that doubles height and width."""
    return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)


def cosines() -> Tensor:
    """Return the blocks that symbols stand for before training, (SYMBOLS, 3, 8, 8): of JPEG's, the smoothest."""
    place = torch.arange(BLOCK)
    rows = torch.cos(torch.pi * (place + 0.5) * place[:, None] / BLOCK) * (2 / BLOCK) ** 0.5
    rows[0] /= 2**0.5
    blocks = torch.einsum("ai,bj->abij", rows, rows).flatten(0, 1)
    smooth = (place + place[:, None]).flatten().argsort(stable=True)
    colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])  # light, and two differences
    colours = colours / colours.norm(dim=1, keepdim=True)
    counts = (64, 16, 16)
    chosen = [c[None, :, None, None] * blocks[smooth[:n], None] for c, n in zip(colours, counts, strict=True)]
    return torch.cat(chosen)


class Analysis(nn.Module):
    """Pixels -> what symbols are rounded from: ``y`` of each 8x8 pixels, ``z`` of each 32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Conv2d(3, SYMBOLS, BLOCK, stride=BLOCK)
        self.blocks.weight.data = cosines()
        self.blocks.bias.data = -cosines().sum((1, 2, 3)) * 128 / LIGHT  # type: ignore[union-attr]
        last = down(HIDDEN, SYMBOLS)
        nn.init.zeros_(last.weight)
        self.image = nn.Sequential(down(3, HIDDEN), nn.ReLU(), down(HIDDEN, HIDDEN), nn.ReLU(), last)
        self.side = nn.Sequential(
            nn.Conv2d(SYMBOLS, HIDDEN, 3, padding=1), nn.ReLU(), down(HIDDEN, HIDDEN), nn.ReLU(), down(HIDDEN, SIDE)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) -> (N, SYMBOLS, H / 8, W / 8) and (N, SIDE, H / 32, W / 32)."""
        y = self.blocks(x) + self.image(x)
        return {"y": y, "z": self.side(y.abs())}


class Levels(nn.Sequential):
    """Side information -> the level of each symbol: its deviation is ``SMALLEST * 2 ** level``."""

    def __init__(self) -> None:
        last = nn.Conv2d(HIDDEN, SYMBOLS, 3, padding=1)
        nn.init.constant_(last.bias, 6.0)  # type: ignore[arg-type]
        super().__init__(up(SIDE, HIDDEN), nn.ReLU(), up(HIDDEN, HIDDEN), nn.ReLU(), last, nn.ReLU())


class Synthesis(nn.Module):
    """Symbols -> pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ConvTranspose2d(SYMBOLS, 3, BLOCK, stride=BLOCK)
        self.blocks.weight.data = cosines()
        nn.init.constant_(self.blocks.bias, 128 / LIGHT)  # type: ignore[arg-type]
        last = up(HIDDEN, 3)
        nn.init.zeros_(last.weight)
        self.image = nn.Sequential(up(SYMBOLS, HIDDEN), nn.ReLU(), up(HIDDEN, HIDDEN), nn.ReLU(), last)

    def forward(self, y: Tensor) -> Tensor:
        """(N, SYMBOLS, H / 8, W / 8) -> (N, 3, H, W)."""
        pixels: Tensor = self.blocks(y) + self.image(y)
        return pixels


class Transforms(nn.Module):
    """The three of them, trained together, and the level of the side information's channels."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = Analysis()
        self.levels = Levels()
        self.synthesis = Synthesis()
        self.side_levels = nn.Parameter(torch.full((1, SIDE, 1, 1), 4.0))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return bits per pixel and mean square error; noise takes the place of rounding, which has no gradient."""
        found = self.analysis(pixels / LIGHT)
        y, z = (found[name] + torch.rand_like(found[name]) - 0.5 for name in ("y", "z"))
        bits = bits_of(y, self.levels(z)) + bits_of(z, self.side_levels)
        return bits * len(pixels) / pixels[:, :1].numel(), (self.synthesis(y) * LIGHT - pixels).square().mean()


def bits_of(symbols: Tensor, levels: Tensor) -> Tensor:
    """Return the bits of an image, on average, that symbols take whose distributions are normal around 0."""
    spread = SMALLEST * 2**levels * 2**0.5
    distance = symbols.abs()
    probability = (torch.erf((distance + 0.5) / spread) - torch.erf((distance - 0.5) / spread)) / 2
    return -probability.clamp(min=1e-6).log2().sum() / len(symbols)
