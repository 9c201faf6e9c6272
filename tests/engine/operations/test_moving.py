"""What moves numbers: splits, slices, shuffles, flips, concatenations of any kind, resizing to any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.compiler import Simulation


class Net(nn.Module):
    """A function of the 12 channels of one convolution, the result of which another one may read."""

    def __init__(self, function: Callable[[Tensor], Any], channels: int = 0) -> None:
        super().__init__()
        self.function = function
        self.before = nn.Conv2d(3, 12, 3, padding=1)
        self.after = nn.Conv2d(channels, 4, 1) if channels else nn.Identity()

    def forward(self, x: Tensor) -> Any:
        return self.after(self.function(self.before(x)))


def halves(x: Tensor) -> Tensor:
    a, b = x.chunk(2, 1)
    return torch.cat([b, a, F.relu(b)], 1)


def parts(x: Tensor) -> Tensor:
    a, b, c = x.split([2, 7, 3], 1)
    return torch.cat([c, b[:, ::3], a, x.tensor_split(5, 1)[4], x.narrow(1, -3, 2)], 1)


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def focus(x: Tensor) -> Tensor:
    return torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)


def heads(x: Tensor) -> Tensor:
    """Boxes of two levels, as detectors put them together."""
    levels = [y.permute(0, 2, 3, 1).reshape(len(y), -1, 4) for y in (x, F.max_pool2d(x, 2))]
    return torch.cat(levels, 1)


def anchors(x: Tensor) -> Any:
    """Boxes of three anchors; x, y and size apart."""
    n, _, h, w = x.shape
    y = x.view(n, 3, 4, h, w).permute(0, 1, 3, 4, 2)
    return torch.cat([y[..., :2].relu(), y[..., 2:]], -1).view(n, -1, 4), y


def interleaved(x: Tensor) -> Tensor:
    return torch.stack([x, x.flip(1)], 2).flatten(1, 2)


def rows(x: Tensor) -> Any:
    return torch.cat([x, x[:, :, :1], x.roll((1, -2), (2, 1))], 2), torch.cat([x.flip((2, 3)), x[..., -2:]], 3)


def turned(x: Tensor) -> Tensor:
    return x.transpose(2, 3) + x.transpose(2, 3).relu()


def picked(x: Tensor) -> Any:
    return x[:, 3], x[:, [0, 5, 6, 7, 2]], x[:, :, -1], x.mean((2, 3))[:, 2], torch.stack(x.unbind(1)[:3], 1)


def repeated(x: Tensor) -> Tensor:
    return torch.cat([x.repeat(1, 2, 1, 1), x[:, :1].expand(-1, 3, -1, -1), x.repeat_interleave(2, 1)], 1)


def sizes(x: Tensor) -> Any:
    nearest = F.interpolate(x, size=(7, 9)), F.interpolate(x, size=(7, 9), mode="nearest-exact")
    return *nearest, F.interpolate(x, scale_factor=1.3), F.interpolate(x, size=(7, 9), mode="bicubic")


def like(x: Tensor) -> Tensor:
    """To the size of another map that is no multiple; nearest."""
    return x + F.interpolate(F.max_pool2d(x, 3, 2, 1), size=x.shape[2:])


def bicubic(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=1.7, mode="bicubic", align_corners=True)


def around(x: Tensor) -> Any:
    """Padding of every kind, lopsided, also where the channels are last, and with fewer pixels than before."""
    own = [F.pad(x, (1, 2, 3, 0), mode=mode) for mode in ("reflect", "replicate", "circular")]
    last = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 0), mode="reflect")
    return *own, last, F.pad(x, (2, -1, 0, 1, 1, 2)), F.pad(x, (-1, -2, 1, 2), value=1.5), nn.ReplicationPad2d(2)(x)


def normalized(x: Tensor) -> Tensor:
    """A batch norm after a shuffle reads channels in another order than the convolution makes them."""
    scale, shift = torch.linspace(0.5, 2, 12), torch.linspace(-1, 1, 12)
    return F.batch_norm(shuffle(x), shift, scale, scale, shift) + F.prelu(shuffle(x), scale)


def same_maximum(x: Tensor) -> Tensor:
    """As TensorFlow pads a maximum."""
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-float("inf")), 3, 2)


NETS: dict[str, tuple[Callable[[Tensor], Any], int]] = {
    "halves": (halves, 18), "parts": (parts, 12), "shuffle": (shuffle, 12), "focus": (focus, 48), "heads": (heads, 0),
    "channel shuffle": (lambda x: F.channel_shuffle(x, 4), 12), "unshuffle": (lambda x: F.pixel_unshuffle(x, 2), 48),
    "anchors": (anchors, 0), "interleaved": (interleaved, 24), "rows": (rows, 0), "turned": (turned, 12),
    "picked": (picked, 0), "repeated": (repeated, 51), "sizes": (sizes, 0), "like": (like, 12),
    "bicubic": (bicubic, 12), "strided rows": (lambda x: x[:, :, ::2], 12),
    "pixels": (lambda x: F.pixel_shuffle(x, 2), 3), "around": (around, 0), "normalized": (normalized, 12),
    "same maximum": (same_maximum, 12),
}  # fmt: skip


def calibrated(name: str) -> nn.Module:
    torch.manual_seed(0)
    function, channels = NETS[name]
    return tw.calibrate(tw.convert(Net(function, channels).eval(), {"*": tw.Direct()}), [torch.randn(2, 3, 6, 8)])


def results(found: Any) -> list[Tensor]:
    values = found.values() if isinstance(found, dict) else found if isinstance(found, tuple) else [found]
    return [torch.as_tensor(value) for value in values]


@pytest.mark.filterwarnings("ignore:The default behavior for interpolate")
@pytest.mark.parametrize("name", NETS)
def test_the_engine_is_the_simulation_and_the_model_at_any_size(name: str, interpret: Any) -> None:
    model = calibrated(name)
    engine = tw.compile(model, torch.zeros(1, 3, 6, 8))
    for size in ((6, 8), (10, 4)):
        x = torch.randn(2, 3, *size)
        found, expected, slow = (
            engine(x),
            results(Simulation(model, x)(x)),
            results(interpret(engine.program)(x.numpy())),
        )
        for y, simulated, interpreted, told in zip(results(found), expected, slow, results(model(x)), strict=True):
            np.testing.assert_array_equal(y, simulated)
            np.testing.assert_array_equal(y, interpreted)
            np.testing.assert_allclose(y, told.detach(), atol=2e-5)


@pytest.mark.parametrize("bits", [8, 32])
@pytest.mark.parametrize(("mode", "padding"), [("reflect", (1, 2)), ("replicate", "same"), ("circular", "same")])
def test_convolutions_with_padding_of_their_own(mode: str, padding: Any, bits: int) -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, (3, 4), padding=padding, padding_mode=mode))
    x = torch.randn(2, 3, 7, 9)
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct(bits=bits)}), [x])
    engine = tw.compile(model, x)
    for images in (x, torch.randn(1, 3, 5, 6)):
        found = engine(images)
        torch.testing.assert_close(found, model(images).detach())
        if bits == 8:
            np.testing.assert_array_equal(found, Simulation(model, images)(images))
    if mode == "reflect":
        with pytest.raises(ValueError, match="pads 1 pixels by 1 of their own, must be at most 0"):
            engine(torch.randn(1, 3, 3, 9))


def operations(name: str) -> list[str]:
    return [operation["op"] for operation in tw.compile(calibrated(name), torch.zeros(1, 3, 6, 8)).program.operations]


def test_what_is_picked_and_joined_moves_once() -> None:
    """Slices are parts of the concatenation that reads them; quantization goes in front of what moves."""
    assert operations("focus") == ["input", "direct", "gather", "direct", "output"]
    assert operations("parts") == ["input", "direct", "gather", "direct", "output"]
    assert operations("shuffle") == ["input", "direct", "rearrange", "direct", "output"]


def test_averages_over_more_pixels_are_refused() -> None:
    net = Net(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True))
    with pytest.raises(ValueError, match=r"antialias=True.*; allowed: antialias=False"):
        tw.compile(net.eval(), torch.zeros(1, 3, 6, 8))
