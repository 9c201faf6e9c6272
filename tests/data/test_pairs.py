from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tilewise.data import Pairs, load_pairs
from tilewise.data.pairs import bicubic, luma
from tilewise.train import SuperResolution

SIZES = {"T91": [(41, 50), (80, 47)], "Set5": [(13, 16), (22, 12)]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder, sizes in SIZES.items():
        (tmp_path / "SR" / folder).mkdir(parents=True)
        for i, (height, width) in enumerate(sizes):
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "SR" / folder / f"{i}.png")
    return tmp_path


def test_luma_is_that_of_the_standard() -> None:
    """Black, white, and the primaries, as MATLAB's rgb2ycbcr gives them."""
    rgb = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(rgb).tolist() == [[16, 235, 81, 145, 41]]


def test_bicubic_is_antialiased() -> None:
    """Stripes of one pixel vanish when halved; without a wider kernel they would stay."""
    stripes = np.tile(np.array([0, 255], np.uint8), (16, 8))
    halved = bicubic(stripes, 8, 8)
    assert halved.shape == (8, 8)
    assert np.ptp(halved[:, 2:-2]) <= 64
    assert (bicubic(np.full((9, 6), 77, np.uint8), 3, 2) == 77).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_loading(root: Path, scale: int) -> None:
    pairs = load_pairs("set5", "test", root, scale=scale)
    assert (pairs.name, pairs.task, len(pairs)) == ("set5", SuperResolution(scale), 2)
    for low, high, (height, width), i in zip(pairs.low, pairs.high, SIZES["Set5"], (0, 1), strict=True):
        assert tuple(low.shape) == (height // scale, width // scale)
        y = luma(np.array(Image.open(root / "SR" / "Set5" / f"{i}.png")))
        assert (high.numpy() == y[: height // scale * scale, : width // scale * scale]).all()
        assert (low.numpy() == bicubic(high.numpy(), *low.shape)).all()
    assert pairs.shape == (1, *pairs.low[0].shape)
    (x, y), _ = pairs.scoring()
    assert torch.equal(255 * x[0, 0], pairs.low[0].float())
    assert torch.equal(255 * y[0, 0], pairs.high[0].float())
    inner = load_pairs("set5", "test", root / "SR", scale=scale)
    assert all(map(torch.equal, inner.high, pairs.high))


def test_patches_are_cut_alike(root: Path) -> None:
    """In low resolution and in high: the low pixel is the corner of its high block if high is low repeated."""
    pairs = load_pairs("set5", "train", root, scale=2)
    high = tuple(low.repeat_interleave(2, 0).repeat_interleave(2, 1) for low in pairs.low)
    batches = Pairs(name="x", low=pairs.low, high=high, task=SuperResolution(2)).training(3, seed=1)
    seen = 0
    for x, y in batches:
        assert torch.equal(x, y[..., ::2, ::2])
        assert torch.equal(x, y[..., 1::2, 1::2])
        assert x.shape[1:] == (1, batches.side, batches.side)
        seen += len(x)
    assert batches.side == 20
    # 20 * 25 and 40 * 23 pixels in patches of 20 * 20.
    assert seen == batches.samples == 1 + 2
    assert len(batches) == 1


def test_patches_depend_on_seed_and_epoch_only(root: Path) -> None:
    pairs = load_pairs("set5", "train", root, scale=4)

    def patches(batch: int, seed: int, epoch: int) -> torch.Tensor:
        batches = pairs.training(batch, seed=seed)
        batches.set_epoch(epoch)
        return torch.cat([x for x, _ in batches])

    assert torch.equal(patches(1, 0, 0), patches(4, 0, 0))
    assert not torch.equal(patches(1, 0, 0), patches(1, 1, 0))
    assert not torch.equal(patches(1, 0, 0), patches(1, 0, 1))


def test_subsets(root: Path) -> None:
    pairs = load_pairs("set5", "train", root, scale=2)
    one = pairs.subset(1, seed=3)
    assert len(one) == 1
    assert any(one.low[0] is low for low in pairs.low)
    with pytest.raises(ValueError, match=r"a subset of 3 was asked of set5; it must be in \[1, 2\]"):
        pairs.subset(3)


def test_bad_requests_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="super-resolution set 'set6' is unknown; allowed are set5, set14"):
        load_pairs("set6", "test", root, scale=2)
    with pytest.raises(ValueError, match="split 'val' is unknown; allowed are train, test"):
        load_pairs("set5", "val", root, scale=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale is 5; allowed: 2, 3, 4"):
        load_pairs("set5", "test", root, scale=5)
    with pytest.raises(FileNotFoundError, match="set5 needs --data-root DIR"):
        load_pairs("set5", "test", None, scale=2)
    with pytest.raises(FileNotFoundError, match=r"is a folder with images.*the images of Set14.* in DIR/SR/Set14"):
        load_pairs("set14", "test", root, scale=2)
    (root / "SR" / "Set5" / "0.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(ValueError, match=r"0\.png is not a readable image"):
        load_pairs("set5", "test", root, scale=2)
    (root / "SR" / "Set5" / "0.png").unlink()
    Image.new("RGB", (7, 40)).save(root / "SR" / "Set5" / "0.png")
    with pytest.raises(ValueError, match=r"has 40x7 pixels; too few for scale 3"):
        load_pairs("set5", "test", root, scale=3)


def test_pairs_fit_each_other() -> None:
    low, high = torch.zeros(4, 5, dtype=torch.uint8), torch.zeros(8, 9, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"a pair is .* \(4, 5\) and .* \(8, 9\); both must be uint8"):
        Pairs(name="x", low=(low,), high=(high,), task=SuperResolution(2))
    with pytest.raises(ValueError, match="1 low and 0 high images"):
        Pairs(name="x", low=(low,), high=(), task=SuperResolution(2))
