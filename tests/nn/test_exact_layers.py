"""Exact layers give the very numbers of direct int8 ones: trained, calibrated, converted, compiled."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tilewise as tw
from tilewise.algebra.exactness import reach
from tilewise.algebra.residue import moduli_for
from tilewise.conversion import specs_of
from tilewise.nn import Conv2d, ExactConv2d
from tilewise.quant.exact import ResiduePlan, WrappingPlan

SPECS = [
    tw.Exact(),
    tw.Exact("F4"),
    tw.Exact("SFC6"),
    tw.Residue(),
    tw.Residue(tile=6),
    tw.Residue(tile=4, moduli=(251, 241, 239, 233)),
    tw.Residue(tile=14, moduli=(8191, 8189)),
]


def pair(spec: tw.Exact | tw.Residue, conv: nn.Conv2d, x: torch.Tensor) -> tuple[Conv2d, ExactConv2d]:
    """A calibrated direct layer, and the exact one made from it."""
    direct = tw.convert(conv, {"*": tw.Direct()}).eval()
    tw.calibrate(direct, [x])
    exact = tw.convert(direct, {"*": spec})
    assert isinstance(direct, Conv2d)
    assert isinstance(exact, ExactConv2d)
    return direct, exact


@settings(max_examples=40, deadline=None)
@given(
    spec=st.sampled_from(SPECS),
    r=st.sampled_from([3, 5]),
    channels=st.integers(4, 40),
    filters=st.integers(1, 9),
    height=st.integers(5, 17),
    width=st.integers(5, 17),
    padding=st.sampled_from([0, 1, 2, (2, 0), "same", "valid"]),
    unsigned=st.booleans(),
    extreme=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_equals_the_direct_layer(
    spec: tw.Exact | tw.Residue,
    r: int,
    channels: int,
    filters: int,
    height: int,
    width: int,
    padding: int | str,
    unsigned: bool,
    extreme: bool,
    seed: int,
) -> None:
    if r == 5 and spec == tw.Exact("F4"):
        spec = tw.Exact()
    torch.manual_seed(seed)
    conv = nn.Conv2d(channels, filters, r, padding=padding)
    x = torch.randn(2, channels, height, width)
    if extreme:
        conv.weight.data.sign_()
        x.sign_()
    direct, exact = pair(spec, conv, x.abs() if unsigned else x)
    x = x * 1.5  # beyond the calibrated range too
    assert torch.equal(direct(x), exact(x))
    sums = exact._sums(torch.full_like(x, 127.0), exact.policy.weights(exact)[0])
    assert torch.equal(sums, direct._sums(torch.full_like(x, 127.0), direct.policy.weights(direct)[0]))


@pytest.mark.parametrize("spec", [tw.Exact("F4-textbook"), tw.Residue(), tw.Residue(tile=6, moduli="auto")], ids=str)
@pytest.mark.parametrize("unsigned", [False, True])
def test_equals_it_at_the_layers_own_bound(spec: tw.Exact | tw.Residue, unsigned: bool) -> None:
    """Inputs that reach the largest and the smallest sum of a channel; weights of one sign are the lopsided case."""
    torch.manual_seed(0)
    conv = nn.Conv2d(200, 2, 3, bias=False)
    conv.weight.data[0] = conv.weight.data[0].sign()
    conv.weight.data[1] = 1
    worst = (conv.weight[:1] > 0).float() if unsigned else conv.weight[:1].sign()
    low = 1 - worst if unsigned else -worst
    x = torch.cat([worst, low, torch.ones_like(low)]).detach()
    direct, exact = pair(spec, conv, x)
    assert torch.equal(direct(x), exact(x))
    q = 255 * x if unsigned else 127 * x
    weight = exact.policy.weights(exact)[0]
    wanted = (q.double()[:, None] * weight).sum((2, 3, 4))
    assert torch.equal(exact._sums(q.double(), weight.double()), wanted[..., None, None])


def test_sums_too_wide_for_one_block_are_cut() -> None:
    conv = nn.Conv2d(300, 1, 3, bias=False)
    conv.weight.data.fill_(1)
    x = torch.ones(1, 300, 4, 4)
    direct, exact = pair(tw.Exact("F4-textbook"), conv, -x)
    plan = exact.plan()
    assert isinstance(plan, WrappingPlan)
    assert plan.name == "F4-textbook mod 2^32, 2 blocks of channels"
    assert torch.equal(direct(x), exact(x))
    _, automatic = pair(tw.Exact(), conv, -x)
    assert automatic.plan().name == "F4 mod 2^32", "points that lose fewer bits need no blocks"


def test_auto_takes_the_fewest_moduli_that_the_weights_prove_sufficient() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 64, 8, 8)
    conv = nn.Conv2d(64, 64, 3)
    plans = []
    for scale in (1.0, 0.001):  # beside one large weight the others become small integers
        conv.weight.data.view(64, -1)[:, 0] = 1
        conv.weight.data.view(64, -1)[:, 1:] *= scale
        _, exact = pair(tw.Residue(tile=6), conv, x)
        plan = exact.plan()
        assert isinstance(plan, ResiduePlan)
        plans.append(len(plan.moduli.moduli))
    assert plans == [3, 2]


def test_auto_blocks_channels_where_that_saves_a_modulus() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(320, 64, 3), torch.randn(1, 320, 6, 6)
    direct, exact = pair(tw.Residue(), conv, x)
    plan = exact.plan()
    assert isinstance(plan, ResiduePlan)
    assert len(plan.blocks) > 1
    assert len(plan.moduli.moduli) == 3
    assert len(moduli_for(reach(exact._integer_weight(), -127, 127).width, 8, 3).moduli) == 4
    assert torch.equal(direct(x), exact(x))


def test_wide_moduli_sum_over_few_channels() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(300, 2, 3), torch.randn(1, 300, 5, 5)
    direct, exact = pair(tw.Residue(tile=4, moduli=(8191, 8189)), conv, x)
    assert exact.plan().name == "F(4, 3) mod 8191, 8189, 3 blocks of channels"
    assert torch.equal(direct(x), exact(x))


def test_moduli_too_small_for_a_layer_are_refused() -> None:
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Conv2d(64, 8, 3)), torch.randn(1, 64, 8, 8)
    few = {"*": tw.Residue(tile=6, moduli=(253, 251))}
    message = r"moduli 253 \* 251 = 63503 are too few .* suffices: 253 \* 251 \* 247"
    calibrated = tw.convert(net, {"*": tw.Direct()}).eval()
    tw.calibrate(calibrated, [x])
    with pytest.raises(ValueError, match=f"layer '0': {message}"):
        tw.convert(calibrated, few)
    late = tw.convert(net, few).eval()
    tw.calibrate(late, [x])
    with pytest.raises(ValueError, match=message):
        late(x)


def test_training_is_that_of_direct_layers() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 4, 3, padding=1)
    direct = tw.convert(conv, {"*": tw.Direct()}).train()
    exact = tw.convert(conv, {"*": tw.Exact()}).train()
    for _ in range(2):
        x = torch.randn(2, 8, 9, 9)
        a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
        ya, yb = direct(a), exact(b)
        assert torch.equal(ya, yb)
        ya.square().sum().backward()
        yb.square().sum().backward()
        assert torch.equal(a.grad, b.grad)
    for p, q in zip(direct.parameters(), exact.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    assert direct.state_dict().keys() == exact.state_dict().keys()
    assert all(torch.equal(v, exact.state_dict()[k]) for k, v in direct.state_dict().items())
    assert torch.equal(direct.eval()(x), exact.eval()(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU())
        self.down = nn.Conv2d(16, 16, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.down(self.body(torch.relu(self.stem(x))))
        return out


def test_networks_convert_describe_and_compile_to_the_same_numbers() -> None:
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(3, 3, 12, 12)
    direct = tw.convert(net, {"*": tw.Direct()})
    tw.calibrate(direct, [x])
    exact = tw.convert(direct, {"body*": tw.Exact(), "*": tw.Residue()})
    assert torch.equal(direct(x), exact(x))
    reports = {report.name: report for report in tw.describe(exact)}
    assert reports["stem"].algorithm == "direct"
    assert "fewer than 4 input channels" in reports["stem"].reason
    assert reports["down"].reason == "its stride is (2, 2)"
    assert reports["body.0"].algorithm == "exact: SFC6(6, 5) mod 2^32"
    assert specs_of(exact) == {"stem": tw.Residue(), "body.0": tw.Exact(), "down": tw.Residue()}
    assert "8 bits" in repr(exact)
    uncalibrated = tw.describe(tw.convert(net, {"*": tw.Exact()}))
    assert [report.algorithm for report in uncalibrated] == ["direct", "exact", "direct"]
    assert torch.equal(copy.deepcopy(exact)(x), exact(x))


def test_engine_runs_them() -> None:
    pytest.importorskip("tilewise._native")
    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(1, 3, 12, 12)
    direct = tw.convert(net, {"*": tw.Direct()}, skips="quantized")
    tw.calibrate(direct, [x])
    exact = tw.convert(direct, {"*": tw.Exact()}, skips="quantized")
    wanted = tw.compile(direct, x)(x.numpy())
    assert (tw.compile(exact, x)(x.numpy()) == wanted).all()


def test_unservable_layers_are_refused_and_a_range_is_needed() -> None:
    with pytest.raises(ValueError, match=r"exact algorithm can not serve this layer: its stride is \(2, 2\)"):
        ExactConv2d(8, 8, 3, stride=2, spec=tw.Exact())
    with pytest.raises(ValueError, match="exact algorithms serve 3x3, 5x5, 7x7 kernels, not 4x4"):
        ExactConv2d(8, 8, 4, spec=tw.Exact())
    with pytest.raises(RuntimeError, match="no input range yet"):
        ExactConv2d(8, 8, 3, spec=tw.Exact()).eval()(torch.zeros(1, 8, 5, 5))
