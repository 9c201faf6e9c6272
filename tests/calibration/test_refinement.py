"""Refinement never makes a network worse on images held back, and says what it could not fit."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise import zoo
from tilewise.calibration import passes, reconstruction, refinement
from tilewise.calibration.refinement import held_back, refine
from tilewise.data import Batches, load

IMAGES = [x for x, _ in Batches(load("digits", "train").subset(32), 16)]
GREYS = torch.linspace(0.1, 1, 8).view(8, 1, 1, 1)
QUICK = tw.CalibrationConfig(reconstruct=5)


def calibrated(spec: tw.Winograd | tw.Direct, batches: list[Tensor] = IMAGES, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return tw.calibrate(tw.convert(zoo.small_cnn(), {"*": spec}, **options), batches)


def state(model: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(model.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def far(model: nn.Module, reference: nn.Module, batches: list[Tensor]) -> float:
    with torch.no_grad():
        return float(sum((model(x) - reference(x)).square().sum() for x in batches))


@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_images_held_back_are_nearer_afterwards(skips: Any) -> None:
    model = calibrated(tw.Winograd("F6"), skips=skips)
    reference = tw.convert(model, {"*": tw.Direct(bits=32)}).eval()
    shown, held = held_back(IMAGES)
    assert [len(x) for x in shown + held] == [12, 12, 4, 4]
    before = far(model, reference, held)
    found = refine(model, IMAGES, tw.CalibrationConfig(reconstruct=20), progress=False)
    assert (found.images, found.held) == (24, 8)
    assert far(model, reference, held) < before
    assert found.after < found.before
    assert all(layer.after <= layer.before for layer in found.layers)


def test_what_makes_the_network_worse_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = calibrated(tw.Winograd("F4"))
    monkeypatch.setattr(reconstruction, "WEIGHT_RATE", 30.0)
    config = tw.CalibrationConfig(reconstruct=2, balance=False, correct_bias=False)
    weights = [p.clone() for p in model.parameters()]
    found = refine(model, IMAGES, config, progress=False)
    assert re.search(r"left .* layers as they were \(.*: .*no nearer .*on the 8 images held back\)", found.complaint())
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))
    assert found.after <= found.before


def test_a_network_that_comes_no_nearer_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much nearer each layer comes."""
    model = calibrated(tw.Winograd("F4"))
    before = state(model)
    errors = iter([1.0, 1.1, 1.0])
    monkeypatch.setattr(refinement._Network, "error", lambda _: next(errors))
    with pytest.warns(UserWarning, match=r"6 of 6 layers .*: the network comes no nearer to float on the 8 images"):
        tw.calibrate(model, IMAGES, QUICK)
    assert same(state(model), before)


@pytest.mark.parametrize(
    "batches",
    [[IMAGES[0][:1]], [IMAGES[0][:1].repeat(8, 1, 1, 1)], [GREYS.expand(8, 1, 32, 32)]],
    ids=["one image", "one image eight times", "images of one colour"],
)  # fmt: skip
def test_images_that_tell_nothing_change_nothing(batches: list[Tensor]) -> None:
    model = calibrated(tw.Winograd("F4"), batches)
    before = state(model)
    with pytest.warns(UserWarning, match=r"layers as they were \(.*: there are not two images that differ and are not"):
        tw.calibrate(model, batches, QUICK)
    assert same(state(model), before)


def test_two_images_suffice_to_judge() -> None:
    assert [[len(x) for x in part] for part in held_back([IMAGES[0][:2]])] == [[1], [1]]
    assert [[len(x) for x in part] for part in held_back([IMAGES[0][:1], IMAGES[0][1:2]])] == [[1], [1]]
    copies = [IMAGES[0][:3], IMAGES[0][:3], torch.ones_like(IMAGES[0][:1])]
    assert [[len(x) for x in part] for part in held_back(copies)] == [[2], [1]]
    assert held_back([]) == ([], [])


def test_unlabelled_images_of_several_sizes() -> None:
    model = calibrated(tw.Winograd("F4"))
    found = refine(model, [IMAGES[0], IMAGES[1][..., :20, :24]], tw.CalibrationConfig(reconstruct=0), progress=False)
    assert found.after < found.before


def test_outputs_are_taken_in_as_many_passes_as_memory_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.small_cnn().eval()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    at_once = [outputs for _, outputs in passes.outputs_of(model, convs, IMAGES)]
    monkeypatch.setattr(passes, "KEPT_BYTES", 1)
    one_by_one = list(passes.outputs_of(model, convs, IMAGES))
    assert [layer for layer, _ in one_by_one] == convs
    for (_, outputs), wanted in zip(one_by_one, at_once, strict=True):
        assert len(outputs) == len(IMAGES)
        assert all(torch.equal(a, b) for a, b in zip(outputs, wanted, strict=True))


def test_nothing_is_said_where_all_could_be_fitted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = refine(calibrated(tw.Direct()), IMAGES, QUICK, progress=False)
    assert not found.complaint()
