"""Arithmetic of tensors, numbers and parameters, reductions and norms: the engine's bits are the simulation's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tilewise as tw
from tilewise import _native
from tilewise.engine.compiler import Simulation, make_program

KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
CHANNELS = 20


class Net(nn.Module):
    """Some arithmetic between two convolutions."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], out: int = CHANNELS) -> None:
        super().__init__()
        self.function = function
        self.first, self.last = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(out, 7, 1)
        self.inner, self.gate = nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Conv2d(CHANNELS, 1, 3, padding=1)
        self.down, self.up = nn.Conv2d(CHANNELS, 5, 1), nn.Conv2d(5, CHANNELS, 1)
        self.number, self.gamma = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.rand(1, CHANNELS, 1, 1) + 0.5)
        self.map = nn.Parameter(torch.rand(9, 7))
        self.whole, self.taps = nn.Parameter(torch.rand(CHANNELS, 9, 7)), nn.Parameter(torch.rand(1, 1, 3))
        self.mixing = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 3) * 0.1)
        self.layer, self.group = nn.LayerNorm(CHANNELS), nn.GroupNorm(4, CHANNELS)
        self.instance = nn.InstanceNorm2d(CHANNELS, affine=True)
        self.tracked = nn.InstanceNorm2d(CHANNELS, affine=True, track_running_stats=True)
        with torch.no_grad():
            for norm in (self.layer, self.group, self.instance, self.tracked):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.uniform_(-1, 1)
            self.tracked.running_mean.uniform_(-1, 1)  # type: ignore[union-attr,operator]
        self.free = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y: Tensor = self.last(self.function(self, x))
        return y

    def last_block(self, x: Tensor) -> Tensor:
        """Parameters, gates, means and softmax where the channels are the last axis."""
        y = self.gamma.flatten() * x + x.mean((1, 2), keepdim=True)
        y = F.gelu(y) * x.sum(-1, keepdim=True) + x.amax(-1, keepdim=True)
        return F.softmax(y, -1) * x.mean((1, 2))[:, None, None, :]

    @staticmethod
    def standardized(weight: Tensor) -> Tensor:
        """Weights of mean 0 and variance 1, made anew in each call."""
        flat = weight.view(1, CHANNELS, -1)
        return F.batch_norm(flat, None, None, training=True, eps=1e-6).view_as(weight)

    def squeezed(self, x: Tensor) -> Tensor:
        """A number for each channel."""
        y: Tensor = self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1))))
        return y


def selected(n: Any, x: Tensor) -> Tensor:
    """Selective kernels, and split attention: parts of the channels added up, weighed by a softmax over the parts."""
    images, c, height, width = x.shape
    y = x.view(images, 2, c // 2, height, width)
    weights = F.softmax(torch.cat([y.sum(1), y.amax(1)], 1).mean((2, 3)).view(images, 2, c // 2, 1, 1), 1)
    split = F.softmax(n.squeezed(x).view(images, 2, 2, -1).transpose(1, 2), 1).reshape(images, -1, 1, 1)
    return x * split + (y * weights).sum(1).repeat(1, 2, 1, 1)


def enhanced(_: Any, x: Tensor) -> Tensor:
    """Each group of channels times a map of its own."""
    images, c, height, width = x.shape
    y = x.view(images, 4, c // 4, height, width)
    gate = (y * y.mean((3, 4), keepdim=True)).sum(2, keepdim=True).sigmoid()
    return (gate * y).view(images, c, height, width)


def along(n: Any, x: Tensor) -> Tensor:
    """Efficient channel attention: a convolution along the channels."""
    y = F.conv1d(x.mean((2, 3)).unsqueeze(1), n.taps, padding="same").transpose(1, 2)
    return x * y.sigmoid().unsqueeze(-1) + F.conv1d(x.flatten(2), n.mixing, padding=1).view_as(x)


CASES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "gate of channels": lambda n, x: x * n.squeezed(x).sigmoid(),
    "gate first": lambda n, x: F.hardsigmoid(n.squeezed(x)).expand_as(x) * x,
    "gate of pixels": lambda n, x: x * torch.sigmoid(n.gate(x)),
    "number for each image": lambda n, x: x * torch.sigmoid(n.gate(x).mean((2, 3), keepdim=True)),
    "channels by pixels": lambda n, x: x + n.squeezed(x) * n.gate(x),
    "product": lambda n, x: F.relu6(x) * n.inner(x),
    "difference": lambda n, x: x - n.inner(x),
    "quotient": lambda n, x: x / (n.inner(x).abs() + 1),
    "extrema": lambda n, x: torch.maximum(torch.minimum(x, n.inner(x)), n.gate(x)),
    "extrema of numbers": lambda n, x: torch.maximum(torch.minimum(x, n.gamma), n.number) - torch.minimum(n.number, x),
    "logarithms": lambda _, x: (
        F.log_softmax(x, 1) + torch.logsumexp(x, 1, keepdim=True) + torch.logsumexp(x, (2, 3))[:, :, None, None]
    ),
    "several": lambda n, x: x + n.inner(x) + n.gate(x) + n.squeezed(x) + x,
    "alpha": lambda n, x: torch.sub(torch.add(x, n.inner(x), alpha=0.3), x, alpha=1.7),
    "scaled residual": lambda n, x: x + 0.1 * n.inner(x),
    "numbers": lambda _, x: (1 - (2 * x + 0.5) / 3) - 0.1,
    "number by tensor": lambda _, x: 3 / (x.square() + 1),
    "layer scale": lambda n, x: x + n.gamma * n.inner(x),
    "parameter by tensor": lambda n, x: n.gamma / (x.abs() + 1),
    "parameters": lambda n, x: (x - n.gamma) / n.gamma + n.number - (n.gamma - x) * n.number,
    "constants": lambda n, x: x * (n.gamma.exp() + n.number) + torch.ones(1) * 0.5,
    "computed number": lambda _, x: x / (x.shape[2] * x.shape[3]),
    "weights in use": lambda n, x: F.conv2d(x, n.standardized(n.free)),
    "response": lambda n, x: x + torch.addcmul(n.gamma, n.gamma, x * x.abs().mean((2, 3), keepdim=True), value=0.5),
    "mean added": lambda _, x: x + x.mean((2, 3), keepdim=True),
    "mean of rows": lambda n, x: x * n.squeezed(x).mean(1, keepdim=True),
    "silu": lambda n, x: x * x.sigmoid() + torch.sigmoid(n.inner(x)) * n.inner(x),
    "powers": lambda _, x: x**2 - 0.05 * x**4 + (x.abs() + 1) ** 0.5 + torch.rsqrt(x * x + 1) + (x.abs() + 2) ** -1,
    "negative": lambda _, x: F.relu(-x) - F.relu(x).neg(),
    "sums": lambda _, x: x * x.sum((2, 3), keepdim=True) + x.sum(1, keepdim=True),
    "maxima": lambda _, x: x * x.amax((2, 3), keepdim=True) + x.max(1, keepdim=True)[0] - x.amax(1).unsqueeze(1),
    "rows": lambda _, x: x.mean(2, keepdim=True) * x.amax(3, keepdim=True) + x.sum((1, 3))[:, None, :, None],
    "of each image": lambda _, x: x * x.mean((1, 2, 3), keepdim=True) - x.amax((1, 2, 3))[:, None, None, None],
    "softmax of rows": lambda _, x: F.softmax(x, 2) * F.softmax(x, 3) + F.softmax(x.flatten(2), 2).view_as(x),
    "maps": lambda n, x: (x + n.whole) * n.map - n.whole / 2 + (n.map - x) / (n.whole + 1),
    "selected": selected,
    "enhanced": enhanced,
    "along the channels": along,
    "normalize": lambda _, x: F.normalize(x) + F.normalize(x, p=1.0),
    "channel norm": lambda _, x: x / torch.sqrt((x - x.mean(1, keepdim=True)).pow(2).mean(1, keepdim=True) + 1e-6),
    "group": lambda n, x: F.gelu(n.group(x)),
    "instance": lambda n, x: n.instance(x) + x,
    "instance, tracked": lambda n, x: n.tracked(x),
    "of images": lambda _, x: F.layer_norm(x, x.shape[1:]),
    "of maps": lambda n, x: F.layer_norm(x, x.shape[1:], n.whole, -n.whole) + F.layer_norm(x, (9, 7), n.map, n.map),
    "of rows": lambda _, x: F.layer_norm(x, (7,)) + F.layer_norm(x.transpose(2, 3), (9,)).transpose(2, 3),
    "root mean square": lambda n, x: F.rms_norm(x.permute(0, 2, 3, 1), (CHANNELS,), n.gamma.flatten()).movedim(3, 1),
    "variances": lambda _, x: x / (x.std((2, 3), keepdim=True) + 1) + x.var(1, unbiased=False).unsqueeze(1),
    "gated units": lambda _, x: F.glu(x.repeat(1, 2, 1, 1), 1) + F.glu(torch.cat([x, x], 3)),
    "minima": lambda _, x: x * x.amin((2, 3), keepdim=True) + x.min(1, keepdim=True)[0],
    "composed": lambda _, x: F.celu(x) + F.logsigmoid(x) + F.softsign(x) + 0.1 * x.float().pow(3).type_as(x),
    "softmax": lambda n, x: x * F.softmax(n.inner(x), 1),
    "flat layer norm": lambda n, x: n.layer(x.mean((2, 3)))[:, :, None, None],
    "layer norm": lambda n, x: n.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "channels last": lambda n, x: n.last_block(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
}


def _check(model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch, interpret: Any) -> None:
    expected = Simulation(model, x)(x).numpy()
    np.testing.assert_array_equal(interpret(make_program(model, x))(x.numpy()), expected)
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(tw.compile(model, x)(x).numpy(), expected, err_msg=kernel_set)


@pytest.mark.parametrize("name", CASES)
def test_engine_is_its_simulation(name: str, monkeypatch: pytest.MonkeyPatch, interpret: Any) -> None:
    torch.manual_seed(0)
    original = Net(CASES[name]).eval()
    model = tw.convert(original, {"*": tw.Direct(bits=8)}, skips="quantized")
    tw.calibrate(model, [torch.randn(4, 3, 9, 7)])
    x = torch.randn(2, 3, 9, 7)
    _check(model, x, monkeypatch, interpret)
    with torch.no_grad():
        error = tw.compile(model, x)(x) - original(x)
        assert 10 * (original(x).square().mean() / error.square().mean()).log10() > 20


@pytest.mark.parametrize("bits", [12, 32])
def test_other_widths(bits: int) -> None:
    """Words, and a float network, which is near its simulation."""
    torch.manual_seed(0)
    model = tw.convert(Net(CASES["gate of channels"]).eval(), {"*": tw.Direct(bits=bits)})
    tw.calibrate(model, [torch.randn(4, 3, 9, 7)])
    x = torch.randn(2, 3, 9, 7)
    difference = tw.compile(model, x)(x) - Simulation(model, x)(x)
    assert float(difference.abs().max()) <= (1e-5 if bits == 32 else 0)


@given(
    channels=st.integers(1, 40), height=st.integers(1, 6), width=st.integers(1, 6),
    ones=st.tuples(*[st.sampled_from(["x", "y", "none"])] * 3), kind=st.sampled_from(["add", "sub", "mul", "div"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_every_broadcast(channels: int, height: int, width: int, ones: tuple[str, ...], kind: str) -> None:
    """Each extent is 1 in the first tensor, in the second one, or in none."""

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            z: Tensor = getattr(torch, kind)(x, y)
            return z

    whole = (channels, height, width)
    x, y = (
        torch.rand(2, *(1 if one == which else extent for one, extent in zip(ones, whole, strict=True))) + 0.5
        for which in ("x", "y")
    )
    found = tw.compile(Two(), (x, y))(x, y)
    np.testing.assert_array_equal(found.numpy(), getattr(torch, kind)(x, y).numpy())


@given(channels=st.integers(1, 70), height=st.integers(1, 5), width=st.integers(2, 5))
@settings(max_examples=15, deadline=None)
def test_norms_of_every_shape(channels: int, height: int, width: int) -> None:
    class Norms(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = F.group_norm(x, channels // 2 if channels % 2 == 0 else 1)
            return F.softmax(x * x.sum((2, 3), keepdim=True), 1) + x.mean(1, keepdim=True) + F.instance_norm(x)

    x = torch.randn(2, channels, height, width) + 1
    expected = Simulation(Norms(), x)(x)
    np.testing.assert_array_equal(tw.compile(Norms(), x)(x).numpy(), expected.numpy())
    np.testing.assert_allclose(expected.numpy(), Norms()(x).numpy(), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("function", "kinds"),
    [
        (CASES["scaled residual"], ["direct", "eltwise"]),
        (lambda n, x: sum([x, n.inner(x)]) * 1.0, ["direct"]),
        (lambda n, x: x - n.inner(x), ["direct", "binary"]),
        (lambda _, x: 2 * x + 1, ["eltwise"]),
    ],
)
def test_sums_end_the_operation_before_them(function: Any, kinds: list[str]) -> None:
    operations = make_program(Net(function).eval(), torch.zeros(1, 3, 9, 7)).operations
    assert [operation["op"] for operation in operations] == ["input", "direct", *kinds, "direct", "output"]


REFUSED: dict[str, tuple[Callable[[Any, Tensor], Tensor], str]] = {
    "exponent": (lambda _, x: x**3.5, "exponent 3.5; allowed: 1, 2"),
    "rounded": (lambda _, x: torch.div(x, 2, rounding_mode="floor"), "rounds by 'floor'"),
    "largest of all": (lambda _, x: x * x.max(), "over all values"),
    "order": (lambda _, x: F.normalize(x, p=3.0), "order 3"),
    "softmax of images": (lambda _, x: F.softmax(x, 0), "over the images"),
    "layer norm of images": (lambda _, x: F.layer_norm(x.unsqueeze(1), (9, 7))[:, 0], "over the last 2 axes"),
    "least of all": (lambda _, x: x * x.min(), "over all values"),
    "celu": (lambda _, x: F.celu(x, 2.0), "alpha 2.0; allowed: 1"),
    "double": (lambda _, x: x.double().float(), "gives torch.float64; allowed: torch.float32"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served(name: str) -> None:
    function, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        tw.compile(Net(function).eval(), torch.zeros(1, 3, 9, 7))
