from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.nn import Conv2d, WinogradConv2d


class Net(nn.Module):
    """Every kind of convolution that a fast algorithm can not serve, and some that it can; one is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.again = self.shared
        self.blocks = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1))
        self.point = nn.Conv2d(8, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.flat = nn.Conv2d(8, 8, (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.shared(self.stem(x)).relu())
        return self.flat(self.wide(self.depth(self.point(self.blocks(x)))))


def test_report_says_what_stays_direct_and_why() -> None:
    model = tw.convert(Net(), {"*": tw.Winograd("F4", bits=10)})
    reports = {r.name: r for r in tw.describe(model)}
    reasons = {name: r.reason for name, r in reports.items() if r.algorithm == "direct"}
    assert reasons == {
        "stem": "it has fewer than 4 input channels",
        "blocks.2": "its stride is (2, 2)",
        "point": "its kernel is 1x1",
        "depth": "it has 8 groups",
        "wide": "its dilation is (2, 2)",
        "flat": "its kernel 1x3 is not square",
    }
    assert all(r.bits == 10 for r in reports.values())
    assert reports["blocks.2"].shape == "8 -> 8, 3x3, stride 2"
    assert reports["shared"].algorithm == "F4"
    assert "direct because its stride" in repr(model)


def test_weights_carry_over_bit_for_bit_and_the_source_is_untouched() -> None:
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    model = tw.convert(net, {"*": tw.Winograd("F4", transforms="learned")})
    after = model.state_dict()
    for name, value in before.items():
        assert (after[name] == value).all()
        assert (net.state_dict()[name] == value).all()
    assert type(net.shared) is nn.Conv2d
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert (net.stem.weight == before["stem.weight"]).all()


def test_a_layer_used_twice_stays_one_layer() -> None:
    model = tw.convert(Net(), {"*": tw.Winograd("F4")})
    assert model.shared is model.again
    assert isinstance(model.shared, WinogradConv2d)


def test_first_matching_pattern_decides_and_unmatched_layers_stay() -> None:
    specs = {"blocks.0": tw.Winograd("F2"), "blocks.*": tw.Direct(bits=4), "shared": tw.Winograd("SFC6")}
    model = tw.convert(Net(), specs)
    assert model.blocks[0].algorithm.name == "F2"
    assert model.blocks[2].spec == tw.Direct(bits=4)
    assert type(model.point) is nn.Conv2d


def test_a_bare_layer_is_a_model_too() -> None:
    assert isinstance(tw.convert(nn.Conv2d(4, 4, 3), {"*": tw.Winograd("F4")}), WinogradConv2d)


def test_converting_again_keeps_the_input_range_of_the_same_width() -> None:
    net = tw.convert(Net(), {"*": tw.Direct()}).train()
    net(torch.randn(2, 3, 16, 16))
    again = tw.convert(net, {"*": tw.Winograd("F4")})
    assert (again.shared.input_range.absmax == net.shared.input_range.absmax).all()
    other = tw.convert(net, {"*": tw.Winograd("F4", bits=6)})
    assert not other.shared.input_range.ready
    assert again.training


def test_converted_model_computes_the_same_in_float() -> None:
    net = Net().double()
    x = torch.randn(2, 3, 17, 19, dtype=torch.float64)
    for name in ("F2", "F4", "F6", "SFC6"):
        torch.testing.assert_close(tw.convert(net, {"*": tw.Winograd(name, bits=32)})(x), net(x))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"pattern 'layer\*' matches no convolution; the model has: stem, shared"):
        tw.convert(Net(), {"layer*": tw.Winograd("F4")})
    with pytest.raises(TypeError, match="is str; allowed: Direct, Winograd"):
        tw.convert(Net(), {"*": "F4"})  # type: ignore[dict-item]
    net = Net()
    with torch.no_grad():
        net.point.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weights of point contain NaN"):
        tw.convert(net, {"*": tw.Direct()})


def test_kernel_sizes_without_an_algorithm_stay_direct() -> None:
    model = tw.convert(nn.Sequential(nn.Conv2d(4, 4, 4)), {"*": tw.Winograd("F4")})
    assert isinstance(model[0], Conv2d)
    assert model[0].fallback is not None
    assert "r is 4" in model[0].fallback.reason
    own = tw.toom_cook(3, 4, [0, 1, -1, 2, -2])
    served = tw.convert(nn.Sequential(nn.Conv2d(4, 4, 4)).double(), {"*": tw.Winograd(own, bits=32)})
    assert isinstance(served[0], WinogradConv2d)
