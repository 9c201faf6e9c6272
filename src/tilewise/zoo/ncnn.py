"""Weights of a plain chain of convolutions, from the files of ncnn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

MAGIC = "7767517"
HALF = 0x01306B47
"""Stands before weights that are half precision; 0 stands before float32."""


def read_ncnn_chain(param: Path, body: str = "body") -> dict[str, Tensor]:
    """Read weights, biases and slopes of a chain of convolutions and PReLUs.

    Parameters
    ----------
    param : Path
        The text file ``*.param``; the weights lie beside it in ``*.bin``.
    body : str
        The chain's name in the network: keys are ``body.0.weight``, ``body.0.bias``, ``body.1.weight``, ...

    Returns
    -------
    dict of str to Tensor
        float32, for ``load_state_dict``.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged, or has weights of another kind.
    """
    lines = param.read_text().splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise ValueError(f"{param} does not begin with {MAGIC}, as ncnn's files do")
    reader = _Reader(param.with_suffix(".bin"))
    state: dict[str, Tensor] = {}
    layers = [line.split() for line in lines[2:] if line.split()[:1] in (["Convolution"], ["PReLU"])]
    for place, (kind, name, *rest) in enumerate(layers):
        options = {key: int(value) for key, value in re.findall(r"(?:^| )(\d+)=(\d+)(?= |$)", " ".join(rest))}
        outputs = options.get("0", 0)
        if kind == "PReLU":
            state[f"{body}.{place}.weight"] = reader.floats(outputs)
            continue
        side, size = options.get("1", 0), options.get("6", 0)
        if min(outputs, side) < 1 or size % (outputs * side * side) or options.get("5") != 1:
            raise ValueError(f"{param}: {name} has {size} weights for {outputs} outputs of {side}x{side}, and a bias")
        state[f"{body}.{place}.weight"] = reader.weights(size).view(outputs, -1, side, side)
        state[f"{body}.{place}.bias"] = reader.floats(outputs)
    reader.end()
    return state


class _Reader:
    """Reads a file of weights from its beginning on."""

    def __init__(self, path: Path) -> None:
        self.path, self.content, self.place = path, path.read_bytes(), 0

    def weights(self, count: int) -> Tensor:
        """Return numbers behind a tag that says their type; halves fill whole words."""
        tag = int(self._take(np.dtype("<u4"), 1)[0])
        if tag == 0:
            return self.floats(count)
        if tag != HALF:
            raise ValueError(f"{self.path}: weights have the tag {tag:#x}; allowed: {HALF:#x}, 0")
        values = self._take(np.dtype("<f2"), count + count % 2)[:count]
        return torch.from_numpy(values.astype(np.float32))

    def floats(self, count: int) -> Tensor:
        """Return float32 numbers."""
        return torch.from_numpy(self._take(np.dtype("<f4"), count).astype(np.float32))

    def end(self) -> None:
        """Refuse what is left."""
        if self.place != len(self.content):
            raise ValueError(f"{self.path} has {len(self.content)} bytes; the layers need {self.place}")

    def _take(self, dtype: np.dtype[np.generic], count: int) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        size = dtype.itemsize * count
        if self.place + size > len(self.content):
            raise ValueError(f"{self.path} ends after {len(self.content)} bytes; the layers need more")
        found = np.frombuffer(self.content, dtype, count, self.place)
        self.place += size
        return found
