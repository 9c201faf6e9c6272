"""Calibration beyond ranges: what each part promises about a layer, and what runs afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.calibration import fitting, reconstruction, refinement
from tilewise.calibration.fitting import LayerPairs
from tilewise.data import Batches, load
from tilewise.engine.compiler import Simulation
from tilewise.nn import WinogradConv2d

IMAGES = load("digits", "train").subset(32)
BATCHES = [x for x, _ in Batches(IMAGES, 16)]


def sample(channels: int = 6) -> LayerPairs:
    """Uneven channels with rare large values, and what a float convolution makes of them."""
    torch.manual_seed(1)
    spread = torch.logspace(-1.5, 0.5, channels).view(1, -1, 1, 1)
    inputs = [torch.randn(4, channels, 11, 9).relu() ** 2 * spread for _ in range(2)]
    return LayerPairs(inputs, inputs)


def layer(spec: tw.Winograd, *, bias: bool = False) -> tuple[WinogradConv2d, LayerPairs]:
    conv = nn.Conv2d(6, 5, 3, padding=1, bias=bias)
    data = sample()
    fast = tw.convert(conv, {"*": spec}).eval()
    assert isinstance(fast, WinogradConv2d)
    with torch.no_grad():
        return fast, LayerPairs(data.inputs, [conv(x) for x in data.inputs])


def small(spec: tw.Winograd | tw.Direct, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return tw.convert(zoo.small_cnn(), {"*": spec}, **options).eval()


class Two(nn.Module):
    """A network of two images."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

    def forward(self, near: Tensor, far: Tensor) -> Tensor:
        return self.first(near) * self.second(far)


class OfOneImage(nn.Module):
    """A network whose file has a batch of one in its shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x).view(1, 8, 6, 6))
        return y


def test_a_network_of_one_image_at_a_time() -> None:
    torch.manual_seed(0)
    images = torch.randn(3, 3, 8, 8)
    model = tw.calibrate(tw.convert(OfOneImage(), {"*": tw.Direct()}), images.split(1))
    assert float(model.first.input_range.absmax) == float(images.abs().max())
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        tw.calibrate(model, [torch.randn(1, 3, 9, 8)])


def test_several_inputs_come_by_name() -> None:
    torch.manual_seed(0)
    batches = [{"near": torch.randn(n, 3, 8, 8), "far": 5 * torch.randn(n, 3, 8, 8)} for n in (3, 1)]
    model = tw.calibrate(tw.convert(Two(), {"*": tw.Direct()}), batches)
    for name, layer in (("near", model.first), ("far", model.second)):
        largest = max(float(batch[name].abs().max()) for batch in batches)
        assert float(layer.input_range.absmax) == largest
    with pytest.raises(ValueError, match="dicts of several inputs, of which only ranges can be calibrated"):
        tw.calibrate(model, batches, tw.CalibrationConfig())
    with pytest.raises(ValueError, match=r"a batch has \{'near': 3, 'far': 2\} images"):
        tw.calibrate(model, [{"near": batches[0]["near"], "far": batches[0]["far"][:2]}])


def test_balance_changes_no_unquantized_result() -> None:
    fast, data = layer(tw.Winograd("F4", bits=16))
    fitting.fit_ranges(fast, data, data, tw.CalibrationConfig(balance=False))
    plain = fast(data.inputs[0])
    fast.balance.copy_(torch.rand_like(fast.balance) + 0.5)
    assert not torch.equal(fast(data.inputs[0]), plain)
    assert fitting.error(fast, data) < 1e-6  # -60 dB: what 16 bits leave


@pytest.mark.parametrize("name", ["F4", "F6", "SFC6"])
def test_balance_is_never_worse_than_none_and_keeps_multipliers_in_bounds(name: str) -> None:
    fast, data = layer(tw.Winograd(name))
    fitting.fit_ranges(fast, data, data, tw.CalibrationConfig(balance=False))
    before = fitting.error(fast, data)
    fitting.fit_ranges(fast, data, data, tw.CalibrationConfig())
    assert fitting.error(fast, data) < before
    assert (fast.balance != 1).any()
    mult = fast.frozen().mult
    assert mult is not None
    assert mult.min() >= 1
    assert mult.max() <= 2**15 - 1


def test_a_channel_that_wakes_up_does_not_drown_the_others() -> None:
    """One that calibration saw silent gets a signal of a tenth of the others' while the network is trained on."""
    fast, data = layer(tw.Winograd("F4"))
    quiet = [x.clone().index_fill_(1, torch.tensor([5]), 0.0) for x in data.inputs]
    with torch.no_grad():
        wanted = [torch.nn.functional.conv2d(x, fast.weight, padding=1) for x in quiet]
    pairs = LayerPairs(quiet, wanted)
    fitting.fit_ranges(fast, pairs, pairs, tw.CalibrationConfig())
    largest = fast.get_range("v_range").absmax.amax(1, keepdim=True)
    fast.get_range("v_range").absmax[:, 5:] = 0.1 * largest
    assert fitting.error(fast, pairs) < 0.01


def v_error(fast: WinogradConv2d, x: Tensor) -> float:
    """Square error of V after requantization, in units that leave balance out."""
    step = fast.get_range("input_range").grid()[0]
    q, _ = fast.quantized("input_range", x)
    mult = fast.v_multiplier(step)
    v = fitting.input_transform(q, fast.transforms()[2], fast.tiling(x))
    got = (v * mult + 0.5).floor().clamp(-127, 127) / mult
    return float((got - v).square().sum())


@pytest.mark.parametrize("name", ["F2", "F4", "F6"])
def test_mse_ranges_are_never_worse_than_max_in_mse(name: str) -> None:
    fast, data = layer(tw.Winograd(name))
    whole = LayerPairs([torch.cat(data.inputs)], [torch.cat(data.wanted)])
    fitting.fit_ranges(fast, whole, whole, tw.CalibrationConfig(balance=False))
    # The same input grid for both, so that V is the same.
    before, largest = v_error(fast, whole.inputs[0]), fast.get_range("v_range").absmax.clone()
    fitting._clip_v(fast, whole.inputs, "mse")
    assert v_error(fast, whole.inputs[0]) <= before
    assert (fast.get_range("v_range").absmax <= largest).all()


def test_a_percentile_range_clips_as_few_values_as_it_says() -> None:
    x = torch.cat([torch.linspace(-1, 1, 99_990), torch.full((10,), 4.0)])[torch.randperm(100_000)].view(4, 1, 250, 100)
    conv = tw.convert(nn.Conv2d(1, 1, 3), {"*": tw.Direct()}).eval()
    pairs = LayerPairs([x], [conv.weight])
    fitting.fit_ranges(conv, pairs, pairs, tw.CalibrationConfig(ranges="percentile"))
    absmax = float(conv.get_range("input_range").absmax)
    assert 1 <= absmax < 1.1
    assert (x.abs() > absmax).double().mean() <= fitting.CLIPPED_SHARE


@pytest.mark.parametrize("bias", [False, True])
def test_bias_correction_leaves_no_mean_error(bias: bool) -> None:
    fast, data = layer(tw.Winograd("F6"), bias=bias)
    fitting.fit_ranges(fast, data, data, tw.CalibrationConfig())
    fast(data.inputs[0])
    fitting.correct_bias(fast, data)
    mean = torch.cat([y - fast(x) for x, y in zip(*data, strict=True)]).double().mean((0, 2, 3))
    assert mean.abs().max() < 1e-6


@pytest.mark.parametrize("transforms", ["static", "learned"])
def test_reconstruction_is_better_on_its_data_and_repeats(transforms: Any) -> None:
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        fast, data = layer(tw.Winograd("F6", transforms=transforms))
        config = tw.CalibrationConfig(reconstruct=150, correct_bias=False)
        fitting.fit_ranges(fast, data, data, config)
        before = fitting.error(fast, data)
        refinement.refine_layer("layer", fast, data, data, config)
        assert fitting.error(fast, data) < before
        assert all(p.grad is None for p in fast.parameters())
        results.append(fast.state_dict())
    assert all(torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_reconstruction_that_would_be_worse_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, data = layer(tw.Winograd("F4"))
    fitting.fit_ranges(fast, data, data, tw.CalibrationConfig(balance=False))
    weight = fast.weight.clone()
    monkeypatch.setattr(reconstruction, "WEIGHT_RATE", 10.0)
    found = refinement.refine_layer("layer", fast, data, data, tw.CalibrationConfig(reconstruct=3))
    assert torch.equal(fast.weight, weight)
    assert found.left == "no nearer on the 8 images held back"
    assert found.after < found.before  # ranges and bias are kept


@pytest.mark.parametrize("skips", ["float", "quantized"])
@pytest.mark.parametrize("transforms", ["static", "learned"])
def test_the_engine_runs_exactly_what_was_calibrated(skips: Any, transforms: Any) -> None:
    pytest.importorskip("tilewise._native")
    model = tw.calibrate(
        small(tw.Winograd("F4", transforms=transforms), skips=skips), BATCHES, tw.CalibrationConfig(reconstruct=2)
    )
    images = BATCHES[0][:4]
    np.testing.assert_array_equal(tw.compile(model, images)(images), Simulation(model, images)(images))


def test_calibrated_weights_load_into_the_plain_network(tmp_path: Path) -> None:
    model = tw.calibrate(small(tw.Winograd("F4")), BATCHES, tw.CalibrationConfig(reconstruct=2))
    tw.save_weights(model, tmp_path / "a.safetensors")
    loaded = tw.load_weights(zoo.small_cnn(), tmp_path / "a.safetensors").eval()
    with torch.no_grad():
        assert torch.equal(loaded(BATCHES[0]), model(BATCHES[0]))


def test_a_config_brings_the_network_nearer_to_float() -> None:
    torch.manual_seed(0)
    plain = zoo.small_cnn().eval()
    far = []
    for config in (None, tw.CalibrationConfig(reconstruct=30)):
        model = tw.calibrate(tw.convert(plain, {"*": tw.Winograd("F6", transforms="learned")}), BATCHES, config)
        with torch.no_grad():
            far.append(float(sum((model(x) - plain(x)).square().sum() for x in BATCHES)))
    assert far[1] < far[0] / 2


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no images"),
        ([torch.zeros(0, 1, 8, 8)], "no images"),
        ([torch.full((2, 1, 8, 8), float("nan"))], "not finite"),
        ([torch.zeros(2, 1, 8, 8)], "nothing but zeros"),
    ],
)
@pytest.mark.parametrize("config", [None, tw.CalibrationConfig()])
def test_bad_data_is_one_clear_error(batches: list[Tensor], message: str, config: tw.CalibrationConfig | None) -> None:
    with pytest.raises(ValueError, match=message):
        tw.calibrate(small(tw.Winograd("F4")), batches, config)


def test_bad_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"ranges is 'kl'; allowed: max, percentile, mse"):
        tw.CalibrationConfig(ranges="kl")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"reconstruct is -1; it must be at least 0"):
        tw.CalibrationConfig(reconstruct=-1)
    paper = small(tw.Winograd("F4", scales="tensor", quantizer="paper"))
    with pytest.raises(ValueError, match="'paper' quantizer, of which only ranges"):
        tw.calibrate(paper, BATCHES, tw.CalibrationConfig())
