"""What the engine lacks is refused with one error that names it, its place and what is allowed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.nn import Quantize

X = torch.zeros(2, 4, 8, 8)


class Net(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.linear = nn.Linear(8, 8)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.register_buffer("constant", torch.ones(1, 4, 1, 1))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))

    def forward(self, x: Tensor) -> Any:
        return self.function(self, self.inner(x))


CASES: dict[str, tuple[Callable[[Any, Tensor], Any], str]] = {
    "unknown": (lambda _, x: torch.digamma(x), r"digamma in the model's forward .*not supported; .*avg_pool2d"),
    "in a module": (lambda n, x: torch.sin(n.inner(x)), "sin"),
    "weights": (lambda _, x: F.linear(x.mean((2, 3)), x.mean((2, 3))), "weights that the network computes"),
    "images mixed": (lambda _, x: x.view(1, 8, 8, 8), "stay the first axis"),
    "cat of images": (lambda _, x: torch.cat([x, x]), "cat .* is along the images; allowed: another axis"),
    "axes cut": (lambda _, x: x.permute(0, 2, 1, 3)[:, :6].reshape(2, 4, 48), r"gives the shape \(N, 4, 48\) to"),
    "rolled far": (lambda _, x: x.roll(4, 1), "is by 4 along axis 1; allowed: less than the axis has"),
    "rolled flat": (lambda _, x: x.roll(3), "is of the flattened tensor; allowed: along axes"),
    "repeated flat": (lambda _, x: x.repeat_interleave(2).view(4, 4, 8, 8), "repeat_interleave"),
    "more images": (lambda _, x: x.repeat(2, 1, 1, 1), r"repeats images or adds axes: \[2, 1, 1, 1\]"),
    "picked by two": (lambda _, x: x[:, [0, 1], [1, 0]], "picks along 2 axes at once; allowed: 1"),
    "nothing around": (lambda _, x: F.pad(x, (1, 1), value=float("nan")), "puts nan around; allowed: numbers"),
    "images around": (lambda _, x: F.pad(x, (0,) * 7 + (1,), value=1.0), "is along the images"),
    "dilated pooling": (lambda _, x: F.max_pool2d(x, 2, dilation=2), "dilation"),
    "mean of all": (lambda _, x: x.mean(), "over the axes"),
    "indices": (lambda _, x: F.adaptive_max_pool2d(x, 2, return_indices=True)[1], "takes result 1"),
    "limits": (lambda _, x: x.clamp(2, 1), "limits 2 and 1; allowed: numbers in order"),
    "tensor limits": (lambda n, x: torch.clamp(x, min=n.constant), "clamp"),
    "dropout": (lambda _, x: F.dropout(x, 0.5), "drops values in evaluation"),
    "batch statistics": (lambda n, x: n.norm(x), "statistics of the batch; allowed: running"),
    "batch statistics after all": (
        lambda n, x: F.batch_norm(x, n.mean, n.var, training=True),
        "statistics of the batch; allowed: running",
    ),
    "another type": (lambda _, x: x.mean((2, 3), dtype=torch.float64), "is in torch.float64; allowed"),
    "no input": (lambda n, _: n.constant, "result 'output' does not depend on its input"),
    "nothing": (lambda _, x: {"y": x, "more": None}, "result 'more' is None; allowed: tensors"),
    "a number": (lambda _, x: [x, x.shape[2]], "result 'output_1' is sym_size_int.*; allowed: tensors"),
    "a text": (lambda _, x: (x, "y"), "result 'output_1' is 'y'; allowed: tensors"),
    "one name twice": (lambda _, x: {"a": [x, x], "a_0": x}, "two of the model's results would have the name 'a_0'"),
    "control flow": (lambda _, x: x if x.sum() > 0 else -x, "can not export the model for an input of shape"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_operations(case: str) -> None:
    function, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        tw.compile(Net(function), X)


def test_the_place_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x)

    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential())
    model[1].add_module("odd", Odd())
    with pytest.raises(ValueError, match=r"sin in module '1\.odd' \(test_refusals\.py:\d+: return torch\.sin\(x\)\)"):
        tw.compile(model, X)


LAYERS: dict[str, tuple[nn.Conv2d, Any, str]] = {
    "bits": (nn.Conv2d(4, 4, 3), tw.Direct(bits=16), "with 16 bits its sums could reach .*; at most 14 bits would do"),
    "fast bits": (nn.Conv2d(9, 4, 3), tw.Winograd("F4", bits=16), "with 16 bits its sums could reach .*; at most 1"),
    "float transforms": (
        nn.Conv2d(4, 4, 5),
        tw.Winograd("F6", transforms="learned", bits=10),
        r"bits is 10; with learned transforms of F6 the engine allows 2 to 8",
    ),
    "quantizer": (nn.Conv2d(4, 4, 3), tw.Direct(quantizer="paper"), "quantizer is 'paper'; the engine allows 'tap'"),
    "products": (nn.Conv2d(4, 4, 3), tw.Winograd("F4", hadamard_bits=8), "hadamard_bits is 8; the engine allows None"),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers(case: str) -> None:
    conv, spec, message = LAYERS[case]
    x = torch.randn(2, conv.in_channels, 8, 8)
    model = tw.calibrate(tw.convert(nn.Sequential(nn.Sequential(conv)), {"*": spec}), [x])
    with pytest.raises(ValueError, match=rf"layer '0\.0': {message}"):
        tw.compile(model, x)


@pytest.mark.parametrize("spec", [tw.Direct(bits=16), tw.Winograd("F2", bits=16)], ids=str)
def test_the_width_that_would_do_does(spec: Any) -> None:
    """Weights of ordinary layers allow 11 to 13 bits; the error says which, and holds its word."""
    net, x = nn.Sequential(nn.Conv2d(24, 8, 3)), torch.randn(1, 24, 8, 8)
    with pytest.raises(ValueError, match="bits would do") as refused:
        tw.compile(tw.calibrate(tw.convert(net, {"*": spec}), [x]), x)
    found = re.search(r"at most (\d+) bits", str(refused.value))
    assert found is not None
    fitting = int(found[1])
    assert 8 < fitting < 16
    tw.compile(tw.calibrate(tw.convert(net, {"*": dataclasses.replace(spec, bits=fitting)}), [x]), x)
    with pytest.raises(ValueError, match="bits would do"):
        tw.compile(tw.calibrate(tw.convert(net, {"*": dataclasses.replace(spec, bits=fitting + 1)}), [x]), x)


def test_unsigned_grids_of_16_bits() -> None:
    model = tw.calibrate(tw.convert(nn.Sequential(nn.Conv2d(4, 4, 1)), {"*": tw.Direct(bits=16)}), [X + 1])
    with pytest.raises(ValueError, match=r"layer '0': its inputs are never negative .* allows 32767, that is, 15"):
        tw.compile(model, X)


def test_what_was_never_calibrated() -> None:
    model = tw.convert(nn.Sequential(nn.Conv2d(4, 4, 3)), {"*": tw.Direct()})
    with pytest.raises(ValueError, match="layer '0': has no input range yet; calibrate"):
        tw.compile(model, X)
    with pytest.raises(ValueError, match="layer '0' has no range yet"):
        tw.compile(nn.Sequential(Quantize()), X)


def test_examples() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 3))
    for example, error, message in (
        ("x", TypeError, "example is str; allowed: a torch Tensor or a numpy array"),
        ([[1.0]], TypeError, r"example\[0\] is list; allowed: a torch Tensor or a numpy array"),
        ({"x": 1}, TypeError, r"example\['x'\] is int; allowed: a torch Tensor or a numpy array"),
        ((), ValueError, "example is empty; allowed: one tensor for each input"),
        ((X, X[:1]), ValueError, "example has 2, 1 images; allowed: as many in all tensors"),
        ((X, X), ValueError, "can not export the model for an input of shape"),
        ({"other": X}, ValueError, "can not export the model for an input of shape"),
        (X.double(), TypeError, "example is torch.float64; allowed: torch.float32"),
        (X[0], ValueError, r"module '0' reads a tensor of shape \(N, 8, 8\); allowed: \(N, C, H, W\)"),
        (X[0, 0, 0], ValueError, r"example has shape \(8,\); allowed: \(N, C, H, W\), \(N, C, W\) or \(N, C\)"),
        (X[:0], ValueError, r"example has shape \(0, 4, 8, 8\)"),
        (np.zeros((1, 3, 8, 8), np.float32), ValueError, "can not export the model for an input of shape"),
    ):
        with pytest.raises(error, match=message):
            tw.compile(model, example)
    with pytest.raises(ValueError, match=r"weights are torch.float64; the engine allows torch.float32|can not export"):
        tw.compile(model.double(), X)
