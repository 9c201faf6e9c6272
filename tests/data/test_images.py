from __future__ import annotations

import dataclasses

import pytest
import torch

from tilewise.data import Images


def make(**changes):
    return Images(
        **{
            "name": "some",
            "images": torch.arange(10 * 2 * 3 * 4).to(torch.uint8).view(10, 2, 3, 4),
            "labels": torch.arange(10),
            "classes": 10,
            "mean": (0.5, 0.5),
            "std": (0.2, 0.2),
            "flips": True,
        }
        | changes
    )


def test_length_and_identity():
    assert len(make()) == 10
    one, other = make(), make()
    assert one == one  # noqa: PLR0124
    assert one != other
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.name = "other"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": torch.zeros(10, 2, 3, 4)}, "must be uint8"),
        ({"images": torch.zeros(10, 2, 3, dtype=torch.uint8)}, r"must be uint8 of shape \(N, C, H, W\)"),
        ({"images": torch.zeros(0, 2, 3, 4, dtype=torch.uint8), "labels": torch.arange(0)}, "not empty"),
        ({"labels": torch.arange(9)}, r"int64 of shape \(10,\)"),
        ({"labels": torch.arange(10).int()}, "must be int64"),
        ({"labels": torch.arange(10)[:, None]}, r"int64 of shape \(10,\)"),
        ({"classes": 9}, r"labels are in \[0, 9\]; allowed is \[0, 8\]"),
        ({"labels": torch.arange(10) - 1}, r"labels are in \[-1, 8\]"),
        ({"labels": torch.arange(10, device="meta")}, "labels are on meta, images on cpu"),
        ({"mean": (0.5,)}, "need 2 values"),
        ({"std": (0.5, 0.5, 0.5)}, "need 2 values"),
        ({"std": (0.5, 0.0)}, "only positive"),
    ],
)
def test_wrong_values_are_refused(changes, message):
    with pytest.raises(ValueError, match=rf"some: .*{message}"):
        make(**changes)


def test_subset_has_no_image_twice_and_keeps_pairs():
    whole = make()
    part = whole.subset(7, seed=3)
    assert len(part.labels.unique()) == 7
    for image, label in zip(part.images, part.labels, strict=True):
        assert torch.equal(image, whole.images[label])
    assert (part.name, part.classes, part.mean, part.std, part.flips) == (
        "some",
        10,
        (0.5, 0.5),
        (0.2, 0.2),
        True,
    )
    assert len(whole) == 10


def test_subset_depends_on_its_seed_only():
    torch.manual_seed(1)
    one = make().subset(10, seed=3).labels
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(one, make().subset(10, seed=3).labels)
    assert torch.equal(one[:4], make().subset(4, seed=3).labels)
    assert not torch.equal(one, make().subset(10, seed=4).labels)
    assert torch.equal(torch.arange(10), one.sort().values)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("count", [-1, 0, 11])
def test_subset_size_is_checked(count):
    with pytest.raises(ValueError, match=rf"subset of {count} was asked of some; it must be in \[1, 10\]"):
        make().subset(count)
