from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from tilewise.data import load
from tilewise.data.pickles import ALLOWED, read_pickle

FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
DATA = np.arange(2 * 3072, dtype=np.uint64).astype(np.uint8).reshape(2, 3072)


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_round_trip(cifar_files, name, split, inner):
    root, content = cifar_files
    data, labels = content[name, split]
    got = load(name, split, root / FOLDER[name] if inner else str(root))
    assert got.images.shape == (len(data), 3, 32, 32)
    assert torch.equal(got.images.flatten(1), torch.from_numpy(data))
    assert got.labels.tolist() == labels
    assert got.labels.dtype == torch.int64
    assert (got.name, got.classes, got.flips) == (name, int(name[5:]), True)
    assert got.mean == (0.485, 0.456, 0.406)
    assert got.std == (0.229, 0.224, 0.225)


def test_channels_are_planes(published_pickle, tmp_path):
    data = np.repeat(np.array([[10, 20, 30]], np.uint8), 1024, axis=1)
    (tmp_path / "test_batch").write_bytes(published_pickle({b"data": data, b"labels": [0]}))
    images = load("cifar10", "test", tmp_path).images
    assert [int(images[0, c].unique()) for c in range(3)] == [10, 20, 30]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("key", [b"data", "data"])
def test_files_written_again_by_python_3_are_read(tmp_path, protocol, key):
    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({key: DATA, "labels": [1, 2]}, protocol=protocol))
    content = read_pickle(path)
    assert (content["data"] == DATA).all()
    assert content["labels"] == [1, 2]


def test_column_order_is_honoured(published_pickle, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(published_pickle({b"data": np.asfortranarray(DATA)}))
    assert (read_pickle(path)["data"] == DATA).all()


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, "system"), (eval, "eval"), (getattr, "getattr"), (np.load, "numpy.*load")],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_file_that_names_code_is_refused_and_nothing_runs(tmp_path, function, named, protocol):
    witness = tmp_path / "witness"
    payload = {b"data": Call(function, f"touch {witness}"), b"labels": [0]}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(payload, protocol=protocol))
    with pytest.raises(ValueError, match=rf"test_batch.*asks for .*{named}, which is refused"):
        load("cifar10", "test", tmp_path)
    assert not witness.exists()


@pytest.mark.parametrize("allowed", sorted(ALLOWED))
@pytest.mark.parametrize("state", [{"__setstate__": None, "array": None}, (None, {"array": None})])
def test_a_file_cannot_alter_the_stand_ins(tmp_path, allowed, state):
    module, name = allowed
    stand_in = ALLOWED[allowed]
    before = dict(vars(stand_in))
    path = tmp_path / "file"
    body = pickle.dumps(state, protocol=2)[2:-1]
    path.write_bytes(b"\x80\x02" + f"c{module}\n{name}\n".encode() + body + b"b.")
    with pytest.raises(ValueError, match="not a readable CIFAR pickle"):
        read_pickle(path)
    assert dict(vars(stand_in)) == before


def test_every_truncation_is_one_clear_error(published_pickle, tmp_path):
    path = tmp_path / "test_batch"
    whole = published_pickle({b"labels": [3, 4], b"data": DATA})
    ends = [*range(200), *range(200, len(whole), 97), len(whole) - 1]
    for end in ends:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="test_batch is not a readable CIFAR pickle"):
            load("cifar10", "test", tmp_path)


def test_noise_is_one_clear_error(tmp_path):
    path = tmp_path / "file"
    for seed in range(50):
        path.write_bytes(b"\x80\x02" + np.random.default_rng(seed).bytes(100))
        with pytest.raises(ValueError, match=r"file is not a readable CIFAR pickle"):
            read_pickle(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, not a dict"),
        ({b"labels": [0, 1]}, "'data' is NoneType; expected bytes of shape"),
        ({b"data": b"abc", b"labels": [0, 1]}, "'data' is bytes; expected"),
        ({b"data": DATA[:, :-1], b"labels": [0, 1]}, r"'data' is shape \(2, 3071\); expected"),
        ({b"data": DATA[0], b"labels": [0, 1]}, r"'data' is shape \(3072,\)"),
        ({b"data": DATA[:0], b"labels": []}, r"'data' is shape \(0, 3072\)"),
        ({b"data": DATA.astype(np.int32), b"labels": [0, 1]}, "type i4, not of bytes"),
        ({b"data": DATA}, "'labels' is NoneType; expected a list of 2 labels"),
        ({b"data": DATA, b"labels": [0]}, "'labels' is 1 labels; expected a list of 2"),
        ({b"data": DATA, b"fine_labels": [0, 1]}, "'labels' is NoneType"),
        ({b"data": DATA, b"labels": [0, 10]}, r"not an integer in \[0, 9\]"),
        ({b"data": DATA, b"labels": [0, -1]}, r"not an integer in \[0, 9\]"),
        ({b"data": DATA, b"labels": [0, 1.0]}, r"not an integer in \[0, 9\]"),
        ({b"data": DATA, b"labels": [0, True]}, r"not an integer in \[0, 9\]"),
    ],
)
def test_other_content_is_refused(published_pickle, tmp_path, content, message):
    (tmp_path / "test_batch").write_bytes(published_pickle(content))
    with pytest.raises(ValueError, match=message) as caught:
        load("cifar10", "test", tmp_path)
    assert str(tmp_path / "test_batch") in str(caught.value)


def test_shape_and_bytes_must_fit(published_pickle, tmp_path):
    whole = published_pickle({b"labels": [3, 4], b"data": DATA})
    rows = b"K\x02M\x00\x0c"  # (2, 3072)
    assert whole.count(rows) == 1
    (tmp_path / "test_batch").write_bytes(whole.replace(rows, b"K\x03M\x00\x0c"))
    with pytest.raises(ValueError, match=r"shape \(3, 3072\) needs 9216 bytes, but has 6144"):
        load("cifar10", "test", tmp_path)


def test_one_missing_batch_is_named(cifar_files):
    root, _ = cifar_files
    (root / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(FileNotFoundError, match=r"data_batch_4\. Give --data-root DIR .*tilewise\[hub\]"):
        load("cifar10", "train", root)
