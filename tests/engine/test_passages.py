"""Passages of public networks, as their authors wrote them: the engine's bits are the simulation's, at any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.compiler import Simulation, make_program


class Net(nn.Module):
    """A passage between convolutions."""

    def __init__(self, passage: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.passage = passage
        self.first, self.second = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1)
        self.expected, self.scale = nn.Conv2d(4, 1, 1, bias=False), nn.Parameter(torch.rand(12) + 1)
        self.norm, self.halving = nn.BatchNorm2d(12), nn.Conv2d(12, 12, 3, 2, 1)
        self.register_buffer("position", torch.linspace(-1, 1, 8 * 6).view(1, 1, 8, 6))

    def forward(self, x: Tensor) -> Any:
        return self.passage(self, self.first(x).relu())


def joined_with_images(n: Net, x: Tensor) -> Tensor:
    """YOLO-FastestV2's shuffle: images and channels in one axis."""
    b, c, h, w = x.shape
    y = x.reshape(b * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
    return n.second(torch.cat((y[0], 2 * y[1]), 1))


def regrouped_with_images(n: Net, x: Tensor) -> Tensor:
    """Channels in an order that is no slice."""
    b, c, h, w = x.shape
    y = x.reshape(b * c // 4, 2, 2, h, w).permute(1, 0, 2, 3, 4).reshape(2, b, c // 2, h, w)
    return n.second(torch.cat(y.unbind(0), 1))


def expected_distances(n: Net, x: Tensor) -> Tensor:
    """YOLOv8's head: the expected value of four distances, beside the classes of each place."""
    y = torch.cat([n.second(x).flatten(2), n.second(F.max_pool2d(x, 2)).flatten(2)], 2)
    y = torch.cat([y, y, y[:, :4]], 1)
    box, classes = y.split((8, 8), 1)
    b, _, a = box.shape
    near, far = n.expected(box.view(b, 2, 4, a).transpose(2, 1).softmax(1)).view(b, 2, a).chunk(2, 1)
    return torch.cat([near + far, far - near, classes.sigmoid()], 1)


def gate_of_smaller_size(n: Net, x: Tensor) -> Tensor:
    """GhostNetV2's: computed at a smaller size, enlarged to that of what it gates, behind a batch norm."""
    gate = F.avg_pool2d(x, 4, 4).sigmoid()
    y = n.halving(n.norm(x))
    y[:, :2] += 1  # what is assigned in place is captured in another way
    return n.second(y * F.interpolate(gate, size=(y.shape[-2], y.shape[-1]), mode="nearest"))


def pooled_branch(n: Net, x: Tensor) -> Tensor:
    """DeepLab's: a mean over all pixels, enlarged to a size that follows from the input's."""
    small = F.avg_pool2d(x, 3, 2, 1)
    mean = F.interpolate(small.mean((2, 3), keepdim=True), size=small.shape[-2:], mode="bilinear")
    return F.interpolate(n.second(small + mean), size=x.shape[-2:], mode="bilinear")


def normalized(n: Net, x: Tensor) -> Tensor:
    """SSD's first map: divided by its length, a parameter expanded over it."""
    length = x.pow(2).sum(1, keepdim=True).sqrt() + 1e-10
    return n.second(n.scale.unsqueeze(0).unsqueeze(2).unsqueeze(3).expand_as(x) * (x / length))


def noise_level(n: Net, x: Tensor) -> Tensor:
    """FFDNet's: a map of one number, and of one number for each image, beside the channels."""
    constant = torch.full((x.shape[0], 1, x.shape[2], x.shape[3]), 0.1)
    level = x.amax((1, 2, 3), keepdim=True).repeat(1, 1, x.shape[2], x.shape[3])
    mean = x.mean((2, 3), keepdim=True).expand(-1, -1, x.shape[2], x.shape[3])
    return n.second(torch.cat([x[:, :2], constant, level, torch.zeros_like(x[:, :2]), mean[:, :6]], 1))


def larger_half(n: Net, x: Tensor) -> Tensor:
    """LightCNN's: the larger of two halves."""
    a, b = torch.split(x, 6, 1)
    return n.second(torch.cat([torch.max(a, b), torch.min(a, b)], 1))


def assigned(n: Net, x: Tensor) -> Tensor:
    """GhostNet's: a sum in place, to a slice; and a slice of what is read later."""
    y = torch.cat([x, 2 * x], 1)[:, :12]
    y += x
    x[:, 3:5] *= 0.5
    return n.second(y + x)


PASSAGES = [
    assigned,
    joined_with_images, regrouped_with_images, expected_distances, gate_of_smaller_size, pooled_branch,
    normalized, noise_level, larger_half,
]  # fmt: skip
FIXED = {expected_distances}
"""What joins maps of two sizes along their pixels, at the example's size only."""


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda p: p.__name__)
def test_to_the_bit(passage: Callable[[Net, Tensor], Tensor], interpret: Any) -> None:
    torch.manual_seed(0)
    net, x = Net(passage).eval(), torch.randn(3, 3, 8, 6)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [x])
    engine = tw.compile(model, x[:1])
    expected = Simulation(model, x)(x)
    with torch.no_grad():
        wanted = net(x)
    assert (expected - wanted).norm() < 0.05 * wanted.norm()
    assert torch.equal(engine(x), expected)
    assert (interpret(make_program(model, x))(x.numpy()) == expected.numpy()).all()
    if passage not in FIXED:
        large = torch.randn(2, 3, 10, 14)
        assert torch.equal(engine(large), Simulation(model, large)(large))


def test_a_constant_map_beside_the_channels() -> None:
    """As networks have that tell a place its coordinates: of one size."""
    net, x = Net(lambda n, x: n.second(torch.cat([x[:, :11], n.position], 1))).eval(), torch.randn(1, 3, 8, 6)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [x])
    assert torch.equal(tw.compile(model, x)(x), Simulation(model, x)(x))


def test_pixels_that_go_to_other_images_are_refused() -> None:
    def mixed(n: Net, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return n.second(x.reshape(c, b, h, w).transpose(0, 1) if b > 1 else x)

    with pytest.raises(ValueError, match=r"allowed: the images stay the first axis"):
        tw.compile(Net(mixed), torch.randn(2, 3, 8, 6))


def padded_to_the_other_half(n: Net, x: Tensor) -> Tensor:
    """A U-Net's: a map is padded to the size of the one that it goes beside."""
    y = F.interpolate(F.max_pool2d(F.max_pool2d(x, 2), 2), scale_factor=4)
    below, right = x.size(2) - y.size(2), x.size(3) - y.size(3)
    return n.second(x + F.pad(y, [right // 2, right - right // 2, below // 2, below - below // 2]))


def padded_to_a_multiple(n: Net, x: Tensor) -> Tensor:
    """A filter's: the image is padded to a multiple, and the result is cut."""
    _, _, height, width = x.shape
    y = F.pad(x, (0, (4 - width % 4) % 4, 0, (4 - height % 4) % 4), "reflect")
    return n.second(F.pixel_shuffle(F.pixel_unshuffle(y, 4), 4))[:, :, :height, :width]


@pytest.mark.parametrize("passage", [padded_to_the_other_half, padded_to_a_multiple], ids=lambda p: p.__name__)
def test_padding_that_is_nothing_for_some_sizes(passage: Callable[[Net, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    net, x = Net(passage).eval(), torch.randn(1, 3, 8, 12)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [x])
    engine, large = tw.compile(model, x), torch.randn(2, 3, 16, 20)
    assert engine.inputs[0].multiple == (4, 4)
    for images in (x, large):
        assert torch.equal(engine(images), Simulation(model, images)(images))
    with pytest.raises(ValueError, match="multiple of 4"):
        engine(torch.randn(1, 3, 10, 12))
    odd = torch.randn(1, 3, 10, 13)
    assert torch.equal(tw.compile(model, odd)(odd), Simulation(model, odd)(odd))


def test_a_grid_of_places() -> None:
    """A detector's: places come from the size of its map, which the network is then compiled for."""

    def placed(n: Net, x: Tensor) -> Tensor:
        y = n.second(x).flatten(2).sigmoid()
        rows, columns = torch.meshgrid(torch.arange(x.shape[2]), torch.arange(x.shape[3]), indexing="ij")
        places = torch.stack([columns, rows]).float().view(1, 2, -1)
        return torch.cat([y[:, :2] * 2 - 0.5 + places, y[:, 2:]], 1)

    torch.manual_seed(0)
    net, x = Net(placed).eval(), torch.randn(1, 3, 8, 6)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [x])
    assert torch.equal(tw.compile(model, x)(x), Simulation(model, x)(x))
