from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tilewise.data import Batches, Images
from tilewise.data.batches import shift_and_flip


def make(count=10, *, flips=True, channels=3, height=6, width=5):
    generator = torch.Generator().manual_seed(7)
    shape = (count, channels, height, width)
    return Images(
        name="some",
        images=torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8),
        labels=torch.arange(count),
        classes=count,
        mean=(0.4, 0.5, 0.6)[:channels],
        std=(0.1, 0.2, 0.3)[:channels],
        flips=flips,
    )


def normalised(images):
    mean, std = (torch.tensor(v, dtype=torch.float64).view(-1, 1, 1) for v in (images.mean, images.std))
    return (images.images.double() / 255 - mean) / std


def joined(batches):
    xs, ys = zip(*batches, strict=True)
    return torch.cat(xs), torch.cat(ys)


def raw(x, images):
    """Undo the normalisation."""
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (images.mean, images.std))
    return ((x * std + mean) * 255).round().to(torch.uint8)


def same(left, right):
    return all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(left, right, strict=True))


def test_plain_batches_are_the_normalised_images_in_order():
    images = make()
    batches = Batches(images, 4)
    assert [len(y) for _, y in batches] == [4, 4, 2]
    assert (len(batches), batches.samples) == (3, 10)
    x, y = joined(batches)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(y, images.labels)
    assert torch.allclose(x.double(), normalised(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "drop_last", "sizes"),
    [
        (3, False, [3, 3, 3, 1]),
        (3, True, [3, 3, 3]),
        (5, True, [5, 5]),
        (10, True, [10]),
        (99, False, [10]),
        (1, True, [1] * 10),
    ],
)
def test_sizes(size, drop_last, sizes):
    batches = Batches(make(), size, drop_last=drop_last, shuffle=True, augment=True)
    assert [len(x) for x, _ in batches] == sizes
    assert (len(batches), batches.samples) == (len(sizes), sum(sizes))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"batch_size": -4}, "batch_size is -4"),
        ({"batch_size": 11, "drop_last": True}, "some has 10 images: with drop_last no batch is left"),
        ({"batch_size": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Batches(make(), **arguments)


def test_negative_epoch_is_refused():
    with pytest.raises(ValueError, match="epoch is -1"):
        Batches(make(), 1).set_epoch(-1)


def test_shuffled_batches_hold_every_image_once_beside_its_label():
    images = make()
    x, y = joined(Batches(images, 3, shuffle=True))
    assert not torch.equal(y, images.labels)
    assert torch.equal(y.sort().values, images.labels)
    assert torch.equal(raw(x, images), images.images[y])


def test_passes_depend_on_seed_and_epoch_only():
    images = make(40)
    arguments = {"shuffle": True, "augment": True}
    batches = Batches(images, 8, seed=1, **arguments)
    first = list(batches)
    assert same(first, batches)
    batches.set_epoch(5)
    fifth = list(batches)
    assert not same(first, fifth)
    torch.manual_seed(123)
    fresh = Batches(images, 8, seed=1, **arguments)
    fresh.set_epoch(5)
    next(iter(fresh))  # a pass left early leaves no trace
    assert same(fifth, fresh)
    batches.set_epoch(0)
    assert same(first, batches)
    assert not same(first, Batches(images, 8, seed=2, **arguments))


def test_seed_and_epoch_are_not_added_up():
    images = make(40)
    one, other = Batches(images, 40, seed=1, shuffle=True), Batches(images, 40, seed=0, shuffle=True)
    other.set_epoch(1)
    assert not same(one, other)


def test_batch_size_does_not_change_what_is_drawn():
    images = make(40)
    one, other = (joined(Batches(images, size, shuffle=True, augment=True)) for size in (7, 40))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    list(Batches(make(), 4, shuffle=True, augment=True))
    assert torch.equal(before, torch.get_rng_state())


def slices(image, flip, dy, dx):
    """Do what the gather does, by hand."""
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 8, width + 8, dtype=image.dtype)
    padded[:, 4:-4, 4:-4] = image
    cut = padded[:, dy : dy + height, dx : dx + width]
    return cut.flip(2) if flip else cut


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 1, 1), (1, 2, 9), (3, 32, 32)])
def test_all_162_moves_equal_slices(shape):
    kinds = list(itertools.product((0, 1), range(9), range(9)))
    pixels = torch.randint(1, 256, (len(kinds), *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    got = shift_and_flip(pixels, torch.arange(162))
    assert got.is_contiguous()
    for image, result, kind in zip(pixels, got, kinds, strict=True):
        assert torch.equal(result, slices(image, *kind)), kind
    assert torch.equal(got[4 * 9 + 4], pixels[4 * 9 + 4])


@given(st.integers(0, 2**40), st.integers(0, 1000), st.booleans(), st.integers(1, 12))
def test_augmented_batches_are_moved_images(seed, epoch, flips, size):
    images = make(6, flips=flips)
    batches = Batches(images, size, shuffle=True, augment=True, seed=seed)
    batches.set_epoch(epoch)
    x, y = joined(batches)
    allowed = list(itertools.product((0, 1) if flips else (0,), range(9), range(9)))
    for result, label in zip(raw(x, images), y, strict=True):
        assert any(torch.equal(result, slices(images.images[label], *kind)) for kind in allowed)


@pytest.mark.parametrize("flips", [True, False])
def test_moves_are_uniform_and_flip_only_where_allowed(flips):
    images = make(1, flips=flips, channels=1, height=1, width=1)
    images = Images(
        **(vars(images) | {"images": images.images.repeat(16200, 1, 1, 1), "labels": images.labels.repeat(16200)})
    )
    batches = Batches(images, 1, augment=True)
    _, moves = batches._draw()
    counts = moves.bincount(minlength=162)
    if flips:
        assert (counts - 100).abs().max() < 50  # five standard deviations
    else:
        assert (counts[:81] - 200).abs().max() < 71
        assert counts[81:].sum() == 0


def test_padding_is_black_before_normalisation():
    images = make(50)
    x, _ = joined(Batches(images, 50, augment=True))
    black = (-torch.tensor(images.mean) / torch.tensor(images.std)).view(-1, 1)
    top_row_is_padding = (x[:, :, 0] - black).abs().amax((1, 2)) < 1e-6
    assert 0 < int(top_row_is_padding.sum()) < 50


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device_makes_no_difference():
    images = make(40)
    batches = [Batches(images, 8, shuffle=True, augment=True, device=d) for d in ("cpu", "cuda")]
    for (x, y), (gx, gy) in zip(*batches, strict=True):
        assert gx.is_cuda
        assert torch.equal(y, gy.cpu())
        assert torch.allclose(x, gx.cpu(), rtol=0, atol=1e-6)
