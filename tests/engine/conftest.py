"""An interpreter of programs in NumPy, slow and readable: from docs/contracts/ alone, for images of any size."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tilewise.engine import Program
from tilewise.engine.functions import FUNCTIONS

sys.path.insert(0, str(Path(__file__).parent))
from interpreter_arithmetic import (
    F32,
    Floats,
    channel_sum,
    moved,
    of_all_inputs,
    padded,
    pixel_sum,
    sandwich,
    taps,
    to_bf16,
    widened,
)


class Interpreter:
    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, *images: NDArray[Any]) -> Any:
        """Results for float images by position: one array, or a dict by name where there are several."""
        self.images = list(images)
        self.values: dict[int, NDArray[Any]] = {}  # (N, H, W, C): integers of their grid, bits of bfloat16, or floats
        self.results: dict[str, Floats] = {}
        for i in range(len(self.program.operations)):
            fields = self.program.fields(i)
            self.name = fields.pop("name")
            getattr(self, fields.pop("op"))(**fields)
        return next(iter(self.results.values())) if len(self.results) == 1 else self.results

    def steps(self, number: int) -> NDArray[np.int64]:
        """Integers of a tensor."""
        return self.values[number]

    def real(self, number: int) -> Floats:
        """Numbers of a tensor."""
        t, values = self.program.tensors[number], self.values[number]
        if t["dtype"] == "bfloat16":
            return widened(values)
        return values if t["dtype"] == "float32" else values.astype(F32) * F32(t["step"])

    def store(self, number: int, y: Floats) -> None:
        assert y.dtype == F32
        t = self.program.tensors[number]
        assert y.shape[-1] == t["channels"]
        assert number not in self.values
        values: NDArray[Any] = to_bf16(y) if t["dtype"] == "bfloat16" else y
        if "int" in t["dtype"]:
            values = np.floor(y * F32(t["factor"]) + F32(0.5)).clip(t["low"], t["high"]).astype(np.int64)
        self.values[number] = values

    def finish(
        self, y_: int, y: Floats, bias: Floats | None, residual: int | None, function: str, slope: Floats | None,
        low: Any, high: Any,
    ) -> None:  # fmt: skip
        assert y.dtype == F32
        y = y if bias is None else y + bias
        y = y if residual is None else y + self.real(residual)
        y = FUNCTIONS[function].compute(torch.from_numpy(y)).numpy() if function else y
        y = y if slope is None else np.where(y > 0, y, y * slope)
        y = np.minimum(np.maximum(y, F32(-np.inf if low is None else low)), F32(np.inf if high is None else high))
        self.store(y_, y)

    def input(self, y: int, size: Any, multiple: Any, mean: Floats | None = None, deviation: Any = None) -> None:
        x = np.ascontiguousarray(self.images.pop(0).transpose(0, 2, 3, 1)).astype(F32)
        for pixels, wanted, of in zip(x.shape[1:3], size, multiple, strict=True):
            assert wanted in (0, pixels)
            assert pixels % of == 0
        self.store(y, x if mean is None else (x - mean) / deviation)

    def output(self, x: int, channels_last: bool, values: int, axes: Any = None) -> None:
        y = self.real(x)
        n, h, w, c = y.shape
        assert values in (0, c * h * w)
        shape = (c, h, w) if axes is None else (m * h**rows * w**cols // d for m, d, rows, cols in axes.tolist())
        self.results[self.name] = (y if channels_last else y.transpose(0, 3, 1, 2)).reshape(n, *shape)

    def direct(
        self, x: int, y: int, weight: NDArray[Any], bias: Floats, stride: Any, padding: Any, dilation: Any,
        residual: Any, function: str, act_low: Any, act_high: Any, ordered: bool, whole: bool,
        scale: Floats | None = None, slope: Floats | None = None,
    ) -> None:  # fmt: skip
        weight = widened(weight) if weight.dtype == np.uint16 else weight
        (k, kh, kw, channels), (sh, sw), (dh, dw) = weight.shape, stride, dilation
        values = self.real(x) if scale is None else self.steps(x)
        assert not whole or values.shape[1:3] == (kh, kw)
        image = padded(values, padding)
        height, width = (image.shape[1] - dh * (kh - 1) - 1) // sh + 1, (image.shape[2] - dw * (kw - 1) - 1) // sw + 1
        total = np.zeros((len(image), height, width, k), F32 if ordered else float if scale is None else int)
        for i, j in itertools.product(range(kh), range(kw)):
            window = image[:, i * dh :: sh, j * dw :: sw][:, :height, :width]
            for c in range(channels if ordered or channels < window.shape[-1] else 0):
                first = np.arange(k) // (k * channels // window.shape[-1]) * channels  # of each output channel's group
                total = total + window[..., first + c] * weight[:, i, j, c].astype(total.dtype)
            if not ordered and channels == window.shape[-1]:
                total = total + window @ weight[:, i, j].astype(total.dtype).T
        self.finish(
            y,
            total.astype(F32) * (F32(1) if scale is None else scale),
            bias,
            residual,
            function,
            slope,
            act_low,
            act_high,
        )

    def wrapping(self, at: Any, g: Any, bt: Any, **fields: Any) -> None:
        assert len(at[0]) == len(g) == len(bt)
        self.lossless(**fields)

    def residue(self, m: int, moduli: NDArray[np.int64], **fields: Any) -> None:
        assert m % 2 == 0
        assert len(moduli) > 1
        self.lossless(**fields)

    def lossless(self, algorithm: str, block: int, **fields: Any) -> None:
        """What it is the same as: the direct convolution."""
        assert algorithm
        assert block >= 0
        self.direct(**fields, stride=(1, 1), dilation=(1, 1), ordered=False, whole=False)

    def fast(
        self, x: int, y: int, algorithm: str, planar: bool, bt: Floats, at: Floats, integer: bool, u: NDArray[Any],
        v_limit: int, fraction_bits: int, bias: Floats, stride: int, dilation: int, padding: Any, residual: Any,
        function: str, act_low: Any, act_high: Any, mult: NDArray[Any] | None = None, scale: Floats | None = None,
        block: int = 0,
        slope: Floats | None = None,
    ) -> None:  # fmt: skip
        assert algorithm
        assert block >= 0
        image = padded(self.real(x) if scale is None else self.steps(x), padding)
        u = of_all_inputs(u, image.shape[-1])
        assert mult is None or mult.shape[1] in (1, u.shape[2])
        m, size = math.isqrt(len(at)) if planar else len(at), math.isqrt(bt.shape[1]) if planar else bt.shape[1]
        sides = (at.shape[1],) if planar else (at.shape[1],) * 2
        r, step = size - stride * (m - 1), stride * m

        def tiled(image: NDArray[Any]) -> Floats:
            height, width = ((pixels - r) // stride + 1 for pixels in image.shape[1:3])
            rows, cols = -(-height // m), -(-width // m)
            beyond = ((rows - 1) * step + size - image.shape[1], (cols - 1) * step + size - image.shape[2])
            image = padded(image, (0, max(0, beyond[0]), 0, max(0, beyond[1])))
            tiles = np.stack([
                np.stack([image[:, i::step, j::step][:, :rows, :cols] for j in range(size)])
                for i in range(size)
            ])  # fmt: skip
            if planar:
                tiles = tiles.reshape(-1, *tiles.shape[2:])
            if scale is None:
                v, weights = sandwich(bt.astype(float), tiles, planar).reshape(len(u), -1, u.shape[2]), u
                if u.dtype == np.uint16:
                    v, weights = widened(to_bf16(v)), widened(u)
                z = np.einsum("tpc,tkc->tpk", v, weights.astype(float)).reshape(*sides, -1, u.shape[1])
                out = sandwich(at.astype(float), z, planar).astype(F32)
            else:
                assert mult is not None
                v = sandwich(bt.astype(np.int64) if integer else bt, tiles if integer else tiles.astype(F32), planar)
                v, factor = v.reshape(len(u), -1, u.shape[2]), mult[:, None, :]
                if integer:
                    vq = (v * factor + (1 << fraction_bits - 1)) >> fraction_bits
                else:
                    assert v.dtype == F32
                    vq = np.floor(v * (factor.astype(F32) / F32(2**fraction_bits)) + F32(0.5))
                product = np.einsum("tpc,tkc->tpk", vq.clip(-v_limit, v_limit).astype(np.int64), u.astype(np.int64))
                z = product.astype(F32) * scale[:, None, :]
                out = sandwich(at, z.reshape(*sides, -1, u.shape[1]), planar)
            full = out.reshape(m, m, len(image), rows, cols, -1).transpose(2, 3, 0, 4, 1, 5)
            return full.reshape(len(image), rows * m, cols * m, -1)[:, :height, :width]

        if dilation == 1:
            full = tiled(image)
        else:  # pixels that lie apart are images of their own
            height, width = (pixels - dilation * (r - 1) for pixels in image.shape[1:3])
            full = np.zeros((len(image), height, width, u.shape[1]), F32)
            for row, col in itertools.product(range(min(height, dilation)), range(min(width, dilation))):
                full[:, row::dilation, col::dilation] = tiled(image[:, row::dilation, col::dilation])
        self.finish(y, full, bias, residual, function, slope, act_low, act_high)

    def pool(
        self, x: int, y: int, maximum: bool, kernel: Any, stride: Any, padding: Any, ceil: bool, count_padding: bool,
        divisor: int,
    ) -> None:  # fmt: skip
        def windows(axis: int) -> list[tuple[int, int, int]]:
            pixels, before, step, size = self.values[x].shape[1 + axis], padding[axis], stride[axis], kernel[axis]
            found = []
            for begin in range(-before, pixels + before, step):
                end = begin + size
                fits = end <= pixels + before or (ceil and begin < pixels and end - step < pixels + before)
                if fits:
                    first, last = max(begin, 0), min(end, pixels)
                    counted = min(end, pixels + before) - begin if count_padding else last - first
                    found.append((first, last, counted))
            return found

        self.pooled(x, y, maximum, windows(0), windows(1), divisor)

    def adaptive_pool(self, x: int, y: int, maximum: bool, size: Any) -> None:
        def windows(pixels: int, out: int) -> list[tuple[int, int, int]]:
            spans = [(i * pixels // out, -(-(i + 1) * pixels // out)) for i in range(out)]
            return [(begin, end, end - begin) for begin, end in spans]

        rows, cols = (windows(*axis) for axis in zip(self.values[x].shape[1:3], size, strict=True))
        self.pooled(x, y, maximum, rows, cols, 0)

    def pooled(self, x: int, y: int, maximum: bool, rows: Any, cols: Any, divisor: int) -> None:
        t = self.program.tensors[x]
        integers = t["dtype"] != "float32" and not maximum
        values = self.steps(x) if integers else self.real(x)
        out = np.empty((len(values), len(rows), len(cols), values.shape[-1]), F32)
        for (i, (r0, r1, high)), (j, (c0, c1, wide)) in itertools.product(enumerate(rows), enumerate(cols)):
            window = [values[:, r, c] for r, c in itertools.product(range(r0, r1), range(c0, c1))]
            if maximum:
                out[:, i, j] = np.max(window, axis=0)
                continue
            total = window[0]
            for more in window[1:]:
                total = total + more
            total = total.astype(F32) * F32(t["step"]) if integers else total
            out[:, i, j] = total * (F32(1) / F32(divisor or high * wide))
        self.store(y, out)

    def eltwise(
        self, x: int, y: int, residual: Any, function: str, act_low: Any, act_high: Any, scale: Floats | None = None,
        bias: Floats | None = None, slope: Floats | None = None,
    ) -> None:  # fmt: skip
        value = self.real(x)
        self.finish(y, value if scale is None else value * scale, bias, residual, function, slope, act_low, act_high)

    def binary(
        self, x: list[int], y: int, kind: str, residual: Any, function: str, act_low: Any, act_high: Any,
        bias: Floats | None = None, slope: Floats | None = None,
    ) -> None:  # fmt: skip
        value = getattr(np, kind)(*map(self.real, x))
        self.finish(y, value, bias, residual, function, slope, act_low, act_high)

    def reduce(
        self, x: int, y: int, kind: str, channels: bool, residual: Any, function: str, act_low: Any, act_high: Any,
        bias: Floats | None = None, slope: Floats | None = None,
    ) -> None:  # fmt: skip
        values = self.real(x)
        if kind == "maximum":
            value = values.max(-1 if channels else (1, 2), keepdims=True)
        else:
            value = channel_sum(values) if channels else pixel_sum(values)
            value = value / F32(values.shape[-1] if channels else values[0, ..., 0].size) if kind == "mean" else value
        self.finish(y, value, bias, residual, function, slope, act_low, act_high)

    def norm(
        self, x: int, y: int, groups: int, eps: float, residual: Any, function: str, act_low: Any, act_high: Any,
        scale: Floats | None = None, bias: Floats | None = None, slope: Floats | None = None,
    ) -> None:  # fmt: skip
        values = self.real(x)

        def mean(of: Floats) -> Floats:
            if groups == 0:
                return channel_sum(of) / F32(of.shape[-1])
            parts = pixel_sum(of).reshape(len(of), 1, 1, groups, -1)
            total = np.zeros_like(parts[..., 0])
            for i in range(parts.shape[-1]):
                total = total + parts[..., i]
            return np.repeat(total / F32(of[0, ..., 0].size * parts.shape[-1]), parts.shape[-1], -1)

        away = values - mean(values)
        value = away * (F32(1) / np.sqrt(mean(away * away) + F32(eps)))
        value = value if scale is None else value * scale
        self.finish(y, value, bias, residual, function, slope, act_low, act_high)

    def softmax(self, x: int, y: int) -> None:
        values = self.real(x)
        powers = FUNCTIONS["exp"].compute(torch.from_numpy(values - values.max(-1, keepdims=True))).numpy()
        self.store(y, powers / channel_sum(powers))

    def gather(
        self, x: list[int], y: int, like: Any, axis: int, first: Any, rows: Any, cols: Any, channels: Any
    ) -> None:
        parts = []
        for i, number in enumerate(x):
            value = self.real(number)
            for along, moves in ((1, rows), (2, cols), (3, channels)):
                for _, *move in (row for row in moves.tolist() if row[0] == i):
                    goal = None if like is None else self.values[like].shape[along]
                    value = moved(value, along, goal, *move)
            parts.append(value)
        if axis > 0:
            self.store(y, np.concatenate(parts, axis))
            return
        joined = np.zeros((*parts[0].shape[:3], self.program.tensors[y]["channels"]), F32)
        for begin, part in zip(first.tolist(), parts, strict=True):
            joined[..., begin : begin + part.shape[-1]] = part
        self.store(y, joined)

    def rearrange(self, x: int, y: int, digits: Any, channels: Any, rows: Any, cols: Any) -> None:
        value = self.real(x)
        n, *extents = value.transpose(0, 3, 1, 2).shape
        pairs = digits.tolist()
        ordered = sorted(range(len(pairs)), key=lambda i: pairs[i][0])  # of channels, of rows, of columns
        shape = []
        for i in ordered:
            base, size = pairs[i]
            known = np.prod([s for b, s in pairs if b == base and s > 0], dtype=int)
            shape.append(size or extents[base] // int(known))
        split = value.transpose(0, 3, 1, 2).reshape(n, *shape)
        axes = [[ordered.index(i) for i in axis.tolist()] for axis in (rows, cols, channels)]
        sizes_of = [int(np.prod([split.shape[i + 1] for i in axis])) for axis in axes]
        result = split.transpose(0, *(i + 1 for axis in axes for i in axis)).reshape(n, *sizes_of)
        self.store(y, np.ascontiguousarray(result))

    def pixel_shuffle(self, x: int, y: int, factor: int) -> None:
        n, h, w, c = self.real(x).shape
        value = self.real(x).reshape(n, h, w, c // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
        self.store(y, value.reshape(n, h * factor, w * factor, -1))

    def resize(
        self, x: int, y: int, like: Any, size: Any, row_scale: float, col_scale: float, mode: int, align_corners: bool
    ) -> None:
        value = self.real(x)
        axes = []
        for axis, scale in ((1, row_scale), (2, col_scale)):
            pixels = value.shape[axis]
            out = size[axis - 1] or int(np.floor(pixels * scale))
            out = out if like is None else self.values[like].shape[axis]
            axes.append(taps(pixels, out, scale, mode, align_corners))
        y_ = np.zeros(1, F32)
        for r in range(len(axes[0][0])):
            along = np.zeros(1, F32)
            for k in range(len(axes[1][0])):
                along = along + axes[1][1][k][:, None] * value[:, axes[0][0][r]][:, :, axes[1][0][k]]
            y_ = y_ + axes[0][1][r][:, None, None] * along
        self.store(y, y_)


@pytest.fixture
def interpret() -> type[Interpreter]:
    """``interpret(program)(x)``, in NumPy."""
    return Interpreter
