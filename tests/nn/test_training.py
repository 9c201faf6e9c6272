"""Gradients through the quantized pipeline, ranges, and the states a layer can be in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tilewise.nn import Conv2d, WinogradConv2d, native
from tilewise.nn.stages import Tiling
from tilewise.quant import Direct, Winograd


def tiles_of(x: Tensor, tiling: Tiling) -> Tensor:
    """All tiles (N, C, rows, cols, t, t), by slicing."""
    (ph, pw), (rows, cols), m, t = tiling.padding, tiling.grid, tiling.m, tiling.t
    canvas = nn.functional.pad(x, (pw, pw + t * m, ph, ph + t * m))
    pieces = [canvas[:, :, i * m : i * m + t, j * m : j * m + t] for i in range(rows) for j in range(cols)]
    return torch.stack(pieces, 2).unflatten(2, (rows, cols))


def straight_through(x: Tensor, rounded: Tensor, low: float, high: float, *, clip: bool) -> Tensor:
    """Clamp and round with the gradient of clamp (or of nothing), by plain autograd."""
    through = x.clamp(low - 0.5, high + 0.5) if clip else x
    return through + (rounded.clamp(low, high) - through).detach()


def plain_forward(layer: WinogradConv2d, x: Tensor) -> Tensor:
    """The layer's formula with plain autograd operations: slow, readable, memory-hungry."""
    spec, rules = layer.spec, layer.spec.rules
    at, g, bt = layer.transforms()
    q, step = layer.quantized("input_range", x)
    tiling = layer.tiling(x)
    mult = layer.v_multiplier(step)
    u, scale = layer.policy.transformed_weights(layer, g, step / mult)
    n, (low, high) = layer.algorithm.products, rules.limits(spec.bits)
    v = torch.einsum("ai,ncyxij,bj->abncyx", bt, tiles_of(q, tiling), bt).flatten(0, 1)  # (n*n, N, C, rows, cols)
    v = v * mult.view(len(mult), 1, -1, 1, 1)
    v = straight_through(v, torch.floor(v + 0.5), low, high, clip=rules.clip_gradient)
    product = torch.einsum("tkc,tncyx->tnkyx", u, v) * scale.view(len(scale), 1, -1, 1, 1)
    if spec.product_bits != 32:
        product_step, _, _ = layer.get_range("product_range").grid()
        p_low, p_high = rules.limits(spec.product_bits)
        scaled = product / product_step
        product = straight_through(scaled, torch.floor(scaled + 0.5), p_low, p_high, clip=rules.clip_gradient)
        product = product * product_step
    y = torch.einsum("ia,abnkyx,jb->nkyixj", at, product.unflatten(0, (n, n)), at)
    h, w = tiling.out
    y = y.flatten(2, 3).flatten(3, 4)[:, :, :h, :w]
    y = y if layer.bias is None else y + layer.bias.view(1, -1, 1, 1)
    return layer.policy.output(layer, y)


SPECS: dict[str, Winograd] = {
    "tap static": Winograd("F4"),
    "tap learned": Winograd("F4", transforms="learned"),
    "tap SFC learned": Winograd("SFC6", transforms="learned"),
    "tap 5x5 learned": Winograd("F2", transforms="learned"),
    "tensor learned": Winograd("F4", scales="tensor", transforms="learned"),
    "M quantized": Winograd("F4", hadamard_bits=6, transforms="learned"),
    "paper static": Winograd("F4", quantizer="paper", scales="tensor"),
    "paper learned": Winograd("F2", quantizer="paper", scales="tensor", transforms="learned"),
}


@pytest.mark.parametrize("name", SPECS)
def test_value_and_gradients_equal_plain_autograd(name: str) -> None:
    r = 5 if "5x5" in name else 3
    conv = nn.Conv2d(5, 6, r, padding=r // 2).double()
    layer = WinogradConv2d.from_conv(conv, SPECS[name]).double().train()
    for _ in range(3):  # ranges from training batches
        layer(torch.randn(4, 5, 11, 9, dtype=torch.float64))
    layer.eval()
    # Some values beyond every range, so that clipping matters.
    x = 2 * torch.randn(4, 5, 11, 9, dtype=torch.float64)
    results = []
    for run in (layer, lambda inputs: plain_forward(layer, inputs)):
        inputs = x.clone().requires_grad_()
        y = run(inputs)
        weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
        grads = torch.autograd.grad((y * weights).sum(), [inputs, *layer.parameters()])
        results.append((y, *grads))
    for mine, plain in zip(*results, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-8, atol=1e-8)


def test_only_an_image_sized_tensor_is_kept_for_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "extension", lambda: None)  # test_native.py has the kernels
    layer = WinogradConv2d.from_conv(nn.Conv2d(16, 16, 3, padding=1), Winograd("F4")).train()
    x = torch.randn(8, 16, 16, 16, requires_grad=True)
    layer(x)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    # The quantized input, one byte per input for what was clipped, and U (36 of 9 weights) a few times.
    assert sum(kept.values()) < x.nbytes * 1.25 + layer.weight.nbytes * 4 * 4 + 4096


@pytest.mark.parametrize("spec", [Direct(), Winograd("F4"), Direct(quantizer="paper"), SPECS["paper static"]])
def test_an_uncalibrated_layer_says_so(spec: Any) -> None:
    kind = Conv2d if isinstance(spec, Direct) else WinogradConv2d
    layer = kind.from_conv(nn.Conv2d(4, 4, 3, padding=1), spec).eval()
    with pytest.raises(RuntimeError, match=r"\(4, 4\) has no input range yet; calibrate"):
        layer(torch.zeros(1, 4, 8, 8))


def test_training_ranges_are_running_and_eval_leaves_them_alone() -> None:
    layer = WinogradConv2d.from_conv(nn.Conv2d(4, 4, 3, padding=1), Winograd("F4")).train()
    layer(torch.ones(2, 4, 8, 8))
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    layer.eval()(3 * torch.ones(2, 4, 8, 8))
    assert all((layer.state_dict()[k] == v).all() for k, v in before.items())
    layer.train()(3 * torch.ones(2, 4, 8, 8))
    assert layer.get_range("input_range").absmax > before["input_range.absmax"]
    assert (layer.get_range("v_range").absmax >= before["v_range.absmax"]).all()


def test_non_negative_inputs_use_the_unsigned_grid_until_a_negative_one_comes() -> None:
    layer = Conv2d.from_conv(nn.Conv2d(4, 4, 3), Direct()).train()
    layer(torch.rand(2, 4, 8, 8))
    assert float(layer.get_range("input_range").grid()[2]) == 255
    layer(torch.randn(2, 4, 8, 8))
    assert float(layer.get_range("input_range").grid()[1]) < 0
    for _ in range(20):
        layer(-torch.rand(2, 4, 8, 8))
    assert [float(limit) for limit in layer.get_range("input_range").grid()[1:]] == [-127, 127]


def test_empty_batch_in_training_changes_no_range() -> None:
    for spec in (Winograd("F4"), SPECS["paper static"]):
        layer = WinogradConv2d.from_conv(nn.Conv2d(4, 6, 3, padding=1), spec).train()
        layer(torch.randn(2, 4, 8, 8))
        before = layer.get_range("v_range").absmax.clone()
        x = torch.zeros(0, 4, 8, 8, requires_grad=True)
        y = layer(x)
        assert y.shape == (0, 6, 8, 8)
        y.sum().backward()
        assert (layer.get_range("v_range").absmax == before).all()


@pytest.mark.parametrize(("quantizer", "weights"), [("tap", "channel"), ("paper", "tensor")])
def test_direct_layer_is_near_the_float_one(quantizer: Any, weights: str) -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1, stride=2, dilation=2, groups=2, padding_mode="reflect")
    layer = Conv2d.from_conv(conv, Direct(quantizer=quantizer)).train()
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    y, exact = layer(x), conv(x)
    assert (y - exact).square().mean() < exact.square().mean() * 1e-3
    y.square().sum().backward()
    assert layer.weight.grad is not None
    _, step = layer.policy.weights(layer)
    assert step.numel() == (8 if weights == "channel" else 1)


@pytest.mark.parametrize("bits", [8, 32])
def test_first_use_in_inference_mode_does_not_spoil_training(bits: int) -> None:
    layer = WinogradConv2d.from_conv(nn.Conv2d(4, 4, 3), Winograd("F4", bits=bits))
    x = torch.randn(1, 4, 9, 9)
    layer.calibrating = True
    with torch.inference_mode():
        layer.eval()(x)
    layer.calibrating = False
    layer.train()(x).sum().backward()
    assert layer.weight.grad is not None


def test_float_direct_layer_is_conv2d() -> None:
    conv = nn.Conv2d(4, 4, 3)
    x = torch.randn(1, 4, 9, 9)
    assert (Conv2d.from_conv(conv, Direct(bits=32))(x) == conv(x)).all()
    assert "float" in repr(Conv2d.from_conv(conv, Direct(bits=32)))
