"""Networks of users: every operation that is served, in the orders in which people write them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine import Engine, Program
from tilewise.engine.compiler import Simulation, make_program
from tilewise.nn import WinogradConv2d


def conv(c: int, k: int, r: int = 3, **kwargs: Any) -> nn.Conv2d:
    return nn.Conv2d(c, k, **{"kernel_size": r, "padding": r // 2, **kwargs})


class Net(nn.Module):
    """Layers by name and a forward function over them."""

    corners = False

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def residual(n: Any, x: Tensor) -> Tensor:
    x = n.act(n.bn(n.stem(x)))
    y = n.second(F.relu(n.first(x)))
    y += x
    x = n.act(y)
    return n.last(x) + n.side(x)


def dense(n: Any, x: Tensor) -> Tensor:
    a = F.relu6(n.stem(x))
    b = F.relu6(n.first(a))
    c = F.relu6(n.second(torch.cat([a, b], 1)))
    return n.last(torch.cat([a, b, c], 1))


def encoder_decoder(n: Any, x: Tensor) -> Tensor:
    a = F.relu(n.bn(n.stem(x)))
    b = F.relu(n.first(F.max_pool2d(a, 2)))
    c = F.relu(n.second(F.max_pool2d(b, 3, stride=2, padding=1)))
    b = F.relu(n.third(torch.cat([F.interpolate(c, scale_factor=2), b], 1)))
    up = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=n.corners)
    return n.last(torch.cat([up, a], 1))


def shuffled(n: Any, x: Tensor) -> Tensor:
    y = F.relu(n.first(F.relu(n.stem(x))))
    return n.last(F.pixel_shuffle(n.second(y), 2)) + F.interpolate(x, scale_factor=2, mode="nearest")


def pre_activation(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    x = x + n.first(F.relu(n.bn(x)))
    x = x + n.second(F.hardtanh(n.bn2(x), -0.5, 0.75))
    return n.head(F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1))


def pools(n: Any, x: Tensor) -> Tensor:
    x = F.relu(n.stem(x))
    a = F.avg_pool2d(x, 3, stride=2, padding=1)
    b = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False, ceil_mode=True)
    c = F.avg_pool2d(F.max_pool2d(x, 2, ceil_mode=True), (1, 1), divisor_override=3)
    y = n.first(a) + b[:, :, : a.shape[2], : a.shape[3]] + c
    y = F.relu(F.max_pool2d(y, (2, 1), stride=(1, 2)))
    z = F.adaptive_max_pool2d(n.second(y), (3, 2)).mean((2, 3), keepdim=True)
    return n.head(torch.flatten(F.adaptive_avg_pool2d(y, (2, 3)) + F.interpolate(z, size=(2, 3)), 1))


def flattened(n: Any, x: Tensor) -> Tensor:
    x = n.drop(F.relu(n.stem(x))).contiguous()
    y = F.relu(n.hidden(F.relu(x.view(x.size(0), -1))))
    return n.head(n.norm(y).clamp(min=-1)).view(-1, 6)


def moved(n: Any, x: Tensor) -> Tensor:
    x = n.stem(x)
    y = F.pad(x[:, :, 1::2, ::3], (1, 2, 0, 3, 2, 1)).clamp(-0.25, 0.5)
    y = n.first(y)
    return F.pad(F.relu(y)[:, :, 1:-1], (0, 0, 1, 1))


def twice(n: Any, x: Tensor) -> Tensor:
    """One layer in two places, with a batch norm of its own in each; and layers between which nothing is rounded."""
    x = n.shared(F.relu(n.bn(n.shared(n.stem(x)))))
    return n.pointwise(n.bn2(x))


def kinds(n: Any, x: Tensor) -> Tensor:
    x = F.relu(n.stem(x))
    x = F.relu(n.wide(x) + n.strip(x))
    x = torch.relu(n.strided(x))
    return n.valid(n.five(n.seven(x)))


def nothing_else(n: Any, x: Tensor) -> Tensor:
    return n.stem(x)


def flat_map(n: Any, x: Tensor) -> Tensor:
    return F.relu(n.stem(x)).flatten(1)


MODELS: dict[str, Callable[[], Net]] = {
    "residual": lambda: Net(
        residual, stem=conv(3, 12), bn=nn.BatchNorm2d(12), act=nn.ReLU(inplace=True), first=conv(12, 20),
        second=conv(20, 12), last=conv(12, 7, 1), side=conv(12, 7),
    ),
    "dense": lambda: Net(dense, stem=conv(3, 12), first=conv(12, 10), second=conv(22, 6), last=conv(28, 5)),
    "encoder-decoder": lambda: Net(
        encoder_decoder, stem=conv(3, 8), bn=nn.BatchNorm2d(8), first=conv(8, 12), second=conv(12, 16),
        third=conv(28, 8), last=conv(16, 2),
    ),
    "shuffled": lambda: Net(shuffled, stem=conv(3, 8), first=conv(8, 8), second=conv(8, 12), last=conv(3, 3)),
    "pre-activation": lambda: Net(
        pre_activation, stem=conv(3, 8), bn=nn.BatchNorm2d(8), first=conv(8, 8), bn2=nn.BatchNorm2d(8),
        second=conv(8, 8), head=nn.Linear(8, 4),
    ),
    "pools": lambda: Net(pools, stem=conv(3, 8), first=conv(8, 8), second=conv(8, 8), head=nn.Linear(48, 4)),
    "flattened": lambda: Net(
        flattened, stem=conv(3, 4, padding=0), drop=nn.Dropout(), hidden=nn.Linear(4 * 14 * 10, 20),
        norm=nn.BatchNorm1d(20), head=nn.Linear(20, 6, bias=False),
    ),
    "moved": lambda: Net(moved, stem=conv(3, 8), first=conv(11, 8)),
    "twice": lambda: Net(
        twice, stem=conv(3, 8), shared=conv(8, 8), bn=nn.BatchNorm2d(8, affine=False), bn2=nn.BatchNorm2d(8),
        pointwise=conv(8, 70, 1),
    ),
    "kinds": lambda: Net(
        kinds, stem=conv(3, 8), wide=conv(8, 8, dilation=2, padding=2),
        strip=conv(8, 8, kernel_size=(1, 3), padding=(0, 1)), strided=conv(8, 8, stride=(2, 1)),
        seven=conv(8, 6, 7), five=conv(6, 6, 5, padding="same"), valid=conv(6, 5, padding="valid"),
    ),
    "nothing else": lambda: Net(nothing_else, stem=conv(5, 3)),
    "flat map": lambda: Net(flat_map, stem=conv(3, 5)),
}  # fmt: skip


def trained(model: nn.Module) -> nn.Module:
    """Batch norms as training leaves them."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                if module.affine:
                    module.weight.uniform_(-1.5, 1.5)
                    module.bias.normal_(0, 0.2)
    return model.eval()


def build(name: str, corners: bool = False) -> tuple[nn.Module, Tensor]:
    model = trained(MODELS[name]())
    model.corners = corners
    channels = 5 if name == "nothing else" else 3
    return model, torch.randn(3, channels, 16, 12)


def run(program: Program, x: Tensor) -> Any:
    """What the engine makes of images, two at a time."""
    return Engine(program.to_bytes(), batch=2)(x.numpy())


def assert_same(model: nn.Module, x: Tensor, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program, interpreted and run; the simulation one by one; the model itself nearly."""
    simulated = Simulation(model, x[:1])
    expected = np.concatenate([simulated(image).numpy() for image in x.split(1)])
    with torch.no_grad():
        itself = model(x).numpy()
    assert expected.shape == itself.shape
    assert np.abs(itself - expected).mean() < 0.03 * np.abs(expected).max()
    program = make_program(model, x[:2])
    np.testing.assert_array_equal(interpret(program)(x.numpy()), expected)
    for kernel_set in ("", "portable"):
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        np.testing.assert_array_equal(run(program, x), expected)


@pytest.mark.parametrize("skips", ["float", "quantized"])
@pytest.mark.parametrize("algorithm", ["direct", "F4", "SFC6"])
@pytest.mark.parametrize("name", MODELS)
def test_to_the_bit(name: str, algorithm: str, skips: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = build(name)
    spec = tw.Direct() if algorithm == "direct" else tw.Winograd(algorithm)
    model = tw.calibrate(tw.convert(net, {"*": spec}, skips=skips), [x])
    assert_same(model, x, interpret, monkeypatch)


@pytest.mark.parametrize(
    "spec",
    [
        tw.Winograd("F4", bits=2),
        tw.Winograd("F2", bits=6),
        tw.Winograd("F4", scales="tensor"),
        tw.Winograd("F4", transforms="learned", bits=5),
        tw.Winograd("F4-textbook"),
        tw.Winograd("SFC4"),
        tw.Direct(bits=4),
        tw.Direct(bits=9),
        tw.Direct(bits=12),
        tw.Winograd("F4", bits=10),
        tw.Winograd("F2", bits=14),
        tw.Winograd("F4", transforms="learned", bits=11),
        tw.Winograd("SFC6", bits=9),
    ],
    ids=str,
)
def test_every_kind_of_spec(spec: Any, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = build("residual")
    model = tw.calibrate(tw.convert(net, {"*": spec}, skips="quantized"), [x])
    assert_same(model, x, interpret, monkeypatch)


@pytest.mark.parametrize("bits", [8, 11])
@pytest.mark.parametrize(
    ("name", "transforms"), [*itertools.product(("F2", "F4", "F6"), ("sparse", "convolution")), ("SFC6", "sparse")]
)
def test_learned_structures(
    name: str, transforms: Any, bits: int, interpret: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = build("residual")
    model = tw.convert(net, {"*": tw.Winograd(name, transforms=transforms, bits=bits)}, skips="quantized")
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, WinogradConv2d):
                for start in layer.structure.names:
                    layer.get_parameter(start).add_(torch.randn_like(layer.get_parameter(start)), alpha=0.4)
                assert not (layer.transforms()[1].numpy() == layer.algorithm.to_float("float32")[1]).all()
    assert_same(tw.calibrate(model, [x]), x, interpret, monkeypatch)


@pytest.mark.parametrize("r", [5, 7])
def test_large_kernels_by_symbolic_fourier(r: int, interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SFC12: 26 products for each dimension, the most that the kernels take."""
    torch.manual_seed(r)
    net = nn.Sequential(nn.Conv2d(4, 20, r, padding=r // 2), nn.ReLU(), nn.Conv2d(20, 5, r)).eval()
    x = torch.randn(2, 4, 25, 18)
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("SFC12")}), [x])
    assert [o["op"] for o in make_program(model, x).operations].count("fast") == 2
    assert_same(model, x, interpret, monkeypatch)


def test_balanced_channels(interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = build("residual")
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), [x])
    for layer in model.modules():
        if hasattr(layer, "balance"):
            layer.balance.copy_(layer.v_range.absmax.clamp_min(0.01).sqrt())
    assert any(array.shape[-1] > 1 for key, array in make_program(model, x).arrays.items() if key.endswith("mult"))
    assert_same(model, x, interpret, monkeypatch)


def test_aligned_corners_and_mixed_widths(interpret: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = build("encoder-decoder", corners=True)
    specs = {
        "first": tw.Winograd("F4", bits=4), "second": tw.Direct(bits=32), "third": tw.Direct(bits=12),
        "[stl]*": tw.Winograd("F2"),
    }  # fmt: skip
    for skips in ("float", "quantized"):
        model = tw.calibrate(tw.convert(net, specs, skips=skips), [x])  # type: ignore[arg-type]
        assert_same(model, x, interpret, monkeypatch)


def test_range_of_one_batch_runs_on_others(interpret: Any) -> None:
    """Values beyond every grid are clipped alike."""
    net, x = build("residual")
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}, skips="quantized"), [x])
    simulated = Simulation(model, x)
    for factor in (0.0, 1e-3, 10.0, 1e6):
        np.testing.assert_array_equal(interpret(make_program(model, x))((factor * x).numpy()), simulated(factor * x))
        np.testing.assert_array_equal(tw.compile(model, x)(factor * x), simulated(factor * x))


@pytest.mark.parametrize("algorithm", [None, "direct", "F2", "F4", "F6", "SFC6"])
@pytest.mark.parametrize("name", MODELS)
def test_float_networks(name: str, algorithm: str | None, interpret: Any) -> None:
    model, x = build(name)
    if algorithm is not None:
        spec = tw.Direct(bits=32) if algorithm == "direct" else tw.Winograd(algorithm, bits=32)
        model = tw.convert(model, {"*": spec})
    with torch.no_grad():
        expected = model(x).numpy()
    tolerance = (2e-3 if algorithm == "F6" else 1e-4) * np.abs(expected).max()
    program = make_program(model, x[:2])
    for result in (interpret(program)(x.numpy()), run(program, x), Simulation(model, x)(x).numpy()):
        assert np.abs(result - expected).max() < tolerance


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("residual", ["last", "side"]),  # the latter for the result only
        ("dense", ["last"]),  # two concatenations read the others, of one range: that of their largest part
        ("moved", ["first", "pad"]),
    ],
)
def test_what_is_float_and_what_takes_an_operation(name: str, wide: list[str]) -> None:
    net, x = build(name)
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}, skips="quantized"), [x])
    program = make_program(model, x)
    written = [o for o in program.operations if "y" in o]
    assert [o["name"] for o in written if program.tensors[o["y"]]["dtype"] == "float32"] == wide
    assert "eltwise" not in [o["op"] for o in written]


def test_the_model_is_left_alone() -> None:
    net, x = build("residual")
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), [x]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tw.compile(model, x)
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
    assert model.training
    model(x).sum().backward()
