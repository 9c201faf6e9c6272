"""Training on the native kernels: the integers of the torch layers, their gradients, and who is served."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tilewise import _native
from tilewise.nn import Conv2d, Quantize, WinogradConv2d, native
from tilewise.quant import QUANTIZERS, Direct, QuantGrid, Winograd
from tilewise.quant.fake import Range, quantize

ISAS = [entry["name"] for entry in _native.kernel_sets() if entry["supported"] and entry["name"] != "reference"]
# Images, channels, filters, height, width: whole vectors and not, one tile, several panels, cut tiles.
SHAPES = [(2, 16, 16, 8, 12), (3, 5, 7, 9, 11), (2, 24, 70, 5, 4), (1, 37, 33, 7, 1), (1, 4, 4, 1, 1)]


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWISE_ISA", request.param)


def trained(name: str, shape: tuple[int, ...], *, bias: bool = True, **spec: Any) -> tuple[WinogradConv2d, Tensor]:
    """A layer that has seen some batches, its learned transforms moved, and a batch that leaves its ranges."""
    n, c, k, h, w = shape
    layer = WinogradConv2d.from_conv(nn.Conv2d(c, k, 3, padding=1, bias=bias), Winograd(name, **spec)).train()
    with torch.no_grad():
        for start in layer.structure.names:
            layer.get_parameter(start).add_(0.1 * torch.randn_like(layer.get_parameter(start)))
    for _ in range(3):
        layer(torch.randn(n, c, h, w))
    return layer, 1.5 * torch.randn(n, c, h, w)


def step(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What a training step gives: output, gradients, ranges."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    grads = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return {"y": y.detach(), "x": x.grad, **grads, **{name: b.clone() for name, b in layer.named_buffers()}}


def in_torch(layer: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The same step of a copy of the layer without the native extension."""
    twin = copy.deepcopy(layer)
    with monkeypatch.context() as patch:
        patch.setattr(native, "extension", lambda: None)
        return step(twin, x)


CANCELLING = {"points", "row_exponents", "column_exponents"}
"""Their gradients are small differences of large sums, as scalings of one matrix are undone by another."""


def assert_near(mine: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    assert mine.keys() == plain.keys()
    for name, value in plain.items():
        if value.is_floating_point():
            error = (mine[name] - value).norm() / value.norm().clamp_min(1e-6)
            assert error < (5e-3 if name in CANCELLING else 2e-5), name
        else:
            assert (mine[name] == value).all(), name


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", ["F2", "F4", "F6"])
@pytest.mark.parametrize("transforms", ["static", "learned", "sparse", "convolution"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_equals_that_in_torch(
    name: str, transforms: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, x = trained(name, shape, transforms=transforms)
    assert layer.unserved(x) == ""
    plain = in_torch(layer, x, monkeypatch)
    assert_near(step(layer, x), plain)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("name", ["F2", "F4", "F6"])
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("signed", [True, False])
def test_every_integer_equals_that_in_torch(
    name: str, bits: int, signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ``A^T`` that picks single taps shows M; every pair of rows and columns is picked once."""
    layer, x = trained(name, (2, 19, 18, 7, 6), bits=bits, transforms="learned")
    x = x if signed else x.abs()
    m, n = layer.AT.shape
    for pair in itertools.combinations(range(n), 2):
        with torch.no_grad():
            layer.AT.zero_()[torch.arange(m), torch.tensor(pair).repeat(m // 2)] = 1
        plain = in_torch(layer, x, monkeypatch)
        found = copy.deepcopy(layer)(x)
        assert (found == plain["y"]).all(), pair


def test_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = trained("F4", SHAPES[0], transforms="learned")
    layer.balance.copy_(torch.rand_like(layer.balance) + 0.5)
    plain = in_torch(layer, x, monkeypatch)
    assert_near(step(layer, x), plain)


def test_ranges_move_as_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first batch on: measured first; the later ones are quantized by the range from before."""
    results = []
    for extension in (native.extension(), None):
        monkeypatch.setattr(native, "extension", lambda chosen=extension: chosen)
        torch.manual_seed(1)
        layer = WinogradConv2d.from_conv(nn.Conv2d(6, 5, 3, padding=1), Winograd("F4")).train()
        outputs = [layer(torch.randn(2, 6, 8, 8).relu() * (i + 1)) for i in range(3)]
        results.append((torch.stack(outputs), *layer.buffers()))
    for mine, plain in zip(*results, strict=True):
        torch.testing.assert_close(mine, plain)


def test_gradient_of_the_output_transform_is_the_numerical_one() -> None:
    """The output is quadratic in ``A^T``, so that central differences are exact."""
    layer, x = trained("F4", (2, 6, 5, 7, 6), transforms="learned")
    step(copy.deepcopy(layer), x)
    weights = torch.linspace(-1, 1, layer(x).numel()).double()

    def loss(moved: Tensor) -> float:
        twin = copy.deepcopy(layer)
        twin.AT.data += moved
        return float((twin(x).double().flatten() * weights).sum().detach())

    grad = step(copy.deepcopy(layer), x)["AT"]
    for i, j in itertools.product(range(4), range(6)):
        moved = torch.zeros(4, 6)
        moved[i, j] = 0.5
        assert abs((loss(moved) - loss(-moved)) - float(grad[i, j])) < 1e-3 * float(grad.abs().max())


@pytest.mark.parametrize("frozen", [["weight"], ["AT", "G", "BT"], ["AT"], ["weight", "AT", "G", "BT", "bias"], []])
@pytest.mark.parametrize("needs_input", [True, False])
def test_only_wanted_gradients(frozen: list[str], needs_input: bool) -> None:
    layer, x = trained("F4", SHAPES[1], transforms="learned")
    whole = step(copy.deepcopy(layer), x)
    for name in frozen:
        layer.get_parameter(name).requires_grad_(requires_grad=False)
    x.requires_grad_(requires_grad=needs_input)
    y = layer(x)
    if y.requires_grad:
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    found = {"x": x.grad, **{name: p.grad for name, p in layer.named_parameters()}}
    for name, grad in found.items():
        wanted = needs_input if name == "x" else name not in frozen
        assert (grad is not None) == wanted
        if grad is not None:
            torch.testing.assert_close(grad, whole[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["channels last", "transposed", "sliced", "expanded"])
def test_any_memory_format(layout: str) -> None:
    layer, x = trained("F4", (4, 16, 8, 8, 8), transforms="learned")
    layer_there = copy.deepcopy(layer)
    if layout == "channels last":
        layer_there.to(memory_format=torch.channels_last)
        there = x.contiguous(memory_format=torch.channels_last)
    else:
        there = {
            "transposed": x.transpose(2, 3).contiguous().transpose(2, 3),
            "sliced": torch.randn(4, 32, 8, 16)[:, ::2, :, ::2].copy_(x),
            "expanded": x[:1].expand(4, -1, -1, -1),
        }[layout]
        x = there.contiguous()
    mine, plain = step(layer_there, there), step(layer, x)
    assert mine["y"].is_contiguous(memory_format=torch.channels_last)
    for name, value in plain.items():
        assert (mine[name] == value).all(), name


def test_the_output_may_be_changed_in_place() -> None:
    layer, x = trained("F4", SHAPES[0])
    plain = step(nn.Sequential(copy.deepcopy(layer), nn.ReLU()), x)
    assert (step(nn.Sequential(layer, nn.ReLU(inplace=True)), x)["x"] == plain["x"]).all()


def test_threads_change_no_integer_and_the_same_number_no_bit() -> None:
    layer, x = trained("F4", (5, 20, 24, 10, 9), transforms="learned")
    results = []
    for threads in (1, 2, 2, 7):
        torch.set_num_threads(threads)
        results.append(step(copy.deepcopy(layer), x))
    for result in results[1:]:
        assert (result["y"] == results[0]["y"]).all()
        assert_near(result, results[0])
    assert all((results[1][name] == results[2][name]).all() for name in results[1])


def test_nothing_but_the_input_and_u_in_bytes_is_kept() -> None:
    layer, x = trained("F4", (8, 16, 16, 16, 16), transforms="learned")
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in {x.data_ptr(), layer.weight.data_ptr()}:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    assert sum(kept.values()) < 36 * 16 * (16 + 4 + 4) + 4096


def test_what_is_not_a_number_stays_so() -> None:
    layer, x = trained("F4", SHAPES[0])
    x[0, 0, 0, 0] = torch.nan
    assert layer(x).isnan().any()
    assert layer.get_range("input_range").absmax.isnan()


def test_an_empty_batch() -> None:
    layer, x = trained("F4", SHAPES[0])
    before = copy.deepcopy(layer.state_dict())
    x = x[:0].requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.shape == (0, 16, 8, 12)
    assert x.grad is not None
    assert all((before[name] == value).all() for name, value in layer.state_dict().items())


def test_gradients_of_a_layer_whose_ranges_are_frozen() -> None:
    """In evaluation the bitwise path in torch runs, and is differentiable; ranges stay."""
    layer, x = trained("F4", SHAPES[1], transforms="learned")
    layer.eval()
    before = layer.get_range("input_range").absmax.clone()
    found = step(layer, x)
    assert {"x", "weight", "bias", "AT", "G", "BT"} <= found.keys()
    assert (found["input_range.absmax"] == before).all()


@pytest.mark.parametrize("kind", ["direct", "fast"])
def test_mixed_devices_and_types(kind: str) -> None:
    spec = Direct() if kind == "direct" else Winograd("F4")
    layer = (Conv2d if kind == "direct" else WinogradConv2d).from_conv(nn.Conv2d(4, 4, 3), spec).train()  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match=r"input is on meta; the layer's weights are on cpu"):
        layer(torch.zeros(1, 4, 8, 8, device="meta"))
    with pytest.raises(ValueError, match=r"input is torch.float16; the layer's weights are torch.float32"):
        layer(torch.zeros(1, 4, 8, 8, dtype=torch.float16))


REASONS = {
    "bits": (Winograd("F4", bits=12), "it has 12 bits"),
    "paper": (Winograd("F4", quantizer="paper", scales="tensor"), "its quantizer is 'paper'"),
    "tensor": (Winograd("F4", scales="tensor"), "its scales are per tensor"),
    "product": (Winograd("F4", hadamard_bits=8), "it quantizes M"),
    "algorithm": (Winograd("SFC6"), "the kernels lack SFC6(7, 3)"),
}


@pytest.mark.parametrize("case", REASONS)
def test_why_a_layer_is_not_served(case: str) -> None:
    spec, reason = REASONS[case]
    layer = WinogradConv2d.from_conv(nn.Conv2d(4, 4, 3), spec).train()
    assert reason in layer.unserved(torch.zeros(1, 4, 8, 8))


def test_why_an_input_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "the kernels lack SFC6" in WinogradConv2d(4, 4, 3, spec=Winograd("SFC6")).unserved(torch.ones(1, 4, 8, 8))
    layer, x = trained("F4", SHAPES[0])
    assert layer.unserved(x) == ""
    assert "evaluation" in layer.eval().unserved(x)
    layer.train()
    assert layer.unserved(x[:0]) == "it is empty"
    assert "float64" in copy.deepcopy(layer).double().unserved(x.double())
    monkeypatch.setenv("TILEWISE_ISA", "reference")
    assert layer.unserved(x) == native.unserved(x) == "the kernel set reference does not train"
    monkeypatch.setattr(native, "extension", lambda: None)
    assert native.unserved(x) == "the native extension is not built"


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("count", [1, 15, 16, 1000])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2, 8, 16])
def test_quantize_equals_that_in_torch(count: int, signed: bool, bits: int) -> None:
    source = Range((), QUANTIZERS["tap"], bits)
    x = torch.randn(count) if signed else torch.rand(count)
    source.observe(x / 2, running=True)
    assert source.numbers() == QuantGrid.of(source)
    results = []
    for run in (
        lambda x: native.quantize(x, source.numbers(), 1.0),
        lambda x: (quantize(x, *source.grid(), clip_gradient=True), tuple(map(float, torch.aminmax(x.detach())))),
    ):
        leaf = x.clone().requires_grad_()
        q, extremes = run(leaf)
        (q * torch.linspace(-1, 1, count)).sum().backward()
        results.append((q.detach(), leaf.grad, extremes))
    (q, dx, extremes), (wanted, wanted_dx, wanted_extremes) = results
    assert (q == wanted).all()
    assert extremes == wanted_extremes
    torch.testing.assert_close(dx, wanted_dx)


def test_readers_of_a_quantize_share_its_grid_of_the_batch() -> None:
    module = Quantize()
    conv = Conv2d.from_conv(nn.Conv2d(3, 4, 3), Direct())
    conv.input_range, conv.input_is_quantized = module.range, True
    pair = nn.Sequential(module, conv).train()
    pair(torch.randn(2, 3, 8, 8))
    on_grid = module(3 * torch.randn(2, 3, 8, 8))
    real, _ = conv.quantized("input_range", on_grid, real=True)
    torch.testing.assert_close(real, on_grid)
    assert module.eval().range.taken is None


def test_native_shapes_are_checked() -> None:
    layer, x = trained("F4", SHAPES[1])
    numbers = native.Numbers(
        grid=QuantGrid.of_step(0.1, -127, 127),
        v_range=layer.get_range("v_range").absmax,
        balance=layer.balance,
        fraction_bits=15,
        limit=127,
        padding=(1, 1),
    )
    at, g, bt = (matrix.detach() for matrix in layer.transforms())
    for bad, message in [
        ((x[:, :4], layer.weight, None, (at, g, bt)), "x has an extent of 4 in axis 3, must be 5"),
        ((x, layer.weight, torch.zeros(3), (at, g, bt)), "bias has an extent of 3"),
        ((x, layer.weight, None, (at, g[:5], bt)), "g has an extent of 5 in axis 0, must be 6"),
        ((x, layer.weight.transpose(0, 1), None, (at, g, bt)), "weight"),
    ]:
        with pytest.raises(ValueError, match=message):
            native.fast_conv(*bad, numbers)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown kernel set none"):
        _native.trains(4, 3, 6, "none")
