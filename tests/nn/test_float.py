"""Without quantization every algorithm is the convolution itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tilewise.algebra import algorithm, algorithm_names
from tilewise.nn import WinogradConv2d
from tilewise.quant import Winograd

CASES = [(name, r, stride) for stride in (1, 2) for r in (3, 5, 7) for name in algorithm_names(r, stride)]


def make(name: str, r: int, **kwargs: Any) -> tuple[nn.Conv2d, WinogradConv2d]:
    conv = nn.Conv2d(kwargs.pop("inputs", 3), kwargs.pop("outputs", 2), r, **kwargs)
    spec = Winograd(name, bits=32)
    return conv, WinogradConv2d.from_conv(conv, spec)


@pytest.mark.parametrize(("name", "r", "stride"), CASES)
@settings(max_examples=12)
@given(st.integers(1, 23), st.integers(1, 23), st.integers(0, 4), st.integers(0, 4), st.integers(0, 3), st.booleans())
def test_equals_conv2d(name: str, r: int, stride: int, h: int, w: int, ph: int, pw: int, n: int, bias: bool) -> None:
    conv, layer = make(name, r, stride=stride, padding=(ph, pw), bias=bias)
    x = torch.randn(n, 3, h, w)
    if h + 2 * ph < r or w + 2 * pw < r:
        with pytest.raises(ValueError, match="is smaller than the"):
            layer(x)
        return
    expected = F.conv2d(
        x.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), stride, (ph, pw)
    )
    got = layer(x)
    assert got.shape == expected.shape
    torch.testing.assert_close(layer.double()(x.double()), expected, rtol=0, atol=1e-10)
    # Rounding of each stage may grow by what the stages after it do.
    growth = layer.algorithm.growth
    bound = 3 * r * r * float(growth.input * growth.weight * growth.output) * 2**-23
    if n:
        assert (got - expected).abs().max() <= bound * x.abs().max() * conv.weight.abs().max()


@pytest.mark.parametrize("name", ["F4", "F6", "SFC6"])
def test_float_accuracy_is_that_of_float32(name: str) -> None:
    conv, layer = make(name, 3, inputs=32, outputs=16, padding=1)
    x = torch.randn(2, 32, 20, 20)
    error = (layer(x) - conv.double()(x.double())).abs().max() / conv(x.double()).abs().max()
    assert error < 2e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_named_padding(padding: str) -> None:
    conv, layer = make("F4", 3, padding=padding)
    x = torch.randn(1, 3, 9, 10)
    torch.testing.assert_close(layer(x), conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "r", "stride"),
    [("F2", 3, 1), ("F4", 3, 1), ("SFC6", 3, 1), ("F2", 5, 1), ("F4", 5, 1), ("F2", 3, 2), ("F4", 5, 2)],
)
def test_gradients_of_learned_transforms_numerically(name: str, r: int, stride: int) -> None:
    conv = nn.Conv2d(2, 2, r, padding=r // 2, stride=stride).double()
    layer = WinogradConv2d.from_conv(conv, Winograd(name, bits=32, transforms="learned"))
    names = [n for n, _ in layer.named_parameters()]
    assert set(names) == {"weight", "bias", "AT", "G", "BT"}

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> Any:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    x = torch.randn(2, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        run, (x, *(p.detach().clone().requires_grad_() for p in layer.parameters())), fast_mode=True
    )


@pytest.mark.parametrize("name", ["F2", "F4", "F6", "SFC6"])
def test_gradients_equal_those_of_conv2d(name: str) -> None:
    conv, layer = make(name, 3, padding=1)
    conv, layer = conv.double(), layer.double()
    x = torch.randn(3, 3, 11, 6, dtype=torch.float64)
    grads = []
    for module in (conv, layer):
        inputs = x.clone().requires_grad_()
        wanted = [inputs, module.weight, module.bias]
        grads.append(torch.autograd.grad(module(inputs).square().sum(), wanted))
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_static_matrices_are_rounded_once_into_each_type() -> None:
    at, g, bt = algorithm("F4").to_float("float64")
    _, layer = make("F4", 3)
    assert layer.transforms()[1].dtype == torch.float32
    for mine, theirs in zip(layer.double().transforms(), (at, g, bt), strict=True):
        assert (mine.numpy() == theirs).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 4, 8, 8), r"\(1, 4, 8, 8\); allowed: \(N, 3, H, W\)"), ((3, 8, 8), r"\(3, 8, 8\); allowed")],
)
def test_wrong_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    _, layer = make("F4", 3)
    with pytest.raises(ValueError, match=message):
        layer(torch.zeros(shape))


def test_wrong_type_is_refused() -> None:
    _, layer = make("F4", 3)
    with pytest.raises(ValueError, match=r"input is torch.float64; the layer's weights are torch.float32"):
        layer(torch.zeros(1, 3, 8, 8, dtype=torch.float64))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"stride": 3}, "stride is .3, 3."),
        ({"stride": (1, 2)}, "stride is .1, 2."),
    ],
)
def test_what_no_fast_algorithm_serves_is_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WinogradConv2d(4, 4, 3, spec=Winograd("F4"), **kwargs)


def test_channels_last_and_strided_inputs() -> None:
    conv, layer = make("F4", 3, padding=1)
    x = torch.randn(2, 3, 12, 20)
    for view in (x.to(memory_format=torch.channels_last), x[:, :, ::2, ::3], x.flip(0).transpose(2, 3)):
        torch.testing.assert_close(layer(view), conv(view), rtol=1e-4, atol=1e-5)
