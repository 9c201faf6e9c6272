from __future__ import annotations

import copy
import json
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.data import Batches, load
from tilewise.train import checkpoint

TRAIN = load("digits", "train").subset(320)
TEST = load("digits", "test").subset(100)


def run(spec: tw.Winograd | tw.Direct, *, out: Path | None = None, seed: int = 0, **config: Any) -> nn.Module:
    torch.manual_seed(0)
    model = tw.convert(zoo.small_cnn(), {"*": spec})
    batches = Batches(TRAIN, 64, shuffle=True, augment=True, seed=seed)
    return tw.fit(model, batches, Batches(TEST, 100), tw.TrainConfig(out=out, seed=seed, progress=False, **config))


def state(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read(folder / "last.safetensors")[0]


def log(folder: Path) -> list[dict[str, Any]]:
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in e.items() if k != "seconds"} for e in entries]


@pytest.mark.parametrize("recipe", ["modern", "paper"])
def test_training_learns(recipe: Any) -> None:
    model = run(tw.Winograd("F4", transforms="learned"), epochs=6, recipe=recipe, lr=3e-3)
    assert tw.evaluate(model, Batches(TEST, 64)).value > 40
    assert not model.training


def test_transforms_have_a_rate_of_their_own() -> None:
    """Adam moves every number by about its rate in the first step, whatever the gradient."""
    spec = tw.Winograd("F4", transforms="learned")
    moved: list[dict[str, float]] = []
    for rate in (1.0, 0.1, 0.0):
        torch.manual_seed(0)
        start = tw.convert(zoo.small_cnn(), {"*": spec}).state_dict()
        trained = run(spec, epochs=1, lr=1e-3, transform_rate=rate).state_dict()
        kinds: dict[str, float] = {}
        for key, value in trained.items():
            kind = key.rpartition(".")[2]
            kinds[kind] = max(kinds.get(kind, 0.0), float((value.double() - start[key].double()).abs().max()))
        moved.append(kinds)
    for matrix in ("AT", "G", "BT"):
        assert moved[0][matrix] > 3 * moved[1][matrix] > moved[2][matrix] == 0
    assert all(kinds["weight"] > 1e-3 for kinds in moved)


def test_same_seed_same_weights_other_seed_others() -> None:
    a, b, c = (run(tw.Direct(), epochs=1, seed=seed) for seed in (0, 0, 1))
    states = [m.state_dict() for m in (a, b, c)]
    assert all((states[0][k] == states[1][k]).all() for k in states[0])
    assert any((states[0][k] != states[2][k]).any() for k in states[0])


SCRIPT = """
import sys, torch
sys.path.insert(0, {folder!r})
torch.set_num_threads(1)
import tilewise as tw
from tilewise import zoo
from tilewise.data import Batches, load
torch.manual_seed(0)
model = tw.convert(zoo.small_cnn(), {{"*": tw.Winograd("F4", transforms="learned")}})
train = Batches(load("digits", "train").subset(128), 64, shuffle=True, augment=True)
val = Batches(load("digits", "test").subset(100), 100)
tw.fit(model, train, val, tw.TrainConfig(out={out!r}, epochs=4, resume={resume}, progress=False))
"""


def start(out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    code = SCRIPT.format(folder=str(Path(tw.__file__).parents[1]), out=str(out), resume=resume)
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_killed_run_resumes_to_bit_identical_weights(kill_and_resume: Any) -> None:
    whole, killed = kill_and_resume(start, 4)
    a, b = state(whole), state(killed)
    assert a.keys() == b.keys()
    assert any(name.startswith("optimizer.") for name in a)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert log(whole) == log(killed)
    assert len(log(whole)) == 4


def test_an_existing_run_is_neither_overwritten_nor_mixed(tmp_path: Path) -> None:
    run(tw.Direct(), out=tmp_path, epochs=1)
    before = (tmp_path / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match="already holds a run"):
        run(tw.Direct(), out=tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"has lr = 0.001, not 0.5"):
        run(tw.Direct(), out=tmp_path, epochs=1, lr=0.5, resume=True)
    with pytest.raises(ValueError, match=r"has specs.convs.0.kind = direct, not winograd"):
        run(tw.Winograd("F4"), out=tmp_path, epochs=1, resume=True)
    (tmp_path / "last.safetensors").write_bytes(before[:1000])
    with pytest.raises(ValueError, match="not a readable safetensors"):
        run(tw.Direct(), out=tmp_path, epochs=1, resume=True)
    assert (tmp_path / "last.safetensors").read_bytes() == before[:1000]


def test_a_teacher_takes_the_place_of_the_labels(tmp_path: Path) -> None:
    net = run(tw.Direct(bits=32), epochs=4, lr=3e-3)
    nonsense = [(x, torch.zeros_like(y)) for x, y in Batches(TRAIN, 64)]
    start = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4-textbook", scales="tensor", bits=6)}), nonsense)
    x = next(iter(Batches(TEST, 100)))[0]

    def distance() -> float:
        with torch.no_grad():
            return float((start.eval()(x) - net(x)).norm())

    before = distance()
    config = tw.TrainConfig(epochs=2, out=tmp_path, freeze_norms=True, progress=False)
    untaught = deepcopy(start)
    tw.fit(start, nonsense, nonsense, config, teacher=net)
    assert distance() < before / 2
    with pytest.raises(ValueError, match=r"has teacher = [0-9a-f]{16}, not None"):
        tw.fit(untaught, nonsense, nonsense, replace(config, resume=True))


def test_frozen_norms_keep_their_statistics_and_still_learn() -> None:
    model, before = zoo.small_cnn(), zoo.small_cnn().state_dict()
    batches = Batches(TRAIN, 64)
    tw.fit(model, batches, Batches(TEST, 100), tw.TrainConfig(epochs=1, freeze_norms=True, progress=False))
    after = model.state_dict()
    assert all((after[k] == before[k]).all() for k in after if "running" in k)
    assert (after["norms.0.weight"] != 1).any()


def test_frozen_ranges_stay_and_the_rest_learns() -> None:
    model = tw.convert(zoo.small_cnn(), {"*": tw.Winograd("F4")}, skips="quantized")
    batches = Batches(TRAIN, 64)
    config = tw.TrainConfig(epochs=1, freeze_ranges=True, progress=False)
    with pytest.raises(ValueError, match=r"freeze_ranges is set, but .*input_range has seen no data yet; calibrate"):
        tw.fit(model, batches, batches, config)
    tw.calibrate(model, batches, limit=1)
    before = copy.deepcopy(model.state_dict())
    tw.fit(model, batches, Batches(TEST, 100), config)
    after = model.state_dict()
    ranges = [k for k in after if "range" in k]
    assert len(ranges) > 6
    assert all((after[k] == before[k]).all() for k in ranges)
    assert any((after[k] != before[k]).any() for k in after if k.endswith("weight"))
    tw.fit(model, batches, Batches(TEST, 100), replace(config, freeze_ranges=False))
    assert any((model.state_dict()[k] != before[k]).any() for k in ranges), "free again afterwards"


def test_a_teacher_sees_mixed_images() -> None:
    net = run(tw.Direct(bits=32), epochs=1)
    model, batches = tw.convert(net, {"*": tw.Winograd("F4")}), Batches(TRAIN, 64)
    config = tw.TrainConfig(epochs=1, mix=True, progress=False)
    with pytest.raises(ValueError, match="mix is set, but mixed images have no label; give a teacher"):
        tw.fit(model, batches, batches, config)
    seen = []
    net.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    tw.fit(model, batches, Batches(TEST, 100), config, teacher=net)
    for x, (images, _) in zip(seen, batches, strict=True):
        assert x.shape == images.shape
        assert (x != images).any()
        flat, parts = x.flatten(1), images.flatten(1)
        # Each lies on the line from its own image to some other of the batch.
        away, ways = flat - parts, parts[None] - parts[:, None]
        along = (away[:, None] * ways).sum(2) / ways.square().sum(2).clamp_min(1e-9)
        rest = (away[:, None] - along[..., None] * ways).norm(dim=2).amin(1)
        assert rest.max() < 1e-3
        assert along.isfinite().all()


def test_best_weights_are_kept(tmp_path: Path) -> None:
    run(tw.Winograd("F2"), out=tmp_path, epochs=3, lr=3e-3)
    best = tw.load_weights(zoo.small_cnn(), tmp_path / "best.safetensors")
    score = tw.evaluate(best, Batches(TEST, 100))
    assert score.value == max(e["accuracy"] for e in log(tmp_path))
    assert score.images == 100


def test_nan_in_data_or_a_diverging_run_stops_with_one_clear_error(tmp_path: Path) -> None:
    model = zoo.small_cnn()
    bad = [(torch.full((4, 1, 32, 32), float("nan")), torch.zeros(4, dtype=torch.int64))]
    config = tw.TrainConfig(epochs=1, out=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"training loss became nan by epoch 1, step 1"):
        tw.fit(model, bad, bad, config)
    assert not (tmp_path / "last.safetensors").exists()
    with pytest.raises(ValueError, match="NaN or infinity"):
        tw.evaluate(zoo.small_cnn(), bad)
    with pytest.raises(ValueError, match="is not finite"):
        tw.calibrate(tw.convert(zoo.small_cnn(), {"*": tw.Direct()}), bad)


def test_no_data() -> None:
    for call in (
        lambda: tw.evaluate(zoo.small_cnn(), []),
        lambda: tw.calibrate(zoo.small_cnn(), []),
        lambda: tw.fit(zoo.small_cnn(), [], [], tw.TrainConfig(epochs=1)),
    ):
        with pytest.raises(ValueError, match=r"^no "):
            call()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": -1.0}, "lr is -1.0"),
        ({"recipe": "best"}, "recipe is 'best'; allowed: modern, paper"),
        ({"transform_rate": 2.0}, "transform_rate is 2.0; allowed: 0 to 1"),
        ({"transform_rate": 0.1, "recipe": "paper"}, "the paper recipe has one rate for all"),
        ({"resume": True}, "out is not"),
    ],
)
def test_bad_config_is_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tw.TrainConfig(**kwargs)


def test_paper_schedule_divides_by_ten_at_three_and_four_fifths() -> None:
    config = tw.TrainConfig(epochs=10, recipe="paper")
    rates = [config.lr_at(epoch, 0, 100) for epoch in range(10)]
    assert rates == pytest.approx([1e-3] * 6 + [1e-4] * 2 + [1e-5] * 2)


def test_modern_schedule_warms_up_and_ends_near_zero() -> None:
    config = tw.TrainConfig(epochs=10)
    rates = [config.lr_at(e, s, 10) for e in range(10) for s in range(10)]
    assert max(rates) == pytest.approx(1e-3)
    assert rates[0] < 3e-4
    assert rates[-1] < 2e-6


def test_calibration_uses_evaluation_mode_and_forgets_earlier_ranges() -> None:
    model = tw.convert(zoo.small_cnn(), {"*": tw.Winograd("F4")})
    x = torch.randn(8, 1, 32, 32)
    tw.calibrate(model, [x * 100])
    norms = {k: v.clone() for k, v in model.state_dict().items() if "norms" in k}
    tw.calibrate(model, [(x, None), (x, None)], limit=1)
    first = model.convs[0].input_range
    torch.testing.assert_close(first.absmax, x.abs().max())
    assert int(first.batches) == 1
    assert all((model.state_dict()[k] == v).all() for k, v in norms.items())
    assert not model.training
