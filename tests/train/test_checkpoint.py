from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.quant.fake import Range
from tilewise.train import checkpoint


def calibrated(spec: tw.Winograd | tw.Direct) -> nn.Module:
    model = tw.convert(zoo.small_cnn(), {"*": spec})
    return tw.calibrate(model, [torch.randn(4, 1, 32, 32)])


@pytest.mark.parametrize(
    "spec",
    [
        tw.Direct(),
        tw.Winograd("F4", transforms="learned"),
        tw.Winograd("F4", transforms="sparse"),
        tw.Winograd("F6", transforms="convolution"),
        tw.Winograd("F2", quantizer="paper", scales="tensor"),
    ],
)
def test_round_trip_restores_layers_weights_and_ranges(spec: tw.Winograd | tw.Direct, tmp_path: Path) -> None:
    model = calibrated(spec)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("BT", "points")):
                parameter.add_(torch.randn_like(parameter), alpha=0.4)
    tw.save_weights(model, tmp_path / "m.safetensors")
    loaded = tw.load_weights(zoo.small_cnn(), tmp_path / "m.safetensors").eval()
    x = torch.randn(3, 1, 32, 32)
    assert (loaded(x) == model(x)).all()
    assert tw.describe(loaded) == tw.describe(model)


def test_weights_from_before_the_smallest_value_was_measured_have_symmetric_grids(tmp_path: Path) -> None:
    model = calibrated(tw.Direct())
    path = tmp_path / "m.safetensors"
    tw.save_weights(model, path)
    tensors, description = checkpoint.read(path)
    checkpoint.write(path, {n: t for n, t in tensors.items() if not n.endswith(".lowest")}, description)
    ranges = [m for m in tw.load_weights(zoo.small_cnn(), path).modules() if isinstance(m, Range)]
    assert ranges
    assert all(r.numbers().low in (0, -127) for r in ranges)


def test_plain_torch_checkpoint_with_prefix_and_no_batch_counters(tmp_path: Path) -> None:
    model = zoo.small_cnn()
    state = {f"module.{k}": v for k, v in model.state_dict().items() if "num_batches" not in k}
    torch.save({"state_dict": state, "best_prec1": 91.0}, tmp_path / "m.th")
    loaded = tw.load_weights(zoo.small_cnn(), tmp_path / "m.th")
    assert all((loaded.state_dict()[k] == v).all() for k, v in model.state_dict().items())


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must never run",)


def test_files_that_are_not_checkpoints_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good.safetensors"
    tw.save_weights(calibrated(tw.Direct()), good)
    content = good.read_bytes()
    torch.save({"state_dict": Payload()}, tmp_path / "evil.th")
    torch.save([1, 2], tmp_path / "list.pt")
    cases = {
        "cut.safetensors": content[: len(content) // 2],
        "header.safetensors": b"\xff" * 8 + content[8:],
        "empty.safetensors": b"",
        "text.th": b"not a pickle",
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    for name in (*cases, "evil.th", "list.pt"):
        with pytest.raises(ValueError, match=name):
            tw.load_weights(zoo.small_cnn(), tmp_path / name)
    assert "must never run" not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tw.load_weights(zoo.small_cnn(), tmp_path / "nowhere.safetensors")


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = {k: v.clone() for k, v in zoo.small_cnn().state_dict().items()}
    changes = {
        "lacks classifier.bias": {k: v for k, v in state.items() if k != "classifier.bias"},
        "has the unknown extra": state | {"extra": torch.zeros(1)},
        r"has classifier.bias of shape \(3,\) instead of \(10,\)": state | {"classifier.bias": torch.zeros(3)},
        "has NaN or infinity in classifier.bias": state | {"classifier.bias": torch.full((10,), float("nan"))},
    }
    for message, tensors in changes.items():
        save_file(tensors, tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match=message):
            tw.load_weights(zoo.small_cnn(), tmp_path / "m.safetensors")


def test_foreign_or_newer_description_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for header, message in ((json.dumps({"version": 99}), "version 1"), ("{", "not JSON"), ("[]", "version 1")):
        save_file({"x": torch.zeros(1)}, path, metadata={"tilewise": header})
        with pytest.raises(ValueError, match=message):
            tw.load_weights(zoo.small_cnn(), path)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    tw.save_weights(zoo.small_cnn(), path)
    before = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("tilewise.common.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        tw.save_weights(zoo.small_cnn(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
