"""The same codec in torch's floats: what happens where the decoder is not the encoder.

    python examples/codec/float_codec.py encode FOLDER image.png image.bits
    python examples/codec/float_codec.py decode FOLDER image.bits image.png [OPTION...]

Options: threads=2, batch=2, layout=last, onednn=0. It has the tables, the rounding and the range
coder of coder.py, and floats decide which table a symbol has.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from coder import LIGHT, TABLES, Codec
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transforms import Transforms

import tilewise as tw


class Way:
    """How torch computes: its number of threads, of images at once, the layout, with oneDNN or without."""

    def __init__(self, threads: int = 1, batch: int = 1, layout: str = "first", onednn: int = 1) -> None:
        torch.set_num_threads(threads)
        self.batch, self.last, self.onednn = batch, layout == "last", bool(onednn)

    def __call__(self, net: nn.Module, x: NDArray[np.float32]) -> Any:
        """Run a network on one image."""
        images = torch.from_numpy(x).repeat(self.batch, 1, 1, 1)
        if self.last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=self.onednn):
            y: Tensor | dict[str, Tensor] = net(images)
        return {k: v[:1].numpy() for k, v in y.items()} if isinstance(y, dict) else y[:1].numpy()


def load(folder: Path, way: Way, seen: list[NDArray[np.float32]] | None = None) -> Codec:
    """Return the float codec of a folder that train.py wrote; ``seen`` gets the levels as floats."""
    net = Transforms().eval()
    net.load_state_dict(torch.load(folder / "float.pt", weights_only=True))
    step = tw.load(folder / "levels.tilewise").outputs[0].step
    with np.load(folder / TABLES) as tables:
        table_count = len(tables["tables"])

        def numbers(z: NDArray[np.float32]) -> NDArray[np.uint8]:
            levels = way(net.levels, z)
            if seen is not None:
                seen.append(levels)
            found: NDArray[np.uint8] = np.clip(np.rint(levels / np.float32(step)), 0, table_count - 1).astype(np.uint8)
            return found

        return Codec(
            lambda pixels: way(net.analysis, pixels.astype(np.float32) / LIGHT),
            numbers,
            lambda y: way(net.synthesis, y),
            tables["tables"],
            tables["side_tables"],
            b"real",
        )


def main() -> None:
    """Encode or decode a file; beside the target lie the levels, as floats."""
    task, folder, source, target, *options = sys.argv[1:]
    chosen: dict[str, Any] = {name: value if name == "layout" else int(value) for name, value in
                              (option.split("=") for option in options)}  # fmt: skip
    levels: list[NDArray[np.float32]] = []
    codec = load(Path(folder), Way(**chosen), levels)
    try:
        if task == "encode":
            Path(target).write_bytes(codec.encode(np.asarray(Image.open(source).convert("RGB"))))
        else:
            Image.fromarray(codec.decode(Path(source).read_bytes())).save(target)
    finally:
        np.save(f"{target}.npy", levels[0])


if __name__ == "__main__":
    main()
