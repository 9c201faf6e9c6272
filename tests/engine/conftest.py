"""An interpreter of plans in NumPy, slow and readable: from docs/contracts/numbers.md and native/kernels/op.h alone.

It computes in one block of memory as the plan lays it out, so tensors that wrongly share bytes give wrong results.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tilewise as tw
from tilewise.algebra.program import UNROLLED, program
from tilewise.engine import Plan

F32 = np.float32
Floats = NDArray[np.float32]


class Interpreter:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        # What no operation writes must not matter.
        self.arena = np.random.default_rng(0).integers(0, 255, plan.arena_bytes, np.uint8)

    def __call__(self, x: Floats) -> Floats:
        parts = [self.piece(x[i : i + self.plan.batch]) for i in range(0, len(x), self.plan.batch)]
        return np.concatenate(parts)

    def piece(self, x: Floats) -> Floats:
        self.images, self.x = len(x), x
        for i, node in enumerate(self.plan.nodes):
            arrays = {k.partition(".")[2]: v for k, v in self.plan.arrays.items() if k.startswith(f"{i}.")}
            result = getattr(self, node["op"])(
                **{k: v for k, v in {**node, **arrays}.items() if k not in ("op", "name")}
            )
        return result.reshape(self.images, *self.plan.output_shape)

    def memory(self, number: int) -> NDArray[Any]:
        """A tensor's bytes or floats, (N, H, W, stride)."""
        t = self.plan.tensors[number]
        shape = self.plan.batch, t["height"], t["width"], t["stride"]
        dtype = np.dtype("uint16" if t["dtype"] == "bfloat16" else t["dtype"])
        flat = self.arena[t["offset"] : t["offset"] + int(np.prod(shape)) * dtype.itemsize]
        return flat.view(dtype).reshape(shape)[: self.images]

    def steps(self, number: int) -> NDArray[np.int64]:
        """Integers of a tensor, (N, H, W, C)."""
        t = self.plan.tensors[number]
        return self.memory(number)[..., : t["channels"]].astype(np.int64) - zero_of(t)

    def real(self, number: int) -> Floats:
        """Numbers of a tensor, (N, H, W, C)."""
        t = self.plan.tensors[number]
        values = self.memory(number)[..., : t["channels"]]
        if t["dtype"] == "bfloat16":
            return widened(values)
        return values if t["dtype"] == "float32" else self.steps(number).astype(F32) * F32(t["step"])

    def store(self, number: int, y: Floats, first: int = 0) -> None:
        t = self.plan.tensors[number]
        values: NDArray[Any] = to_bf16(y) if t["dtype"] == "bfloat16" else y
        if "int" in t["dtype"]:
            q = np.floor(y * F32(t["factor"]) + F32(0.5)).clip(t["low"], t["high"])
            values = (q + zero_of(t)).astype(t["dtype"])
        self.memory(number)[..., first : first + y.shape[-1]] = values

    def zero(self, number: int) -> None:
        t = self.plan.tensors[number]
        self.memory(number)[:] = zero_of(t)

    def finish(self, y_: int, y: Floats, bias: Floats | None, residual: int | None, low: Any, high: Any) -> None:
        assert y.dtype == F32
        y = y if bias is None else y + bias
        y = y if residual is None else y + self.real(residual)
        y = np.minimum(np.maximum(y, F32(-np.inf if low is None else low)), F32(np.inf if high is None else high))
        self.zero(y_)
        self.store(y_, y)

    def import_nchw(self, y: int) -> None:
        self.zero(y)
        self.store(y, self.x.transpose(0, 2, 3, 1))

    def export_nchw(self, x: int) -> Floats:
        return np.ascontiguousarray(self.real(x).transpose(0, 3, 1, 2))

    def patches(self, x: NDArray[Any], padding: Any, need: tuple[int, int]) -> NDArray[Any]:
        """The image with zeros above and to the left, and with as many after it as are needed."""
        (top, left), (_, h, w, _) = padding, x.shape
        after = max(0, need[0] - h - top), max(0, need[1] - w - left)
        return np.pad(x, ((0, 0), (top, after[0]), (left, after[1]), (0, 0)))

    def direct(
        self, x: int, y: int, weight: NDArray[Any], bias: Floats, stride: Any, padding: Any, dilation: Any,
        residual: Any, act_low: Any, act_high: Any, unfused: bool, scale: Floats | None = None,
    ) -> None:  # fmt: skip
        weight = widened(weight) if weight.dtype == np.uint16 else weight
        t, (k, kh, kw, _), (sh, sw), (dh, dw) = self.plan.tensors[y], weight.shape, stride, dilation
        last = (t["height"] - 1) * sh, (t["width"] - 1) * sw
        values = self.real(x) if scale is None else self.steps(x)
        image = self.patches(values, padding, (last[0] + dh * (kh - 1) + 1, last[1] + dw * (kw - 1) + 1))
        total = np.zeros((self.images, t["height"], t["width"], k), F32 if unfused else float if scale is None else int)
        for i, j in itertools.product(range(kh), range(kw)):
            window = image[:, i * dh : i * dh + last[0] + 1 : sh, j * dw : j * dw + last[1] + 1 : sw]
            if unfused:
                for c in range(window.shape[-1]):
                    total = total + window[..., c : c + 1] * weight[:, i, j, c]
            else:
                total = total + window @ weight[:, i, j].astype(total.dtype).T
        self.finish(y, total.astype(F32) * (F32(1) if scale is None else scale), bias, residual, act_low, act_high)

    def fast(
        self, x: int, y: int, algorithm: str, bt: Floats, at: Floats, integer: bool, u: NDArray[Any], v_limit: int,
        fraction_bits: int, bias: Floats, stride: int, padding: Any, residual: Any, act_low: Any, act_high: Any,
        mult: NDArray[Any] | None = None, scale: Floats | None = None, block: int = 0,
    ) -> None:  # fmt: skip
        assert algorithm
        assert block >= 0
        assert mult is None or mult.shape[1] in (1, u.shape[2])
        t, (m, n), size = self.plan.tensors[y], at.shape, bt.shape[1]
        rows, cols, step = -(-t["height"] // m), -(-t["width"] // m), stride * m
        values = self.real(x) if scale is None else self.steps(x)
        image = self.patches(values, padding, ((rows - 1) * step + size, (cols - 1) * step + size))
        tiles = np.stack([
            np.stack([image[:, i::step, j::step][:, :rows, :cols] for j in range(size)])
            for i in range(size)
        ])  # fmt: skip
        if scale is None:
            v = sandwich(bt.astype(float), tiles).reshape(n * n, -1, u.shape[2])
            if u.dtype == np.uint16:
                v, u = widened(to_bf16(v)), widened(u)
            z = np.einsum("tpc,tkc->tpk", v, u.astype(float)).reshape(n, n, -1, u.shape[1])
            out = sandwich(at.astype(float), z).astype(F32)
        else:
            assert mult is not None
            v = sandwich(bt.astype(np.int64) if integer else bt, tiles if integer else tiles.astype(F32))
            v, factor = v.reshape(n * n, -1, u.shape[2]), mult[:, None, :]
            if integer:
                vq = (v * factor + (1 << fraction_bits - 1)) >> fraction_bits
            else:
                assert v.dtype == F32
                vq = np.floor(v * (factor.astype(F32) / F32(2**fraction_bits)) + F32(0.5))
            product = np.einsum("tpc,tkc->tpk", vq.clip(-v_limit, v_limit).astype(np.int64), u.astype(np.int64))
            z = product.astype(F32) * scale[:, None, :]
            out = sandwich(at, z.reshape(n, n, -1, u.shape[1]))
        full = out.reshape(m, m, self.images, rows, cols, -1).transpose(2, 3, 0, 4, 1, 5)
        full = full.reshape(self.images, rows * m, cols * m, -1)[:, : t["height"], : t["width"]]
        self.finish(y, full, bias, residual, act_low, act_high)

    def pool(self, x: int, y: int, maximum: bool, rows: NDArray[Any], cols: NDArray[Any], divisor: int) -> None:
        t = self.plan.tensors[x]
        integers = t["dtype"] != "float32" and not maximum
        values = self.steps(x) if integers else self.real(x)
        self.zero(y)
        for (i, (r0, r1)), (j, (c0, c1)) in itertools.product(enumerate(rows), enumerate(cols)):
            window = [values[:, r, c] for r, c in itertools.product(range(r0, r1), range(c0, c1))]
            if maximum:
                result = np.max(window, axis=0)
            else:
                total = window[0]
                for more in window[1:]:
                    total = total + more
                total = total.astype(F32) * F32(t["step"]) if integers else total
                result = total * (F32(1) / F32(divisor or len(window)))
            out = np.array(self.real(y))
            out[:, i, j] = result
            self.store(y, out)

    def eltwise(
        self, x: int, y: int, residual: Any, act_low: Any, act_high: Any, scale: Floats | None = None,
        bias: Floats | None = None,
    ) -> None:  # fmt: skip
        value = self.real(x)
        self.finish(y, value if scale is None else value * scale, bias, residual, act_low, act_high)

    def gather(self, x: int, y: int, rows: NDArray[Any], cols: NDArray[Any], first: int, clear: bool) -> None:
        if clear:
            self.zero(y)
        value = self.real(x)[:, rows][:, :, cols]
        value[:, rows < 0] = 0
        value[:, :, cols < 0] = 0
        self.store(y, value, first)

    def pixel_shuffle(self, x: int, y: int, factor: int) -> None:
        n, h, w, c = self.real(x).shape
        value = self.real(x).reshape(n, h, w, c // factor**2, factor, factor).transpose(0, 1, 4, 2, 5, 3)
        self.zero(y)
        self.store(y, value.reshape(n, h * factor, w * factor, -1))

    def resize(
        self, x: int, y: int, rows: NDArray[Any], cols: NDArray[Any], row_weights: Floats, col_weights: Floats
    ) -> None:
        value, fr, fc = self.real(x), row_weights[:, None, None], col_weights[:, None]
        upper, lower = ((1 - fc) * value[:, r][:, :, cols[:, 0]] + fc * value[:, r][:, :, cols[:, 1]] for r in rows.T)
        self.zero(y)
        self.store(y, (1 - fr) * upper + fr * lower)


def to_bf16(x: NDArray[Any]) -> NDArray[np.uint16]:
    """Upper halves of the nearest floats whose lower halves are empty; of two as near the even one."""
    bits = x.astype(F32).view(np.uint32)
    lower, upper = bits >> 16, (bits >> 16) + 1
    rest = bits & 0xFFFF
    up = (rest > 0x8000) | ((rest == 0x8000) & (lower % 2 == 1))
    return np.where(up, upper, lower).astype(np.uint16)


def widened(halves: NDArray[np.uint16]) -> Floats:
    """The floats whose upper halves these are."""
    return (halves.astype(np.uint32) << 16).view(F32)


def zero_of(tensor: dict[str, Any]) -> int:
    """What stands for zero."""
    return 128 if tensor["dtype"] == "uint8" and tensor["low"] < 0 else 0


NAMED = [[[int(x) for x in row] for row in tw.algorithm(*unrolled).AT] for unrolled in UNROLLED]


def steps_of(matrix: NDArray[Any]) -> tuple[list[Any], list[int]]:
    """Named output transforms as their program, other matrices row by row, ascending."""
    for named in NAMED:
        if matrix.shape == np.shape(named) and (matrix == named).all():
            found = program(named)
            return list(found.steps), list(found.outputs)
    rows = [[(factor, i) for i, factor in enumerate(row) if factor != 0] for row in matrix]
    return rows, list(range(len(rows)))


def sandwich(matrix: NDArray[Any], tiles: NDArray[Any]) -> NDArray[Any]:
    """``matrix @ tile @ matrix.T``, each product and sum rounded on its own."""
    steps, outputs = steps_of(matrix)

    def left(parts: NDArray[Any]) -> NDArray[Any]:
        values = list(parts)
        for step in steps:
            total = np.zeros_like(parts[0])
            for factor, number in step:
                total = total + parts.dtype.type(factor) * values[number]
            values.append(total)
        return np.stack([values[len(parts) + k] for k in outputs])

    return left(left(tiles).swapaxes(0, 1)).swapaxes(0, 1)


@pytest.fixture
def interpret() -> type[Interpreter]:
    """``interpret(plan)(x)``, in NumPy."""
    return Interpreter
