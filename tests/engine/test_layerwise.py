"""Single layers on the engine: the very bits of the layer in torch, for every kind of layer that it serves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.engine.layerwise import native_layer, natively, served
from tilewise.nn import QuantizedConv
from tilewise.quant import Spec

pytest.importorskip("tilewise._native")

SPECS: dict[str, Spec] = {
    "direct": tw.Direct(), "direct 10 bits": tw.Direct(bits=10), "F2": tw.Winograd("F2"), "F4": tw.Winograd("F4"),
    "F4 learned": tw.Winograd("F4", transforms="learned"), "F6": tw.Winograd("F6"), "SFC6": tw.Winograd("SFC6"),
    "SFC6-planar": tw.Winograd("SFC6-planar"), "lossless": tw.Exact(), "per tensor": tw.Winograd("F4", scales="tensor"),
}  # fmt: skip


def layer(spec: Spec, **options: Any) -> tuple[QuantizedConv, torch.Tensor]:
    """Return a calibrated layer, balanced unevenly where it has a balance, and images that it was not calibrated on."""
    channels = 8 * options.get("groups", 1)
    conv = nn.Conv2d(channels, channels, 3, **{"padding": 1, **options})
    found = tw.convert(conv, {"*": spec}).eval()
    assert isinstance(found, QuantizedConv)
    tw.calibrate(found, [torch.randn(3, channels, 13, 11)])
    if hasattr(found, "balance"):
        found.balance.copy_(torch.rand_like(found.balance) + 0.5)
    return found, 1.2 * torch.randn(2, channels, 14, 17)


@pytest.mark.parametrize("name", SPECS)
def test_a_layer_by_itself_is_the_layer_to_the_bit(name: str) -> None:
    found, x = layer(SPECS[name])
    with torch.no_grad():
        assert served(found)
        assert torch.equal(native_layer(found)(x), found(x))


@pytest.mark.parametrize(
    "options", [{"stride": 2}, {"padding": 0, "bias": False}, {"groups": 2}, {"dilation": 2}, {"padding": "same"}]
)
@pytest.mark.parametrize("name", ["direct", "F4"])
def test_all_shapes_of_layers(name: str, options: dict[str, Any]) -> None:
    found, x = layer(SPECS[name], **options)
    with torch.no_grad():
        assert torch.equal(native_layer(found)(x), found(x))


def test_channels_that_are_scaled_before() -> None:
    found, x = layer(tw.Winograd("F4"))
    found.scale_input(torch.tensor([1.0, 64.0] * 4))
    with torch.no_grad():
        assert torch.equal(native_layer(found)(x), found(x))


@pytest.mark.parametrize("options", [{"padding_mode": "reflect"}, {}])
def test_what_the_engine_lacks_runs_in_torch(options: dict[str, Any]) -> None:
    spec = tw.Winograd("F4", hadamard_bits=None if options else 8)
    conv = tw.convert(nn.Conv2d(8, 8, 3, padding=1, **options), {"*": spec}).eval()
    assert isinstance(conv, QuantizedConv)
    x = torch.randn(2, 8, 12, 12)
    tw.calibrate(conv, [x])
    assert not served(conv)
    with torch.no_grad():
        assert torch.equal(native_layer(conv)(x), conv(x))


def test_images_that_no_engine_takes() -> None:
    found, x = layer(tw.Winograd("F4"))
    run = native_layer(found)
    with torch.no_grad():
        assert run(x[:0]).shape == found(x[:0]).shape
        assert run(x.fill_(float("nan"))).isnan().any()
    with pytest.raises(ValueError, match=r"input has shape \(2, 3, 14, 17\); allowed: \(N, 8, H, W\)"):
        run(torch.zeros(2, 3, 14, 17))


@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_a_network_whose_layers_run_natively_gives_its_own_bits(skips: Any) -> None:
    model = tw.convert(zoo.small_cnn(), {"*": tw.Winograd("F4")}, skips=skips).eval()
    x = torch.randn(4, 1, 16, 16)
    tw.calibrate(model, [x])
    with torch.no_grad():
        wanted = model(x)
        with natively(model):
            assert all("forward" in vars(m) for m in model.modules() if isinstance(m, QuantizedConv))
            assert torch.equal(model(x), wanted)
        assert not any("forward" in vars(m) for m in model.modules())
