"""Interpolation: nearest, bilinear, bicubic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from tilewise.engine.axes import of_image
from tilewise.engine.fxnodes import operation
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value
from tilewise.engine.lower import Writer
from tilewise.engine.operations.gathering import Gather, Part, repeat, repeated
from tilewise.engine.simulation import Run, Simulated

BILINEAR, NEAREST, NEAREST_EXACT, BICUBIC = range(4)
"""Modes, as the native operation numbers them."""


@dataclass(frozen=True)
class Resize(Op):
    """Interpolation to a size, by factors (where no size is given), or to the size of the node's ``like``."""

    size: tuple[int, int]
    scales: tuple[float, float]
    align_corners: bool
    mode: int = BILINEAR

    @property
    def moves(self) -> bool:  # type: ignore[override]
        """The nearest pixel is one of the pixels."""
        return self.mode in (NEAREST, NEAREST_EXACT)

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the interpolation."""
        rows, cols = self.scales
        writer.append(
            "resize", node.name, **writer.wires(node), like=writer.number(node.like), size=list(self.size),
            row_scale=rows, col_scale=cols, align_corners=self.align_corners,
            mode=self.mode,
        )  # fmt: skip


def _resize(im: Importer, a: dict[str, Any]) -> Value:
    x, corners, mode = im.image(a["input"]), bool(a.get("align_corners")), MODES[operation(im.node)]
    if a.get("scale_factors"):
        rows, cols = a["scale_factors"]
        if mode == NEAREST and all(factor >= 1 and factor == int(factor) for factor in (rows, cols)):
            part = Part((repeat(int(rows)),), (repeat(int(cols)),))
            return im.one(Gather((part,)), x, im.out())
        return im.one(Resize((0, 0), (float(rows), float(cols)), corners, mode), x, im.out())
    like = im.like(a["output_size"])
    size = (0, 0) if like is not None else tuple(map(im.number, a["output_size"]))
    return im.one(Resize((size[0], size[1]), (0.0, 0.0), corners, mode), x, im.out(), like)


def spread(im: Importer, x: Value, like: Node) -> Value:
    """Return images of one pixel that is everywhere, as high and wide as another tensor."""
    pixel = im.view(x, of_image(x.node.chw)) if x.is_image else im.arranged(x, x.axes)
    op = Resize((0, 0), (0.0, 0.0), align_corners=False, mode=NEAREST)
    return im.one(op, pixel, (pixel.node.chw.channels, *like.chw[1:]), like)


def _repeat(im: Importer, a: dict[str, Any]) -> Value:
    counts, x = a.get("repeats") or a["dims"], im.value(a["self"])
    over_pixels = len(counts) == len(x.shape) + 1 == IMAGE_RANK and list(counts[:2]) == [1, 1]
    if over_pixels and x.shape[1:] == (1, 1) and any(isinstance(count, fx.Node) for count in counts):
        like = im.like(counts[2:])
        assert like is not None
        return spread(im, x, like)
    return repeated(im, x, counts)


def _antialiased(im: Importer, _: dict[str, Any]) -> Value:
    raise im.refusal("averages over more pixels the smaller its result is (antialias=True); allowed: antialias=False")


def step(size: int, out: int, scale: float | None, *, align_corners: bool) -> np.float32:
    """Return how far apart in the image pixels of the result are.

    ``scale`` is the factor that the caller gave, None where only a size was given.
    """
    if align_corners:
        return np.float32((size - 1) / (out - 1) if out > 1 else 0)
    return np.float32(1 / scale if scale else size / out)


def nearest(size: int, out: int, scale: float | None, *, exact: bool) -> NDArray[np.int64]:
    """Return the pixel that each pixel of the result is, as torch's in float32."""
    i, width = np.arange(out, dtype=np.float32), step(size, out, scale, align_corners=False)
    if exact:
        position = np.maximum(width * (i + np.float32(0.5)) - np.float32(0.5), np.float32(0)) + np.float32(0.5)
    else:
        position = i if size == out else width * i
    pixels: NDArray[np.int64] = np.minimum(position.astype(np.int64), size - 1)
    return pixels


def cubic(
    size: int, out: int, scale: float | None, *, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return four pixels for each pixel of the result, and their weights: Keys' with a = -0.75, in float32."""
    i, width, half = (
        np.arange(out, dtype=np.float32),
        step(size, out, scale, align_corners=align_corners),
        np.float32(0.5),
    )
    position = i if size == out else width * i if align_corners else width * (i + half) - half
    low = np.minimum(np.floor(position), np.float32(size - 1))
    part = np.clip(position - low, 0, 1).astype(np.float32)
    rest = np.float32(1) - part
    weights = [_outer(part + np.float32(1)), _inner(part), _inner(rest), _outer(rest + np.float32(1))]
    pixels = low[:, None].astype(np.int64) + np.arange(-1, 3)
    return np.clip(pixels, 0, size - 1), np.stack(weights, axis=1)


def _inner(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((np.float32(1.25) * x - np.float32(2.25)) * x) * x + np.float32(1)


def _outer(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((np.float32(-0.75) * x + np.float32(3.75)) * x - np.float32(6)) * x + np.float32(3)


def interpolated(
    size: int, out: int, scale: float | None, *, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return (low, high) pixels and the weight of the high one, as torch's bilinear interpolation in float32."""
    i, width = np.arange(out, dtype=np.float32), step(size, out, scale, align_corners=align_corners)
    if size == out:  # torch copies, whatever the factor
        position = i
    elif align_corners:
        position = i * width
    else:
        position = np.maximum(width * (i + np.float32(0.5)) - np.float32(0.5), np.float32(0))
    low = np.minimum(position.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    weight = np.clip(position - low.astype(np.float32), 0, 1).astype(np.float32)
    return np.stack([low, high], axis=1), weight


def _simulate_bilinear(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["input"]
    (rows, fr), (cols, fc) = (
        (torch.from_numpy(pixels), torch.from_numpy(weights))
        for pixels, weights in _each_axis(interpolated, node, a, align_corners=a["align_corners"])
    )
    upper, lower = (
        (1 - fc) * x[:, :, r][:, :, :, cols[:, 0]] + fc * x[:, :, r][:, :, :, cols[:, 1]] for r in rows.unbind(1)
    )
    return (1 - fr)[:, None] * upper + fr[:, None] * lower


def _simulate_nearest(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    exact = MODES[operation(node)] == NEAREST_EXACT
    rows, cols = (torch.from_numpy(pixels) for pixels in _each_axis(nearest, node, a, exact=exact))
    x: Tensor = a["input"]
    return x[:, :, rows][:, :, :, cols]


def _simulate_bicubic(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["input"]
    (rows, fr), (cols, fc) = (
        (torch.from_numpy(pixels), torch.from_numpy(weights))
        for pixels, weights in _each_axis(cubic, node, a, align_corners=a["align_corners"])
    )
    y = torch.zeros(())
    for r in range(4):
        along = torch.zeros(())
        for k in range(4):
            along = along + fc[:, k] * x[:, :, rows[:, r]][:, :, :, cols[:, k]]
        y = y + fr[:, r, None] * along
    return y


def _each_axis(taps: Callable[..., Any], node: fx.Node, a: dict[str, Any], **options: Any) -> list[Any]:
    """Return what ``taps`` says of rows and columns."""
    scales, sizes = a.get("scale_factors") or (None, None), node.meta["val"].shape[2:]
    x: Tensor = a["input"]
    return [taps(size, out, scale, **options) for size, out, scale in zip(x.shape[2:], sizes, scales, strict=True)]


IMAGE_RANK = 4
MODES = {
    "aten::upsample_bilinear2d": BILINEAR, "aten::upsample_nearest2d": NEAREST,
    "aten::_upsample_nearest_exact2d": NEAREST_EXACT, "aten::upsample_bicubic2d": BICUBIC,
}  # fmt: skip
IMPORTS: dict[str, Handler] = dict.fromkeys(MODES, _resize) | dict.fromkeys(("aten::repeat", "aten::tile"), _repeat)
IMPORTS |= dict.fromkeys(("aten::_upsample_bilinear2d_aa", "aten::_upsample_bicubic2d_aa"), _antialiased)
SIMULATIONS: dict[str, Simulated] = {
    "aten::upsample_bilinear2d": _simulate_bilinear, "aten::upsample_nearest2d": _simulate_nearest,
    "aten::_upsample_nearest_exact2d": _simulate_nearest, "aten::upsample_bicubic2d": _simulate_bicubic,
}  # fmt: skip
