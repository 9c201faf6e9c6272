from __future__ import annotations

import pytest
import torch

from tilewise.optimization.sample import Sample, Windows, reduction, window_side


def test_parts_are_disjoint_and_follow_the_seed() -> None:
    sample = Sample.of([(torch.arange(10.0).view(10, 1, 1, 1), torch.arange(10))])
    shown, held = sample.split(3)
    assert (len(shown), len(held)) == (7, 3)
    assert {float(x) for x in (*shown.images, *held.images)} == set(range(10))
    assert shown.targets is not None
    assert [float(x) for x in shown.images] == [float(y) for y in shown.targets]
    assert sample.split(3)[1].digest() == held.digest() != sample.split(4)[1].digest()
    assert [len(part) for part in Sample(1000 * sample.images[:1], None).split(0)] == [512, 488]


def test_bad_images_are_refused() -> None:
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match="the data has 1 images; at least 2"):
        Sample.of([x[:1]])
    with pytest.raises(ValueError, match="the data has 0 images"):
        Sample.of([])
    with pytest.raises(TypeError, match=r"torch.uint8 of shape \(2, 3, 4, 4\)"):
        Sample.of([x.byte()])
    with pytest.raises(ValueError, match="NaN"):
        Sample.of([x / 0])
    with pytest.raises(ValueError, match="2 of 4 images have targets"):
        Sample.of([x, (x, torch.zeros(2))])


def test_windows_are_drawn_by_seed_and_epoch() -> None:
    images = [torch.rand(1, 3, 60, 70), torch.rand(1, 3, 50, 64)]
    windows = Windows(images, 48, 4, 3, 0)
    first = [x for x, _ in windows]
    assert [x.shape for x in first] == [(4, 3, 48, 48)] * 3
    assert all(torch.equal(a, b) for a, (b, _) in zip(first, windows, strict=True))
    windows.set_epoch(1)
    assert not torch.equal(first[0], next(iter(windows))[0])


def test_whole_images_of_one_size_go_together() -> None:
    images = [torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 6, 6)]
    assert {x.shape for x, _ in Windows(images, None, 3, 20, 0)} == {(3, 1, 4, 4), (3, 1, 6, 6)}


def test_windows_are_for_networks_that_map_pixels() -> None:
    image = torch.rand(1, 3, 64, 64)
    conv = torch.nn.Conv2d(3, 4, 3, padding=1)
    assert window_side(conv, image) == 48
    assert window_side(conv, image[..., :32]) is None
    assert window_side(torch.nn.Sequential(conv, torch.nn.Flatten()), image) is None


def test_windows_of_a_network_that_makes_maps_smaller_are_larger() -> None:
    image = torch.rand(1, 1, 96, 128)
    deep = [layer for _ in range(3) for layer in (torch.nn.Conv2d(1, 1, 3, 2, 1), torch.nn.ReLU())]
    net = torch.nn.Sequential(*deep, torch.nn.Upsample(scale_factor=8))
    assert reduction(net, image) == 8
    assert window_side(net, image) == 64
    assert window_side(net, image[..., :63]) is None
    gate = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Conv2d(1, 1, 1))
    assert reduction(gate, image) == 1
