"""Training layers of stride 2: near the float layer, forward and backward, and no native kernels yet."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tilewise.algebra import algorithm
from tilewise.nn import WinogradConv2d
from tilewise.nn.stages import Tiling, extract_tiles, join_tiles, scatter_tiles, split_tiles
from tilewise.quant import Winograd


@pytest.mark.parametrize("transforms", ["static", "learned"])
@pytest.mark.parametrize(("name", "r"), [("F2", 3), ("F4", 3), ("SFC6", 3), ("F2", 5), ("F2", 7)])
def test_training_is_near_the_float_layer(name: str, r: int, transforms: str) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 8, r, stride=2, padding=r // 2)
    layer = WinogradConv2d.from_conv(conv, Winograd(name, transforms=transforms)).train()  # type: ignore[arg-type]
    x = torch.randn(4, 8, 15, 12).relu().requires_grad_()
    assert "the kernels lack" in layer.unserved(x)
    layer(x)
    y, exact = layer(x), conv(x)
    assert (y - exact).square().mean() < 3e-3 * exact.square().mean()
    direction = torch.randn_like(exact)
    got, wanted = (torch.autograd.grad((out * direction).sum(), (x, conv.weight)) for out in (y, exact))
    for mine, theirs in zip(got, wanted, strict=True):
        assert (mine - theirs).square().mean() < 2e-2 * theirs.square().mean()


@pytest.mark.parametrize("size", [(9, 9), (10, 7), (3, 16)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_tiles_and_their_adjoints(size: tuple[int, int], padding: tuple[int, int]) -> None:
    """<extract(x), d> = <x, scatter(d)>, and the same for what joins and splits the outputs."""
    tiling = Tiling(2, *size, padding, 4, 3, 2)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    tiles = extract_tiles(x, tiling)
    d = torch.randn_like(tiles)
    torch.testing.assert_close((tiles * d).sum(), (x * scatter_tiles(d, 3, tiling)).sum())
    y = torch.randn(2, 3, *tiling.out, dtype=torch.float64)
    assert tiling.out == nn.Conv2d(3, 3, 3, 2, padding)(x.float()).shape[2:]
    torch.testing.assert_close(join_tiles(split_tiles(y, tiling), 3, tiling), y)


def test_an_algorithm_of_another_stride_is_refused() -> None:
    for own, stride in ((algorithm("F4", 3, 2), 1), (algorithm("F4"), 2)):
        with pytest.raises(ValueError, match=f"is for stride {own.stride}, not for stride {stride}"):
            WinogradConv2d(4, 4, 3, stride=stride, spec=Winograd(own))
