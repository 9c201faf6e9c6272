"""Bilinear interpolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Run, Simulated


@dataclass(frozen=True)
class Resize(Op):
    """Bilinear interpolation to a size, by factors (where no size is given), or to the size of the node's ``like``."""

    size: tuple[int, int]
    scales: tuple[float, float]
    align_corners: bool

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the interpolation."""
        rows, cols = self.scales
        writer.append(
            "resize", node.name, **writer.wires(node), like=writer.number(node.like), size=list(self.size),
            row_scale=rows, col_scale=cols, align_corners=self.align_corners,
        )  # fmt: skip


def _bilinear(im: Importer, a: dict[str, Any]) -> Value:
    x, corners = im.image(a["input"]), bool(a["align_corners"])
    if a.get("scale_factors"):
        rows, cols = a["scale_factors"]
        return im.one(Resize((0, 0), (float(rows), float(cols)), corners), x, im.out())
    like = im.like(a["output_size"])
    size = (0, 0) if like is not None else tuple(map(im.number, a["output_size"]))
    return im.one(Resize((size[0], size[1]), (0.0, 0.0), corners), x, im.out(), like)


def interpolated(
    size: int, out: int, scale: float | None, *, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return (low, high) pixels and the weight of the high one, as torch's bilinear interpolation in float32.

    ``scale`` is the factor that the caller gave, None where only a size was given.
    """
    i = np.arange(out, dtype=np.float32)
    if align_corners:
        position = i * np.float32((size - 1) / (out - 1) if out > 1 else 0)
    else:
        step = np.float32(1 / scale if scale is not None else size / out)
        position = np.maximum(step * (i + np.float32(0.5)) - np.float32(0.5), np.float32(0))
    low = np.minimum(position.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    weight = np.clip(position - low.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack([low, high], axis=1), weight


def _simulate(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["input"]
    scales, sizes = a.get("scale_factors") or (None, None), node.meta["val"].shape[2:]
    if list(sizes) == list(x.shape[2:]):
        return x
    axes = [
        interpolated(size, out, scale, align_corners=a["align_corners"])
        for size, out, scale in zip(x.shape[2:], sizes, scales, strict=True)
    ]
    (rows, fr), (cols, fc) = ((torch.from_numpy(pixels), torch.from_numpy(weights)) for pixels, weights in axes)
    upper, lower = (
        (1 - fc) * x[:, :, r][:, :, :, cols[:, 0]] + fc * x[:, :, r][:, :, :, cols[:, 1]] for r in rows.unbind(1)
    )
    return (1 - fr)[:, None] * upper + fr[:, None] * lower


IMPORTS: dict[str, Handler] = {"aten::upsample_bilinear2d": _bilinear}
SIMULATIONS: dict[str, Simulated] = {"aten::upsample_bilinear2d": _simulate}
