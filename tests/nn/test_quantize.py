"""A tensor on one grid for all its readers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tilewise.nn import Conv2d, Quantize
from tilewise.quant import Direct


def learned(x: torch.Tensor, bits: int = 8) -> Quantize:
    module = Quantize(bits).train()
    module(x)
    return module.eval()


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_values_are_on_the_grid_and_stay_there(bits: int, signed: bool) -> None:
    x = torch.randn(2, 3, 8, 8)
    x = x if signed else x.relu()
    module = learned(x, bits)
    y = module(2 * x)
    step, low, high = module.range.grid()
    q = torch.round(y / step)
    assert (q * step == y).all()
    assert (q.min() >= low) & (q.max() == high)
    assert (module(y) == y).all()


def test_it_learns_in_training_only_and_passes_gradients_within_its_range() -> None:
    x = torch.randn(4, 8)
    module = learned(x)
    before = module.range.absmax.clone()
    wide = (3 * x).requires_grad_()
    module(wide).sum().backward()
    assert (module.range.absmax == before).all()
    assert wide.grad is not None
    assert ((wide.grad == 0) == (wide.detach().abs() > before + module.range.grid()[0] / 2)).all()
    module.train()(3 * x)
    assert module.range.absmax > before


def test_a_convolution_that_shares_the_range_reads_the_same_integers_and_leaves_it_alone() -> None:
    module = Quantize()
    conv = Conv2d.from_conv(nn.Conv2d(3, 4, 3), Direct())
    conv.input_range, conv.input_is_quantized = module.range, True
    pair = nn.Sequential(module, conv).train()
    x = torch.randn(2, 3, 8, 8)
    pair(x)
    assert int(module.range.batches) == 1
    y = module.eval()(x)
    q, step = conv.eval().quantized("input_range", y)
    assert (q * step == y).all()
    twin = copy.deepcopy(pair)
    assert twin[1].input_range is twin[0].range
    assert (twin(x) == pair(x)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 1}, "bits is 1; allowed: 2 to 16"),
        ({"bits": 32}, "bits is 32; allowed: 2 to 16"),
        ({"quantizer": "none"}, "quantizer is 'none'; allowed: paper, tap"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantize(**arguments)


def test_unused() -> None:
    with pytest.raises(RuntimeError, match="Quantize has no range yet"):
        Quantize().eval()(torch.zeros(1))
    assert repr(Quantize(4)).startswith("Quantize(\n  4 bits")
