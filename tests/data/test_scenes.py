from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tilewise.data import Scenes, load_scenes
from tilewise.data.catalogue import PHOTO_MEAN, PHOTO_STD
from tilewise.data.scenes import SCENES, SCORED, zoomed

HEIGHT, WIDTH = 20, 24


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CamVid in small; the red of each pixel is ten times its label, so that both can be compared."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        for folder in (split, f"{split}annot"):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
        for i in range(count):
            labels = np.repeat(np.repeat(rng.integers(0, 12, (5, 6), dtype=np.uint8), 4, 0), 4, 1)
            pixels = np.stack([10 * labels, labels, labels], 2)
            Image.fromarray(pixels).save(tmp_path / "CamVid" / split / f"{i}.png")
            Image.fromarray(labels).save(tmp_path / "CamVid" / f"{split}annot" / f"{i}.png")
    return tmp_path


def test_loading(root: Path) -> None:
    scenes = load_scenes("camvid", "test", root)
    assert (scenes.name, len(scenes), scenes.classes, scenes.shape) == ("camvid", 3, 11, (3, HEIGHT, WIDTH))
    assert torch.equal(scenes.images[:, 0], 10 * scenes.maps)
    assert scenes.task == SCENES["camvid"]
    (x, y), = scenes.scoring()  # fmt: skip
    assert torch.equal(y, scenes.maps.long())
    red = (x[:, 0] * PHOTO_STD[0] + PHOTO_MEAN[0]) * 255
    torch.testing.assert_close(red, scenes.images[:, 0].float(), rtol=0, atol=1e-3)
    assert len(load_scenes("camvid", "train", root / "CamVid").scoring()) == -(-5 // SCORED)


def test_windows_keep_labels_with_their_pixels(root: Path) -> None:
    batches = load_scenes("camvid", "train", root).training(2, seed=1)
    agree = total = 0
    for x, y in batches:
        assert x.shape[2:] == y.shape[1:] == (HEIGHT, WIDTH)
        assert int(y.max()) <= 11
        red = (x[:, 0] * PHOTO_STD[0] + PHOTO_MEAN[0]) * 255
        agree += int(((red - 10 * y).abs() < 1).sum())
        total += y.numel()
    assert batches.samples == 5
    assert agree > 0.5 * total  # between blocks of one label pixels are blended


def test_the_whole_window_is_the_image_itself() -> None:
    image, labels = torch.rand(3, 6, 8), torch.arange(48).view(6, 8).byte()
    same, kept = zoomed(image, labels, 0.0, 0.5, 0.5, 0.0)  # the largest window is larger than this image
    assert torch.equal(kept, labels)
    torch.testing.assert_close(same, image)
    mirrored = zoomed(image, labels, 0.0, 0.5, 0.5, 0.9)
    assert torch.equal(mirrored[1], labels.flip(1))
    smaller = zoomed(image, labels, 0.99, 0.0, 0.99, 0.0)[1]  # 4x5 pixels, from the upper right corner
    assert (int(smaller[0, 0]), int(smaller[0, -1]), int(smaller[-1, 0])) == (3, 7, 27)


def test_windows_depend_on_seed_and_epoch_only(root: Path) -> None:
    scenes = load_scenes("camvid", "train", root)

    def maps(batch: int, seed: int, epoch: int) -> torch.Tensor:
        batches = scenes.training(batch, seed=seed)
        batches.set_epoch(epoch)
        return torch.cat([y for _, y in batches])

    assert torch.equal(maps(2, 0, 0), maps(5, 0, 0))
    assert not torch.equal(maps(2, 0, 0), maps(2, 1, 0))
    assert not torch.equal(maps(2, 0, 0), maps(2, 0, 1))


def test_subsets(root: Path) -> None:
    scenes = load_scenes("camvid", "train", root)
    some = scenes.subset(2, seed=1)
    assert len(some) == 2
    assert torch.equal(some.images[:, 0], 10 * some.maps)
    with pytest.raises(ValueError, match=r"a subset of 0 was asked of camvid; it must be in \[1, 5\]"):
        scenes.subset(0)


def test_bad_requests_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="segmentation set 'ade' is unknown; allowed are camvid"):
        load_scenes("ade", "test", root)
    with pytest.raises(ValueError, match="split 'dev' is unknown; allowed are train, val, test"):
        load_scenes("camvid", "dev", root)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="camvid needs --data-root DIR"):
        load_scenes("camvid", "test", None)
    with pytest.raises(FileNotFoundError, match=r"CamVid's images .* in DIR/CamVid/train"):
        load_scenes("camvid", "train", root / "nowhere")


def test_bad_files_are_refused(root: Path) -> None:
    folder = root / "CamVid"
    labels = folder / "testannot" / "1.png"
    Image.fromarray(np.full((HEIGHT, WIDTH), 12, np.uint8)).save(labels)
    with pytest.raises(ValueError, match="a label is 12; allowed: 0 to 10, and 11 for void"):
        load_scenes("camvid", "test", root)
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(labels)
    with pytest.raises(ValueError, match=r"testannot/1\.png is not a readable image: its pixels are RGB"):
        load_scenes("camvid", "test", root)
    Image.fromarray(np.zeros((HEIGHT, WIDTH - 1), np.uint8)).save(labels)
    with pytest.raises(ValueError, match=r"1\.png: the image has \(20, 24\) pixels, its label map \(20, 23\)"):
        load_scenes("camvid", "test", root)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"camvid: 1\.png has no label map 1\.png in testannot"):
        load_scenes("camvid", "test", root)


def test_scenes_check_themselves() -> None:
    images, maps = torch.zeros(2, 3, 4, 5, dtype=torch.uint8), torch.zeros(2, 4, 5, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"images are torch\.float32"):
        Scenes(name="x", images=images.float(), maps=maps, task=SCENES["camvid"])
    with pytest.raises(ValueError, match=r"label maps are torch.uint8 of shape \(1, 4, 5\)"):
        Scenes(name="x", images=images, maps=maps[:1], task=SCENES["camvid"])
