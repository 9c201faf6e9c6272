"""A run continues only as what it was: every setting that matters is compared, and the first difference is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import tilewise as tw
from tilewise import zoo
from tilewise.data import Batches, Images, load
from tilewise.train import Segmentation, runs

DIGEST = "[0-9a-f]{16}"
SMALL = ("--model", "small", "--data", "digits", "--threads", 1, "--epochs", 1)
ON = {"--train-images": 40, "--batch": 20, "--algorithm": "F4", "--bits": 8, "--skips": "float"}


def weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    tw.save_weights(zoo.small_cnn(), path)
    return path


def adapt(out: Path, start: Path, **changes: object) -> tuple[object, ...]:
    options = ON | {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    flat = (part for pair in options.items() for part in pair)
    return "adapt", *SMALL, *flat, "--weights", start, "--out", out, "--resume"


def test_each_setting_of_a_run_must_agree(cli: Any, refusal: Any, tmp_path: Path) -> None:
    out, start = tmp_path / "run", weights(tmp_path / "a.safetensors", 0)
    whole = cli(*adapt(out, start))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for changes, message in (
        ({"batch": 10}, "train.batch = 20, not 10"),
        ({"train_images": 20}, "train_images = 40, not 20"),
        ({"bits": 10}, "bits = 8, not 10"),
        ({"algorithm": "F4-textbook"}, "algorithm = F4, not F4-textbook"),
        ({"scales": "tensor"}, "scales = None, not tensor"),
        ({"skips": "quantized"}, "skips = float, not quantized"),
        ({"transforms": "learned"}, "transforms = static, not learned"),
        ({"calibration_images": 10}, "calibration_images = 512, not 10"),
        ({"layers": "convs.1"}, "layers = *, not convs.1"),
        ({"lr": 0.1}, "lr = 0.001, not 0.1"),
    ):
        wrong = refusal(*adapt(out, start, **changes))
        assert wrong == f"error: the run in {out} has {message}; resume it with the same"
    other = weights(tmp_path / "b.safetensors", 1)
    assert "has weights = " in refusal(*adapt(out, other))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert cli(*adapt(out, start)) == whole
    (tmp_path / "elsewhere").mkdir()
    moved = start.rename(tmp_path / "elsewhere" / "c.safetensors")
    assert cli(*adapt(out, moved)) == whole, "where a file lies is no setting"


def images(seed: int) -> Images:
    return load("digits", "train").subset(40, seed)


def fit(out: Path, *, model: int = 0, train: int = 0, val: int = 0, **more: Any) -> None:
    torch.manual_seed(model)
    net = tw.convert(zoo.small_cnn(), {"*": tw.Direct()})
    config = tw.TrainConfig(epochs=1, out=out, resume=True, progress=False)
    tw.fit(net, Batches(images(train), 20, shuffle=True), Batches(images(val), 40), config, **more)


def test_fit_compares_data_weights_and_origin_by_their_content(tmp_path: Path) -> None:
    fit(tmp_path / "a")
    for changes, message in (
        ({"model": 1}, f"start = {DIGEST}, not {DIGEST}"),
        ({"train": 1}, f"train.data = digits, 40 images, digest {DIGEST}, not digits, 40 images, digest {DIGEST}"),
        ({"val": 1}, r"val.data = "),
        ({"teacher": zoo.small_cnn()}, f"teacher = None, not {DIGEST}"),
        ({"task": Segmentation(classes=10, void=10)}, r"task = Classification\(\), not Segmentation"),
    ):
        with pytest.raises(ValueError, match=f"has {message}"):
            fit(tmp_path / "a", **changes)
    fit(tmp_path / "b", origin={"weights": "x"})
    with pytest.raises(ValueError, match="has weights = x, not y"):
        fit(tmp_path / "b", origin={"weights": "y"})
    fit(tmp_path / "b", origin={"weights": "x"}, model=1)  # the caller knows where the model comes from


def test_what_a_run_is_stands_there_before_its_first_epoch(tmp_path: Path) -> None:
    identity = {"lr": 1.0, "specs": {"a": [1, 2]}}
    assert runs.open_run(tmp_path, identity, resume=False) is None
    with pytest.raises(ValueError, match=r"has specs.a = \[1, 2\], not \[1, 3\]"):
        runs.open_run(tmp_path, identity | {"specs": {"a": [1, 3]}}, resume=True)
    assert runs.open_run(tmp_path, identity | {"lr": 2.0}, resume=False) is None, "nothing was lost by starting anew"
    with pytest.raises(ValueError, match=r"has lr = 2.0, not 1.0"):
        runs.open_run(tmp_path, identity, resume=True)


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_files_that_do_not_say_what_a_run_is_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / runs.IDENTITY).write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is "):
        runs.open_run(tmp_path, {}, resume=True)


def test_a_checkpoint_of_an_unknown_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / runs.LAST).touch()
    with pytest.raises(ValueError, match=r"has a checkpoint but no run\.json"):
        runs.open_run(tmp_path, {}, resume=True)


def test_differences_are_named_and_kept_short() -> None:
    assert runs.difference({"a": {"b": 1}}, {"a": {"b": 1}}) is None
    assert runs.difference({"a": {"b": 1}}, {"a": {"b": 2}}) == ("a.b", "1", "2")
    assert runs.difference({"a": 1}, {}) == ("a", "1", "None")
    long = runs.difference({"a": "x" * 300}, {"a": "y"})
    assert long is not None
    assert long[1] == "x" * 100 + "..."


def test_a_model_goes_on_in_the_session_that_trained_it(tmp_path: Path) -> None:
    def go_on(net: torch.nn.Module, train: Any) -> None:
        config = tw.TrainConfig(epochs=3, out=tmp_path / "run", resume=True, progress=False)
        tw.fit(net, train, Batches(images(0), 40), config)

    class Interrupted(Batches):
        """Ctrl-C within the second epoch."""

        def __iter__(self) -> Any:
            for number, batch in enumerate(super().__iter__()):
                if self.epoch == 1 and number == 1:
                    raise KeyboardInterrupt
                yield batch

    torch.manual_seed(0)
    net = tw.convert(zoo.small_cnn(), {"*": tw.Direct()})
    with pytest.raises(KeyboardInterrupt):
        go_on(net, Interrupted(images(0), 20, shuffle=True))
    assert len(runs.read_log(tmp_path / "run")) == 1
    go_on(net, Batches(images(0), 20, shuffle=True))
    assert len(runs.read_log(tmp_path / "run")) == 3
    last = (tmp_path / "run" / runs.LAST).read_bytes()
    go_on(net, Batches(images(0), 20, shuffle=True))
    assert (tmp_path / "run" / runs.LAST).read_bytes() == last
    with torch.no_grad():
        next(net.parameters()).add_(1.0)
    with pytest.raises(ValueError, match=f"has start = {DIGEST}, not {DIGEST}"):
        go_on(net, Batches(images(0), 20, shuffle=True))
