from __future__ import annotations

import gzip
import struct

import pytest
import torch

from tilewise.data import load

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("folder", [".", "MNIST/raw"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_round_trip(tmp_path, write_mnist, split, folder, gz):
    images, labels = write_mnist(tmp_path / folder, {"train": "train", "test": "t10k"}[split], gz=gz)
    got = load("mnist", split, tmp_path)
    assert torch.equal(got.images, torch.from_numpy(images)[:, None])
    assert torch.equal(got.labels, torch.from_numpy(labels).long())
    assert (got.classes, got.flips, got.mean, got.std) == (10, False, (0.1307,), (0.3081,))
    got.images.add_(1)  # its own memory, writable


def damage(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    "case",
    [
        (IMAGES, lambda _: b"", "0 bytes; expected an IDX header of 16"),
        (IMAGES, lambda raw: raw[:15], "15 bytes; expected an IDX header of 16"),
        (IMAGES, lambda raw: raw[:-1], "3919 bytes after its header; expected 3920 for 5 items"),
        (IMAGES, lambda raw: raw + b"\0", "3921 bytes after its header; expected 3920"),
        (IMAGES, lambda raw: struct.pack(">I", 2049) + raw[4:], "begins with the number 2049; expected 2051"),
        (IMAGES, lambda raw: raw[:4] + b"\xff" * 4 + raw[8:], "expected .* for 4294967295 items"),
        (
            IMAGES,
            lambda raw: raw[:8] + struct.pack(">II", 32, 28) + raw[16:],
            r"\(32, 28\); expected \(28, 28\)",
        ),
        (IMAGES, lambda raw: raw[:4] + struct.pack(">I", 4) + raw[8:-784], "5 labels; expected 4"),
        (IMAGES, lambda raw: raw[:4] + struct.pack(">I", 0) + raw[8:16], "holds no image"),
        (LABELS, lambda raw: raw[:7], "7 bytes; expected an IDX header of 8"),
        (LABELS, lambda raw: raw[:-2], "3 bytes after its header; expected 5"),
        (LABELS, lambda raw: struct.pack(">I", 2051) + raw[4:], "begins with the number 2051; expected 2049"),
        (LABELS, lambda raw: raw[:-1] + b"\x0a", r"holds label 10; allowed is \[0, 9\]"),
    ],
)
@pytest.mark.parametrize("gz", [False, True])
def test_damage_is_one_clear_error(tmp_path, write_mnist, case, gz):
    file, change, message = case
    write_mnist(tmp_path, gz=gz)
    if gz:
        damage(tmp_path / f"{file}.gz", lambda raw: gzip.compress(change(gzip.decompress(raw))))
    else:
        damage(tmp_path / file, change)
    with pytest.raises(ValueError, match=message) as caught:
        load("mnist", "train", tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-10],
        lambda raw: raw[:100],
        lambda raw: b"no gzip" + raw,
        lambda raw: raw[:40] + bytes(40) + raw[80:],
        lambda raw: raw[:-8] + bytes(8),
    ],
)
def test_damaged_gzip_is_one_clear_error(tmp_path, write_mnist, change):
    write_mnist(tmp_path, gz=True)
    damage(tmp_path / f"{IMAGES}.gz", change)
    with pytest.raises(ValueError, match=rf"{IMAGES}\.gz is not a whole gzip file"):
        load("mnist", "train", tmp_path)


@pytest.mark.parametrize("file", [IMAGES, LABELS])
def test_missing_file_is_named_with_what_to_do(tmp_path, write_mnist, file):
    write_mnist(tmp_path / "MNIST" / "raw")
    (tmp_path / "MNIST" / "raw" / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{file} or {file}\.gz\. Give --data-root DIR"):
        load("mnist", "train", tmp_path)
