"""One compiled network serves images of all sizes that it allows: each time what the simulation of that size gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.engine.compiler import Simulation

Forward = Callable[[Any, Tensor], Any]
SIZES = ((16, 12), (20, 8), (17, 13), (5, 20), (33, 64))


class Net(nn.Module):
    """A forward function over some layers."""

    def __init__(self, forward: Forward, **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.down, self.norm = nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def quantized(forward: Forward, *, skips: Any = "quantized", **layers: nn.Module) -> nn.Module:
    """A network of 8-bit layers, the larger part of them fast."""
    net = Net(forward, **layers).eval()
    with torch.no_grad():
        net.norm.running_mean.normal_(0, 0.1)
        net.norm.weight.uniform_(0.5, 1.5)
    return tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}, skips=skips), [torch.randn(2, 3, 16, 12)])


def plain(n: Any, x: Tensor) -> Tensor:
    return n.second(F.relu(n.norm(n.first(x))))


def down(n: Any, x: Tensor) -> Tensor:
    return n.down(plain(n, x))


def pools(n: Any, x: Tensor) -> Tensor:
    y = F.max_pool2d(n.first(x), 3, stride=2, padding=1) + F.avg_pool2d(n.second(n.first(x)), 3, stride=2, padding=1)
    return F.max_pool2d(y, 2, ceil_mode=True) + F.avg_pool2d(y, 2, ceil_mode=True, count_include_pad=False)


def beyond_padding(n: Any, x: Tensor) -> Tensor:
    return F.avg_pool2d(n.first(x), 3, 2, padding=1, ceil_mode=True)


def adaptive(n: Any, x: Tensor) -> Tensor:
    y = n.first(x)
    return n.fc(torch.flatten(F.adaptive_avg_pool2d(y, (3, 2)) + F.adaptive_max_pool2d(n.second(y), (3, 2)), 1))


def nearest_like(n: Any, x: Tensor) -> Tensor:
    y = n.first(x)
    small = F.adaptive_avg_pool2d(n.second(y), 1)
    return y + F.interpolate(small, size=y.shape[2:])


def bilinear_like(n: Any, x: Tensor) -> Tensor:
    return n.second(F.interpolate(n.down(n.first(x)), size=x.shape[2:], mode="bilinear"))


def bilinear_corners(n: Any, x: Tensor) -> Tensor:
    y = n.first(x)
    return y + F.interpolate(n.down(y), size=(y.size(2), y.size(3)), mode="bilinear", align_corners=True)


def factors(n: Any, x: Tensor) -> Tensor:
    """By 1.1, after which a small map may keep one of its sides."""
    return n.second(F.interpolate(n.first(x), scale_factor=1.1, mode="bilinear"))


def enlarged(n: Any, x: Tensor) -> Tensor:
    y = n.first(x)
    return n.second(F.interpolate(y, scale_factor=2)) + F.interpolate(y, scale_factor=(2.0, 2.0), mode="bilinear")


def nearest_of_a_size(n: Any, x: Tensor) -> Tensor:
    return F.interpolate(n.first(x), size=(32, 24)) + F.interpolate(n.first(x), size=(32, 24), mode="nearest-exact")


def cropped_like(n: Any, x: Tensor) -> Tensor:
    y = F.interpolate(n.down(n.first(x)), scale_factor=2)
    return n.first(x) + y[:, :, : x.shape[2], : x.shape[3]]


def to_one_size(n: Any, x: Tensor) -> Tensor:
    return F.interpolate(n.first(x), size=(9, 10), mode="bilinear")


def moved(n: Any, x: Tensor) -> Tensor:
    y = F.pad(n.first(x)[:, :, 1:-1:2, -5::2], (1, 2, 0, 3))
    return torch.cat([n.second(y), y], 1)


def shuffled(n: Any, x: Tensor) -> Tensor:
    return F.pixel_shuffle(n.second(n.first(x)), 2)


def mean(n: Any, x: Tensor) -> Tensor:
    return n.fc(n.second(n.first(x)).mean((2, 3)))


def flat_map(n: Any, x: Tensor) -> Tensor:
    return n.first(x).flatten(1)


ANY: dict[str, tuple[Forward, dict[str, nn.Module]]] = {
    "plain": (plain, {}), "down": (down, {}), "pools": (pools, {}), "beyond padding": (beyond_padding, {}),
    "adaptive": (adaptive, {"fc": nn.Linear(48, 3)}), "nearest like": (nearest_like, {}),
    "bilinear like": (bilinear_like, {}), "bilinear corners": (bilinear_corners, {}), "factors": (factors, {}),
    "enlarged": (enlarged, {}), "nearest of a size": (nearest_of_a_size, {}), "cropped like": (cropped_like, {}),
    "to one size": (to_one_size, {}), "moved": (moved, {}), "shuffled": (shuffled, {}),
    "mean": (mean, {"fc": nn.Linear(8, 3)}), "flat map": (flat_map, {}),
}  # fmt: skip


def assert_served(model: nn.Module, engine: tw.Engine, x: Tensor) -> None:
    """Images of another size give the bits of the simulation of that size, and nearly the model's own numbers."""
    expected = np.concatenate([Simulation(model, image)(image).numpy() for image in x.split(1)])
    found = engine(x).numpy()
    np.testing.assert_array_equal(found, expected)
    with torch.no_grad():
        assert np.abs(model(x).numpy() - found).mean() < 0.05 * np.abs(found).max()


@pytest.mark.parametrize("name", ANY)
def test_compiled_at_one_size_and_run_at_others(name: str, interpret: Any) -> None:
    forward, layers = ANY[name]
    model = quantized(forward, **layers)
    engine = tw.compile(model, torch.zeros(1, 3, *SIZES[0]))
    assert [(i.size, i.multiple) for i in engine.inputs] == [((0, 0), (1, 1))]
    for size in SIZES:
        x = torch.randn(2, 3, *size)
        assert_served(model, engine, x)
        np.testing.assert_array_equal(interpret(engine.program)(x.numpy()), engine(x))


# UNet crops to the size of another map: it is served at the example's size only.
ZOO = {
    "edsr": ((1, 9, 14), [(23, 17), (5, 7)]), "espcn": ((1, 13, 10), [(20, 31), (5, 7)]),
    "lenet5": ((1, 28, 28), [(23, 17), (33, 40)]), "resnet18": ((3, 32, 32), [(23, 17), (40, 33)]),
    "resnet20": ((3, 32, 32), [(23, 17), (5, 7)]), "small": ((1, 32, 32), [(23, 17), (5, 7)]),
}  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo(name: str) -> None:
    shape, sizes = ZOO[name]
    width = {"edsr": 0.25, "resnet18": 0.25}.get(name, 1.0)
    net, x = zoo.build(name, channels=shape[0], width=width).eval(), torch.randn(2, *shape)
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), [x])
    engine = tw.compile(model, x[:1])
    for size in (shape[1:], *sizes):
        assert_served(model, engine, torch.randn(2, shape[0], *size))


def test_the_example_decides_nothing() -> None:
    """Neither its size nor its number of images: the same file."""
    model = quantized(bilinear_like)
    files = [tw.compile(model, torch.zeros(shape)).content() for shape in ((1, 3, 16, 12), (5, 3, 9, 40))]
    assert files[0] == files[1]


def multiple_of_four(n: Any, x: Tensor) -> Tensor:
    if x.shape[2] % 4 or x.shape[3] % 2:
        raise ValueError("no whole blocks")
    return n.second(n.first(x))


def very_size(n: Any, x: Tensor) -> Tensor:
    return n.first(x) if x.shape[2] == 16 else n.down(n.first(x))


def above(n: Any, x: Tensor) -> Tensor:
    return n.first(x) if x.shape[3] > 10 else n.down(n.first(x))


def square(n: Any, x: Tensor) -> Tensor:
    return n.down(n.first(x)) if x.shape[2] != x.shape[3] else n.first(x)


ASKED: dict[str, tuple[Forward, Any, Any, tuple[int, int], str]] = {
    "a multiple": (multiple_of_four, (0, 0), (4, 2), (18, 12), "the height of the images is 18, must be a multiple"),
    "a number": (very_size, (16, 0), (1, 1), (20, 12), "the height of the images is 20, must be 16, what the"),
    "a limit": (above, (0, 12), (1, 1), (16, 13), "the width of the images is 13, must be 12, what the network was"),
    "both": (square, (16, 12), (1, 1), (12, 12), "the height of the images is 12, must be 16, what the network was"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_the_models_own_code_asks_of_the_size(name: str) -> None:
    forward, size, multiple, wrong, message = ASKED[name]
    model = quantized(forward, skips="float")  # torch.fx does not trace such code
    engine = tw.compile(model, torch.zeros(1, 3, 16, 12))
    assert [(i.size, i.multiple) for i in engine.inputs] == [(size, multiple)]
    good = [s or m * 6 for s, m in zip(size, multiple, strict=True)]
    assert_served(model, engine, torch.randn(2, 3, *good))
    with pytest.raises(ValueError, match=message):
        engine(torch.randn(2, 3, *wrong))


COMPUTED: dict[str, Forward] = {
    "twice the size": lambda n, x: F.interpolate(n.first(x), size=(x.shape[2] * 2, x.shape[3] * 2)),
    "half of it": lambda n, x: n.first(x)[:, :, x.shape[2] // 2 :],
    "padding to blocks": lambda n, x: n.first(F.pad(x, (0, 0, 0, (5 - x.shape[2] % 5) % 5))),
    "sizes of two maps": lambda n, x: F.interpolate(
        n.down(n.first(x)), size=(x.shape[2], n.down(n.first(x)).shape[3]), mode="bilinear"
    ),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_a_model_that_computes_sizes_is_served_at_its_own_only(name: str) -> None:
    model = quantized(COMPUTED[name])
    engine = tw.compile(model, torch.zeros(1, 3, 16, 12))
    assert [i.size for i in engine.inputs] == [(16, 12)]
    assert_served(model, engine, torch.randn(3, 3, 16, 12))
    with pytest.raises(ValueError, match="x: the height of the images is 20, must be 16, what the network was"):
        engine(torch.randn(1, 3, 20, 12))
    with pytest.raises(ValueError, match=r"x: the width of the images is 8, must be 12"):
        engine.prepare((1, 3, 16, 8))


@pytest.mark.parametrize(
    ("forward", "layers", "size", "message"),
    [
        (
            lambda n, x: n.fc(n.first(x).flatten(1)),
            {"fc": (8 * 16 * 12, 5)},
            (12, 16),
            "fc: its input has 12x16 pixels, must have 16x12",
        ),
        (
            lambda n, x: n.fc(F.max_pool2d(n.first(x), 4).view(x.size(0), -1)),
            {"fc": (8 * 4 * 3, 5)},
            (20, 12),
            "fc: its input has 5x3 pixels, must have 4x3",
        ),
        (
            lambda n, x: n.first(x) + n.second(F.interpolate(n.down(n.first(x)), scale_factor=2)),
            {},
            (17, 12),
            r"the tensor that is added has 17x12 pixels, must have 18x12|has 18x12 pixels, must have 17x12",
        ),
        (
            lambda n, x: torch.cat([n.first(x), F.interpolate(n.down(n.first(x)), scale_factor=2)], 1),
            {},
            (16, 11),
            "cat: its inputs have 16x11 and 16x12 pixels, must have the same",
        ),
        (
            lambda n, x: n.first(x)[:, :, 14:],
            {},
            (14, 12),
            "slice: nothing is left of input 0, which has 14x12 pixels",
        ),
        (
            lambda n, x: F.max_pool2d(n.first(x), 5),
            {},
            (16, 4),
            "max_pool2d: the width of its input is 4, must be at least 5",
        ),
    ],
)
def test_what_a_size_does_not_allow_is_refused_by_name(
    forward: Forward, layers: dict[str, tuple[int, int]], size: tuple[int, int], message: str
) -> None:
    model = quantized(forward, **{name: nn.Linear(*extents) for name, extents in layers.items()})
    engine = tw.compile(model, torch.zeros(1, 3, 16, 12))
    assert_served(model, engine, torch.randn(1, 3, 16, 12))
    with pytest.raises(ValueError, match=message):
        engine(torch.randn(1, 3, *size))
    with pytest.raises(ValueError, match=message):
        engine.prepare((1, 3, *size))
    assert_served(model, engine, torch.randn(1, 3, 16, 12))  # a refusal leaves it as it was


def test_a_flat_result_of_one_length() -> None:
    """What callers see is a vector whose length the model fixes, so other sizes must come to the same."""
    model = quantized(lambda n, x: n.first(x).view(x.size(0), 8 * 16 * 12))
    engine = tw.compile(model, torch.zeros(1, 3, 16, 12))
    assert_served(model, engine, torch.randn(2, 3, 16, 12))
    with pytest.raises(ValueError, match="output: the number of values is 1920, must be 1536, as the network"):
        engine(torch.randn(1, 3, 20, 12))


def test_prepare_tells_the_shapes_of_results() -> None:
    engine = tw.compile(quantized(down), torch.zeros(1, 3, 16, 12))
    x = torch.randn(4, 3, 17, 13)
    assert engine.prepare(x.shape) == {"output": tuple(engine(x).shape)} == {"output": (4, 8, 9, 7)}
    assert engine.prepare((4, 17, 13, 3), layout="NHWC") == {"output": (4, 9, 7, 8)}
    flat = tw.compile(quantized(flat_map), torch.zeros(1, 3, 16, 12))
    assert flat.prepare((2, 5, 7, 3), layout="NHWC") == flat.prepare((2, 3, 5, 7)) == {"output": (2, 280)}


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((), r"there are 0 shapes; allowed: x"),
        (((1, 3, 8, 8), (1, 3, 8, 8)), r"there are 2 shapes; allowed: x"),
        (((1, 3, 8),), r"the shape of x is \(1, 3, 8\); allowed: \(N, 3, H, W\)"),
        ((3,), r"the shape of x is 3; allowed: \(N, 3, H, W\)"),
        (((1, 3, 8, "8"),), r"the shape of x is \(1, 3, 8, '8'\); allowed"),
        (((1, 3, 8, True),), r"the shape of x is \(1, 3, 8, True\); allowed"),
        (((0, 3, 8, 8),), "x: an extent is 0, must be at least 1"),
        (((1, 3, -1, 8),), "x: an extent is -1, must be at least 1"),
        (((1, 4, 8, 8),), "x: has 4 channels, must have 3"),
        (((1, 3, 70000, 8),), r"x: the height of the images is 70000, must be 1\.\.65536"),
    ],
)
def test_shapes_that_are_none(shapes: Any, message: str) -> None:
    engine = tw.compile(nn.Sequential(nn.ReLU()), torch.zeros(1, 3, 4, 4))
    engine = tw.compile(quantized(plain), torch.zeros(1, 3, 16, 12)) if engine.inputs[0].name != "x" else engine
    with pytest.raises(ValueError, match=message):
        engine.prepare(*shapes)
    with pytest.raises(ValueError, match="layout is 'CHW'; allowed: NCHW, NHWC"):
        engine.prepare((1, 3, 8, 8), layout="CHW")  # type: ignore[arg-type]


def test_the_last_few_sizes_in_any_order() -> None:
    """More sizes than stay prepared, and numbers of images beside them, again and again."""
    model = quantized(bilinear_like)
    engine = tw.compile(model, torch.zeros(1, 3, 16, 12), batch=3)
    inputs = [torch.randn(1 + i % 5, 3, 6 + 3 * i, 9 + i % 4) for i in range(12)]
    expected = [engine(x) for x in inputs]
    for i in [*range(12), *reversed(range(12)), 0, 7, 0, 7, 11, 3]:
        assert (engine(inputs[i]) == expected[i]).all()
    for x, y in zip(inputs, expected, strict=True):
        fresh = tw.compile(model, torch.zeros(1, 3, 16, 12))
        assert (fresh(x) == y).all()


@pytest.mark.parametrize("batch", [1, 2, 3, 16])
def test_pieces_of_a_batch(batch: int) -> None:
    engine = tw.compile(quantized(pools), torch.zeros(1, 3, 16, 12), batch=batch)
    x = torch.randn(7, 3, 13, 9)
    expected = torch.cat([engine(image) for image in x.split(1)])
    for count in (1, 2, 3, 5, 7):
        assert (engine(x[:count]) == expected[:count]).all()


@pytest.mark.parametrize("batch", [0, -1, 65537, 1.5, True, "2"])
def test_batches_that_are_none(batch: Any) -> None:
    with pytest.raises(ValueError, match=r"batch is .*; allowed: 1 to 65536"):
        tw.compile(nn.Sequential(nn.ReLU()), torch.zeros(1, 3, 4, 4), batch=batch)
