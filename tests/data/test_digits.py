from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits

from tilewise.data import load


@pytest.fixture(scope="module")
def splits():
    return load("digits", "train"), load("digits", "test")


def test_shape_range_and_facts(splits):
    for images, count in zip(splits, (1297, 500), strict=True):
        assert len(images) == count
        assert images.images.shape == (count, 1, 32, 32)
        assert (int(images.images.min()), int(images.images.max())) == (0, 255)
        assert (images.classes, images.flips) == (10, False)


def test_normalisation_is_that_of_the_training_images(splits):
    pixels = splits[0].images.double() / 255
    assert splits[0].mean == pytest.approx((float(pixels.mean()),), abs=1e-4)
    assert splits[0].std == pytest.approx((float(pixels.std()),), abs=1e-4)


def test_split_is_stratified(splits):
    train, test = (s.labels.bincount(minlength=10) for s in splits)
    assert (test - 500 * (train + test) / 1797).abs().max() <= 1


def test_split_is_disjoint_and_complete(splits):
    # bilinear stretching by 4 keeps the 8 x 8 images apart, and all 1,797 of them differ
    everything = torch.cat([s.images.flatten(1) for s in splits])
    assert len(everything.unique(dim=0)) == 1797
    assert torch.cat([s.labels for s in splits]).bincount().tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]


def test_a_constant_area_keeps_its_scaled_grey(splits):
    source = torch.from_numpy(load_digits().images)
    assert int(source.max()) == 16
    corners = torch.cat([s.images for s in splits])[:, 0, 0, 0].double().sort().values
    assert torch.equal(corners, (source[:, 0, 0] * 255 / 16).round().sort().values)


def test_loading_twice_gives_the_same_and_root_is_ignored(splits):
    again = load("digits", "test", "/nowhere")
    assert torch.equal(again.images, splits[1].images)
    assert torch.equal(again.labels, splits[1].labels)
