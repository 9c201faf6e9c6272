"""The codec itself: an image to bytes and back, by three compiled networks and tables of integers; needs no torch.

    python examples/codec/coder.py encode FOLDER image.png image.bits
    python examples/codec/coder.py decode FOLDER image.bits image.png

FOLDER is what train.py writes. The decoder has to find the encoder's probabilities to the last bit, or it reads
garbage from there on. Here a symbol's table is an integer that the network ``levels`` gives: no float comes between.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import tilewise as tw

LARGEST = 127
"""Symbols are whole numbers from -127 to 127."""
LIGHT = np.float32(16)
"""What the networks count pixels in."""
UNIT = 32
"""Height and width are filled up to a multiple of it."""
NETWORKS = ("analysis", "levels", "synthesis")
TABLES = "tables.npz"

Model = constriction.stream.model.Categorical


class Codec:
    """Encodes and decodes images.

    Parameters
    ----------
    analysis, levels, synthesis
        The networks, as functions of arrays: pixels to ``y`` and ``z``, ``z`` to the number of each symbol's table,
        symbols to pixels.
    tables : uint32 array of shape (tables, 255)
        How often each symbol occurs, by the number that ``levels`` gives.
    side_tables : uint32 array of shape (SIDE, 255)
        The same for the symbols that ``levels`` reads, by their channel.
    name : bytes
        What encoder and decoder have in common; a stream starts with it.
    """

    def __init__(
        self, analysis: Any, levels: Any, synthesis: Any, tables: NDArray[Any], side_tables: NDArray[Any], name: bytes
    ) -> None:
        self.analysis, self.levels, self.synthesis = analysis, levels, synthesis
        self.models = [Model(row.astype(np.float64), perfect=False) for row in tables]
        self.side_models = [Model(row.astype(np.float64), perfect=False) for row in side_tables]
        self.name = name

    def encode(self, image: NDArray[np.uint8]) -> bytes:
        """Return the bytes of an image (H, W, 3)."""
        high, wide = image.shape[:2]
        filled = np.pad(image, ((0, -high % UNIT), (0, -wide % UNIT), (0, 0)), mode="edge")
        found = self.analysis(np.ascontiguousarray(filled.transpose(2, 0, 1)[None]))
        y, z = (np.clip(np.rint(found[name][0]), -LARGEST, LARGEST).astype(np.int32) for name in ("y", "z"))
        coder = constriction.stream.queue.RangeEncoder()
        for channel, model in zip(z, self.side_models, strict=True):
            coder.encode(channel.ravel() + LARGEST, model)
        for here, model in self._groups(z):
            coder.encode(y[here] + LARGEST, model)
        words: NDArray[np.uint32] = coder.get_compressed().astype("<u4")
        return self.name + np.array([high, wide], "<u2").tobytes() + words.tobytes()

    def decode(self, content: bytes) -> NDArray[np.uint8]:
        """Return the image of what ``encode`` returned."""
        start = len(self.name) + 4
        if len(content) < start or len(content) % 4 or content[: len(self.name)] != self.name:
            raise ValueError(f"these {len(content)} bytes are no stream of these networks and tables")
        high, wide = (int(n) for n in np.frombuffer(content[start - 4 : start], "<u2"))
        rows, columns = -(-high // UNIT), -(-wide // UNIT)
        coder = constriction.stream.queue.RangeDecoder(np.frombuffer(content[start:], "<u4").astype(np.uint32))
        z = np.stack([coder.decode(m, rows * columns) - LARGEST for m in self.side_models])
        z = z.reshape(-1, rows, columns)
        y: NDArray[np.int32] | None = None
        for here, model in self._groups(z):
            y = np.zeros(here.shape, np.int32) if y is None else y
            y[here] = coder.decode(model, int(here.sum())) - LARGEST
        assert y is not None
        pixels = self.synthesis(y[None].astype(np.float32))[0, :, :high, :wide]
        return np.ascontiguousarray(np.clip(np.rint(pixels * LIGHT), 0, 255).astype(np.uint8).transpose(1, 2, 0))

    def _groups(self, z: NDArray[np.int32]) -> Iterator[tuple[NDArray[np.bool_], Any]]:
        """Go through the tables that symbols have: where those symbols are, and the table's model."""
        numbers = self.levels(z[None].astype(np.float32))[0]
        for number in np.unique(numbers):
            yield numbers == number, self.models[number]


def load(folder: Path, kernel_set: str | None = None) -> Codec:
    """Return the codec of a folder that train.py wrote, with its networks on a kernel set."""
    contents = [(folder / f"{name}.tilewise").read_bytes() for name in NETWORKS]
    analysis, levels, synthesis = (tw.Engine(content, kernel_set=kernel_set) for content in contents)
    name = hashlib.sha256(b"".join([*contents, (folder / TABLES).read_bytes()])).digest()[:4]
    with np.load(folder / TABLES) as tables:
        return Codec(
            analysis, lambda z: levels(z, integers=True), synthesis, tables["tables"], tables["side_tables"], name
        )


def main() -> None:
    """Encode or decode a file."""
    task, folder, source, target = sys.argv[1:]
    codec = load(Path(folder))
    if task == "encode":
        Path(target).write_bytes(codec.encode(np.asarray(Image.open(source).convert("RGB"))))
    else:
        Image.fromarray(codec.decode(Path(source).read_bytes())).save(target)


if __name__ == "__main__":
    main()
