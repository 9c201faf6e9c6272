"""Concatenations whose parts differ in range: each part keeps its bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.compiler import Simulation
from tilewise.nn import QuantizedConv
from tilewise.train.checkpoint import load_state


class Heads(nn.Module):
    """Four channels ``times`` as large as the other eight, each read by weights of its own."""

    def __init__(self, times: float) -> None:
        super().__init__()
        self.large, self.small, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 8, 1), nn.Conv2d(12, 12, 3, padding=1)
        with torch.no_grad():
            self.large.weight *= times
            self.last.weight[:4, 4:] = 0
            self.last.weight[4:, :4] = 0
            self.last.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(torch.cat([self.large(x), self.small(x)], dim=1))
        return y


X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def calibrated(times: float, spec: Any) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    net = Heads(times).eval()
    return net, tw.calibrate(tw.convert(net, {"*": spec}), [X[:2], X[2:]])


def last(model: nn.Module) -> QuantizedConv:
    layer = model.get_submodule("last")
    assert isinstance(layer, QuantizedConv)
    return layer


@pytest.mark.parametrize("spec", [tw.Direct(), tw.Winograd("F2"), tw.Exact()], ids=str)
def test_each_part_keeps_its_bits(spec: Any) -> None:
    net, model = calibrated(300, spec)
    assert last(model).input_scale is not None
    with torch.no_grad():
        wanted, found = net(X), model(X)
    for channels in (slice(0, 4), slice(4, 12)):
        noise = (wanted - found)[:, channels].square().mean() / wanted[:, channels].square().mean()
        assert -10 * float(noise.log10()) > 25
    np.testing.assert_array_equal(tw.compile(model, X)(X).numpy(), Simulation(model, X)(X).numpy())


def test_a_saved_network_keeps_its_factors(tmp_path: Path) -> None:
    net, model = calibrated(300, tw.Winograd("F2"))
    tw.save_weights(model, tmp_path / "scaled.safetensors")
    again = tw.load_weights(net, tmp_path / "scaled.safetensors").eval()
    with torch.no_grad():
        assert torch.equal(again(X), model(X))
    unscaled = {name: x for name, x in model.state_dict().items() if not name.endswith("input_scale")}
    load_state(model, unscaled, tmp_path)  # a file without them takes them away
    assert last(model).input_scale is None


def test_alike_parts_stay_as_they_are() -> None:
    net, model = calibrated(3, tw.Direct())
    assert last(model).input_scale is None
    assert torch.equal(last(model).weight, net.get_submodule("last").weight)


def test_factors_follow_the_data_and_the_weights() -> None:
    net, model = calibrated(300, tw.Direct())
    scale = last(model).input_scale
    assert scale is not None
    again = tw.calibrate(tw.convert(model, {"*": tw.Direct()}), [X[:2], X[2:]])
    for carried in (again, tw.convert(model, {"*": tw.Direct(bits=32)})):
        assert torch.equal(last(carried).input_scale, scale)  # type: ignore[arg-type]
    with torch.no_grad():
        torch.testing.assert_close(tw.convert(model, {"*": tw.Direct(bits=32)})(X), net(X))
    fresh = tw.convert(net, {"*": tw.Direct()}).eval()
    fresh.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(fresh(X), model(X))
    model.get_submodule("large").weight.data /= 300
    tw.calibrate(model, [X])
    assert last(model).input_scale is None
    assert torch.equal(last(model).weight, net.get_submodule("last").weight)


def test_a_shared_grid_is_warned_of() -> None:
    class Skip(Heads):
        def forward(self, x: Tensor) -> Tensor:
            y = torch.cat([self.large(x), self.small(x)], 1)
            z: Tensor = self.last(y) + y
            return z

    model = tw.convert(Skip(300).eval(), {"*": tw.Direct()}, skips="quantized")
    with pytest.warns(UserWarning, match=r"'last' and a skip connection .* differ in range 32 times"):
        tw.calibrate(model, [X])


def test_it_trains_with_scaled_parts() -> None:
    _, model = calibrated(300, tw.Winograd("F2"))
    before = last(model).weight.detach().clone()
    model.train()(X).square().mean().backward()
    torch.optim.SGD(model.parameters(), 1e-6).step()
    assert (last(model).weight != before).any()
