"""The codec of the examples: what one kernel set encodes every other one decodes, to the byte."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tilewise import _native

SETS = [found["name"] for found in _native.kernel_sets() if found["supported"]]
FOLDER = Path(__file__).parents[1] / "examples" / "codec"
pytest.importorskip("constriction")


@pytest.fixture(scope="module")
def modules() -> Any:
    """The example's files, which find each other as programs do."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("coder"), importlib.import_module("train")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def coder(modules: Any) -> Any:
    return modules[0]


@pytest.fixture(scope="module")
def folder(modules: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec of random weights, large enough that symbols differ from 0."""
    _, train = modules
    torch.manual_seed(0)
    net = train.Transforms().eval()
    for last in (net.analysis.image[-1], net.analysis.side[-1], net.levels[-2], net.synthesis.image[-1]):
        last.weight.data *= 30
    place = tmp_path_factory.mktemp("codec")
    train.compile_all(net, [torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)], place)
    return place


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 47, 3), np.uint8)  # no multiples of what the codec works in


def test_every_kernel_set_reads_what_another_wrote(coder: Any, folder: Path, image: np.ndarray) -> None:
    codecs = [coder.load(folder, name) for name in SETS]
    streams = [codec.encode(image) for codec in codecs]
    assert len(set(streams)) == 1
    decoded = [codec.decode(streams[0]) for codec in codecs]
    assert decoded[0].shape == image.shape
    assert len({pixels.tobytes() for pixels in decoded}) == 1
    assert decoded[0].std() > 10  # not grey


def test_a_stream_holds_the_symbols(coder: Any, folder: Path, image: np.ndarray) -> None:
    codec = coder.load(folder)
    seen = []

    def synthesis(y: np.ndarray) -> np.ndarray:
        seen.append(y)
        return coder.load(folder).synthesis(y)

    stream = codec.encode(image)
    codec.synthesis = synthesis
    codec.decode(stream)
    filled = np.pad(image, ((0, 2), (0, 17), (0, 0)), mode="edge")
    expected = np.rint(codec.analysis(np.ascontiguousarray(filled.transpose(2, 0, 1)[None]))["y"])
    assert (seen[0] == np.clip(expected, -127, 127)).all()
    assert len(np.unique(expected)) > 10


def test_a_stream_of_other_networks_is_refused(coder: Any, folder: Path, image: np.ndarray) -> None:
    codec = coder.load(folder)
    stream = codec.encode(image)
    for damaged in (b"\0" + stream[1:], stream[:6], stream[:-1], b""):
        with pytest.raises(ValueError, match=r"these \d+ bytes are no stream of these networks and tables"):
            codec.decode(damaged)


def test_tables_give_every_symbol_room(coder: Any, folder: Path) -> None:
    with np.load(folder / coder.TABLES) as tables:
        for name in ("tables", "side_tables"):
            assert tables[name].dtype == np.uint32
            assert tables[name].shape[1] == 2 * coder.LARGEST + 1
            assert tables[name].min() >= 1
