from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch

from tilewise.data import load

SETS = {
    "mnist": ("ylecun/mnist", "image", "label", (28, 28)),
    "cifar10": ("uoft-cs/cifar10", "img", "label", (32, 32, 3)),
    "cifar100": ("uoft-cs/cifar100", "img", "fine_label", (32, 32, 3)),
}


@pytest.fixture
def hub(monkeypatch):
    """Stand in for the datasets library; asked[...] are its calls, rows its answer."""
    module = types.ModuleType("datasets")
    module.asked, module.rows, module.error = [], [], None

    def load_dataset(name, *, split):
        module.asked.append((name, split))
        if module.error:
            raise module.error
        return module.rows

    module.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", SETS)
def test_rows_become_images(hub, name, split):
    identity, image, label, shape = SETS[name]
    pixels = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    hub.rows = [{image: p, label: i, "coarse_label": 0} for i, p in enumerate(pixels)]
    got = load(name, split)
    assert hub.asked == [(identity, split)]
    assert got.labels.tolist() == [0, 1, 2]
    channels_last = got.images.permute(0, 2, 3, 1).reshape(pixels.shape)
    assert torch.equal(channels_last, torch.from_numpy(pixels))
    assert got.images.is_contiguous()


def test_pictures_of_pillow_are_read(hub):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    hub.rows = [{"img": image.fromarray(pixels), "label": 7}]
    got = load("cifar10", "test")
    assert torch.equal(got.images[0].permute(1, 2, 0), torch.from_numpy(pixels))


GOOD = {"img": np.zeros((32, 32, 3), np.uint8), "label": 0}


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "at least one"),
        ([GOOD | {"label": 10}], r"labels in \[0, 9\]"),
        ([GOOD | {"label": -1}], r"labels in \[0, 9\]"),
        ([GOOD, {"label": 1}], "KeyError: 'img'"),
        ([GOOD | {"img": np.zeros((32, 32), np.uint8)}], r"image 0 is uint8 of shape \(32, 32\)"),
        ([GOOD | {"img": np.zeros((16, 64, 3), np.uint8)}], r"shape \(16, 64, 3\)"),
        ([GOOD | {"img": np.zeros((32, 32, 3), np.float32)}], "image 0 is float32"),
    ],
)
def test_other_content_is_an_error_that_says_what_to_do(hub, rows, reason):
    hub.rows = rows
    with pytest.raises(FileNotFoundError, match=rf"{reason}.*--data-root DIR.*cifar-10-batches-py") as caught:
        load("cifar10", "test")
    assert caught.value.__cause__ is not None


def test_no_network_says_what_to_do(hub):
    hub.error = ConnectionError("offline")
    with pytest.raises(FileNotFoundError, match=r"ConnectionError: offline.*--data-root DIR") as caught:
        load("cifar100", "train")
    assert caught.value.__cause__ is hub.error


def test_library_not_installed_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(FileNotFoundError, match=r"MNIST/raw/train-images.*pip install 'tilewise\[hub\]'") as caught:
        load("mnist", "train")
    assert isinstance(caught.value.__cause__, ImportError)
