"""Images of the user's own, and networks by name, file and function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tilewise as tw
from tilewise.commands.options import named_model
from tilewise.data import is_own, load_own

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), np.uint8)


def pictures(folder: Path, pixels: Any = PIXELS) -> Path:
    folder.mkdir(parents=True)
    for i, x in enumerate(pixels):
        Image.fromarray(x).save(folder / f"{i}.png")
    return folder


def test_a_folder_of_images(tmp_path: Path) -> None:
    data = load_own(str(pictures(tmp_path / "all")), "test")
    assert torch.equal(data.images, torch.from_numpy(PIXELS).permute(0, 3, 1, 2))
    assert (data.classes, data.labels.tolist(), data.shape) == (1, [0] * 6, (3, 8, 10))
    sized = load_own(str(tmp_path / "all"), "train", size=4, mean=(0, 0, 0), std=(1, 1, 1))
    assert sized.shape == (3, 4, 4)
    assert sized.mean == (0, 0, 0)


def test_folders_of_classes_and_splits(tmp_path: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        pictures(tmp_path / split / "cats", PIXELS[:count])
        pictures(tmp_path / split / "dogs", PIXELS[:1])
    train, test = (load_own(str(tmp_path), split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 0, 0, 0, 1]
    assert test.labels.tolist() == [0, 0, 1]
    assert test.classes == 2


def test_arrays(tmp_path: Path) -> None:
    path = str(tmp_path / "own.npz")
    np.savez(path, images=PIXELS, labels=np.arange(6))
    data = load_own(path, "train")
    assert data.shape == (3, 8, 10)
    assert data.classes == 6
    np.savez(path, x_train=PIXELS[..., 0], y_train=np.ones((6, 1), np.uint8), x_test=PIXELS[:2, ..., 0])
    assert load_own(path, "train").labels.tolist() == [1] * 6
    assert load_own(path, "val").shape == (1, 8, 10)
    assert load_own(path, "test").std == (1.0,)


def test_bad_data(tmp_path: Path) -> None:
    assert is_own("a/b")
    assert not is_own("digits")
    with pytest.raises(FileNotFoundError, match="there is no folder /no/where"):
        load_own("/no/where", "test")
    with pytest.raises(FileNotFoundError, match="there is no image"):
        load_own(str(tmp_path), "test")
    folder = pictures(tmp_path / "uneven")
    Image.fromarray(PIXELS[0, :5]).save(folder / "z.png")
    with pytest.raises(
        ValueError, match=r"0\.png and .*z\.png are 8x10 and 5x10; all have to be alike, or --image-size"
    ):
        load_own(str(folder), "test")
    (folder / "z.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"z\.png is not a readable image"):
        load_own(str(folder), "test")
    path = tmp_path / "own.npz"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_own(str(path), "test")
    path.write_bytes(b"no arrays")
    with pytest.raises(ValueError, match=r"own\.npz is no \.npz file of arrays, or a damaged one"):
        load_own(str(path), "test")
    np.savez(path, pixels=PIXELS)
    with pytest.raises(ValueError, match=r"has the arrays pixels; allowed: images, or x_test"):
        load_own(str(path), "test")
    np.savez(path, images=PIXELS.astype(np.float32))
    with pytest.raises(ValueError, match=r"images are float32 of shape \(6, 8, 10, 3\); allowed: uint8"):
        load_own(str(path), "test")
    np.savez(path, images=np.array([{}], object))
    with pytest.raises(ValueError, match=r"own\.npz is no \.npz file of arrays"):
        load_own(str(path), "test")


def test_networks_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\ndef tiny(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))\n"
        "def text(): return 'no network'\n"
    )
    assert isinstance(named_model("own_nets:tiny", channels=3), nn.Sequential)
    bad = {
        "vgg": "unknown model 'vgg'; allowed: .*, a file",
        "own_nets:none": "own_nets has no function 'none'",
        "no_such_module:f": "model 'no_such_module:f': No module named",
        "own_nets:text": "gives str; allowed: a torch.nn.Module",
    }
    for name, message in bad.items():
        with pytest.raises(ValueError, match=message):
            named_model(name, channels=3)
    with pytest.raises(ValueError, match=r"width is 0\.5, but own_nets:tiny has none"):
        named_model("own_nets:tiny", channels=3, width=0.5)
    with pytest.raises(FileNotFoundError, match=r"there is no ONNX file at none\.onnx"):
        named_model("none.onnx", channels=3)
    with pytest.raises(FileNotFoundError, match=r"there is no exported program at none\.pt2"):
        named_model("none.pt2", channels=3)


def test_own_network_and_images_compile_from_the_command_line(
    cli: Any, refusal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    torch.export.save(torch.export.export(net.eval(), (torch.randn(2, 3, 8, 10),)), tmp_path / "net.pt2")
    (tmp_path / "more_nets.py").write_text("import tilewise as tw\ndef of_file(): return tw.from_pt2('net.pt2')\n")
    pictures(tmp_path / "data" / "a")
    pictures(tmp_path / "data" / "b", 255 - PIXELS)
    on = ("--data", "data/", "--threads", 1)
    made = cli("compile", "--model", "net.pt2", *on, "--algorithm", "direct", "--batch", 2, "--out", "net.tilewise")
    assert made["operations"] > 0
    assert cli("run", "net.tilewise", *on)["images"] == 12
    assert tw.load("net.tilewise").inputs[0].channels == 3
    assert cli("evaluate", "--model", "more_nets:of_file", *on)["accuracy"] >= 0
    own = ("--mean", 0, 0, 0, "--data", "digits")
    assert "image-size, mean and std are for a folder" in refusal("evaluate", "--model", "small", *own)
