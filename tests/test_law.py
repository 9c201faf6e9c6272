"""The law of convert: at 32 bits the copy computes what the model computes, to the bit, or convert refuses by name."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune

import tilewise as tw
from tilewise.conversion import specs_of
from tilewise.nn import Conv2d, QuantizedConv, Surrounded

X = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(3))


class GainConv(nn.Conv2d):
    """Weights of unit norm times a gain."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gain = nn.Parameter(torch.rand(self.out_channels, 1, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.gain * self.weight / self.weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class SamePadConv(nn.Conv2d):
    """Pads as TensorFlow does, more at the end."""

    def forward(self, x: Tensor) -> Tensor:
        missing = [
            max((-(-size // s) - 1) * s + k - size, 0)
            for size, s, k in zip(x.shape[2:], self.stride, self.kernel_size, strict=True)
        ]
        sides = [side for pad in reversed(missing) for side in (pad // 2, pad - pad // 2)]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride)


class ActiveConv(nn.Conv2d):
    """Pads by itself, and has its activation inside."""

    def _conv_forward(self, *args: Any) -> Tensor:
        return super()._conv_forward(*args).clamp(0, 1)


class DynamicConv(nn.Conv2d):
    """Weights that depend on the images: not one convolution."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * x.mean(), self.bias, self.stride, self.padding)


class TwiceConv(nn.Conv2d):
    """Two convolutions in one."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Guarded(nn.Module):
    """Keeps what can not be copied: a lock, a generator, a module of Python, and a map with its graph."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.tools = pair(), [threading.Lock(), warnings]
        self.numbers = (i for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        with self.tools[0]:
            self.kept = {"map": self.body(x)}
        return self.kept["map"]


class Asks(nn.Module):
    """Asks its convolution for sizes and weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).view(-1, self.a.out_channels, *x.shape[2:])
        return y[:, : self.a.weight.shape[0]]


def pair(kind: type[nn.Conv2d] = nn.Conv2d, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(kind(3, 8, 3, stride, padding=1), nn.ReLU(), kind(8, 8, 3, padding=1))


def hooked() -> nn.Module:
    net = pair()
    net[0].register_forward_hook(lambda _module, _inputs, y: y + y)
    net[2].register_forward_pre_hook(lambda module, inputs: (inputs[0][:, : module.in_channels].relu(),))
    return net


def normed(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    net = pair()
    norm(net[0])
    norm(net[2])
    return net


def pruned() -> nn.Module:
    net = pair()
    prune.l1_unstructured(net[0], "weight", 0.5)
    prune.ln_structured(net[2], "weight", 0.5, n=2, dim=0)
    return net


def kept_map() -> nn.Module:
    net = Guarded()
    net(X)
    return net


def own_forward() -> nn.Module:
    net = pair()
    plain = net[0].forward
    net[0].forward = lambda x: plain(x) + 1  # type: ignore[method-assign]
    return net


NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": pair,
    "weights computed": lambda: pair(GainConv),
    "padding of its own": lambda: pair(SamePadConv, 2),
    "activation inside": lambda: pair(ActiveConv),
    "weights of the images": lambda: pair(DynamicConv),
    "two in one": lambda: pair(TwiceConv).__class__(TwiceConv(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 3)),
    "hooks": hooked,
    "forward of one layer": own_forward,
    "weight norm, old": lambda: normed(torch.nn.utils.weight_norm),
    "spectral norm, old": lambda: normed(torch.nn.utils.spectral_norm),
    "weight norm": lambda: normed(torch.nn.utils.parametrizations.weight_norm),
    "spectral norm": lambda: normed(torch.nn.utils.parametrizations.spectral_norm),
    "pruned": pruned,
    "data parallel": lambda: nn.DataParallel(pair()),
    "compiled": lambda: torch.compile(pair(), backend="eager"),
    "not to be copied": kept_map,
    "asks": Asks,
    "reflecting": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("name", NETS)
def test_at_32_bits_the_copy_computes_what_the_model_computes(name: str) -> None:
    torch.manual_seed(1)
    net = NETS[name]().eval()
    with torch.no_grad():
        want = net(X)
        before = {key: value.clone() for key, value in net.state_dict().items()}
        converted = tw.convert(net, {"*": tw.Direct(bits=32)})
        assert torch.equal(converted(X), want)
        assert torch.equal(net(X), want)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "name", ["weights computed", "padding of its own", "hooks", "weight norm", "not to be copied", "asks"]
)
def test_at_8_bits_it_is_near_and_compiles(name: str) -> None:
    torch.manual_seed(1)
    net = NETS[name]().eval()
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [X])
    assert all(layer.bits == 8 for layer in tw.describe(model))
    with torch.no_grad():
        want, got = net(X), model(X)
    assert (got - want).square().mean() < 1e-3 * want.square().mean()
    torch.testing.assert_close(tw.compile(model, X)(X), got, rtol=0, atol=1e-5)


def test_a_class_with_code_of_its_own_is_told_and_stays() -> None:
    model = tw.convert(pair(DynamicConv), {"*": tw.Direct()})
    assert type(model[0]) is DynamicConv
    assert [layer.reason for layer in tw.describe(model)] == ["its class DynamicConv has code of its own"] * 2


def test_a_surrounded_layer_is_one_layer_under_its_own_name() -> None:
    torch.manual_seed(1)
    net = pair(SamePadConv).eval()
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [X])
    assert isinstance(model[0], Surrounded)
    assert model[0].layer.weight is model[0].source.weight
    assert model[0].kernel_size == (3, 3)
    assert [layer.name for layer in tw.describe(model)] == list(specs_of(model)) == ["0", "2"]
    again = tw.convert(model, {"0": tw.Winograd("F4"), "*": tw.Direct(bits=4)})
    assert isinstance(again[0], Surrounded)
    assert [layer.bits for layer in tw.describe(again)] == [8, 4]
    assert torch.equal(tw.convert(net, specs_of(model)).state_dict()["0.layer.weight"], net[0].weight)


def test_hooks_stay_between_quantized_skips() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return x + self.body(x)

    torch.manual_seed(1)
    net = Block().eval()
    net.body.register_forward_pre_hook(lambda _module, inputs: (inputs[0] * 50,))
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}, skips="quantized"), [X])
    with torch.no_grad():
        assert (model(X) - net(X)).square().mean() < 1e-3 * net(X).square().mean()


@pytest.mark.parametrize("both", [False, True])
def test_a_layer_with_two_inputs_gets_a_range_over_both(both: bool) -> None:
    class ReadsTwo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.other, self.third = (nn.Conv2d(3, 8, 3, padding=1) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            y = 20 * x
            right = self.shared(y) + self.third(y) if both else self.shared(y)
            return torch.cat([self.shared(x) + self.other(x), right], 1)

    torch.manual_seed(1)
    net = ReadsTwo().eval()
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}, skips="quantized"), [X])
    with torch.no_grad():
        assert (model(X) - net(X)).square().mean() < 1e-3 * net(X).square().mean()


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
def test_refused_by_name() -> None:
    net = pair().eval()
    with pytest.raises(ValueError, match=r"the model is a TorchScript program; allowed: the torch\.nn\.Module"):
        tw.convert(torch.jit.trace(net, X), {"*": tw.Direct()})
    with pytest.raises(ValueError, match=r"module '1' is a TorchScript program"):
        tw.convert(nn.Sequential(nn.Conv2d(3, 3, 1), torch.jit.trace(net, X)), {"*": tw.Direct()})
    for kind in (torch.float16, torch.bfloat16):
        with pytest.raises(ValueError, match=rf"weights of 0 are {kind}; allowed: float32"):
            tw.convert(pair().to(kind), {"*": tw.Direct()})
    with pytest.raises(ValueError, match="weights of 0 have no values yet; call the model on images once"):
        tw.convert(nn.Sequential(nn.LazyConv2d(8, 3)), {"*": tw.Direct()})


def test_a_branch_on_data_is_refused_with_its_place() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = pair()

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) if x.mean() > 0 else x

    with pytest.raises(ValueError, match=r"data-dependent .* in forward \(test_law.py:\d+: return self.body\(x\) if"):
        tw.compile(Branch(), X)


def test_strides_read_apart() -> None:
    strides = [(1, 1), (1, 2), (2, 1), (2, 2)]
    layers = tw.describe(nn.Sequential(*(nn.Conv2d(4, 4, 3, stride=stride) for stride in strides)))
    assert [layer.shape.partition(", 3x3")[2] for layer in layers] == ["", ", stride 1x2", ", stride 2x1", ", stride 2"]


def test_a_dead_layer_has_a_range_and_runs() -> None:
    net = pair().eval()
    nn.init.constant_(net[0].bias, -1000)
    model = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), [X])
    with torch.no_grad():
        assert torch.equal(model(X), net(X))
        assert torch.equal(tw.compile(model, X)(X), net(X))


def test_ranges_do_not_depend_on_how_images_are_batched() -> None:
    torch.manual_seed(2)
    net, images = nn.Sequential(pair(), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval(), torch.randn(7, 3, 9, 11)
    states = [
        tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), list(images.split(n))).state_dict() for n in (1, 3, 7)
    ]
    for name in states[0]:
        if "range" in name and not name.endswith("batches"):
            assert torch.equal(states[0][name], states[1][name])
            assert torch.equal(states[0][name], states[2][name])


def test_engines_can_be_copied_and_pickled() -> None:
    model = tw.calibrate(tw.convert(pair().eval(), {"*": tw.Direct()}), [X])
    engine = tw.compile(model, X, batch=4)
    for twin in (copy.deepcopy(engine), pickle.loads(pickle.dumps(engine))):
        assert torch.equal(twin(X), engine(X))
        assert (twin.threads, twin.choices) == (engine.threads, engine.choices)


def test_a_layer_in_a_converted_model_keeps_its_hooks() -> None:
    model = tw.convert(hooked(), {"*": tw.Direct()})
    again = tw.convert(model, {"*": tw.Direct(bits=32)}).eval()
    assert isinstance(again[0], Conv2d)
    with torch.no_grad():
        assert torch.equal(again(X), tw.convert(again, {})(X))
    assert isinstance(again[2], QuantizedConv)
    assert again[2]._forward_pre_hooks
