from __future__ import annotations

import pytest

from tilewise import data
from tilewise.data import NAMES, load


def test_public_names():
    assert data.__all__ == [
        "NAMES", "PAIRS", "SCENES", "Batches", "Images", "Known", "Pairs", "Scenes", "is_own", "load",
        "load_known", "load_own", "load_pairs", "load_scenes",
    ]  # fmt: skip
    assert NAMES == ("cifar10", "cifar100", "digits", "mnist")


@pytest.mark.parametrize("name", ["", "CIFAR10", "imagenet", "../mnist"])
def test_unknown_name_lists_the_allowed_ones(name):
    with pytest.raises(ValueError, match=rf"{name!r} is unknown; allowed are cifar10, cifar100, digits, mnist"):
        load(name, "train")


@pytest.mark.parametrize("name", NAMES)
def test_unknown_split_lists_the_allowed_ones(name, tmp_path):
    with pytest.raises(ValueError, match="'validation' is unknown; allowed are train, test"):
        load(name, "validation", tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "mnist"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_wrong_root_says_what_was_sought_and_what_to_do(name, split, tmp_path):
    file = tmp_path / "file"
    file.touch()
    advice = r"Give --data-root DIR .* install the hub extra \(pip install 'tilewise\[hub\]'\)"
    for root in (tmp_path / "nowhere", file):
        with pytest.raises(FileNotFoundError, match=rf"{root} is not a folder\. {advice}"):
            load(name, split, root)
    with pytest.raises(FileNotFoundError, match=rf"nor {tmp_path} has a file .*{advice}"):
        load(name, split, tmp_path)
