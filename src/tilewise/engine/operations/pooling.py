"""Maximum and mean over windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from tilewise.engine.fxnodes import operation
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value, pair
from tilewise.engine.lower import Writer
from tilewise.engine.simulation import Run, Simulated
from tilewise.quant import QuantGrid

Span = tuple[int, int, int]
"""Where a window begins and ends, and how many pixels a mean counts."""


@dataclass(frozen=True)
class Pool(Op):
    """Maximum or mean over windows of a fixed size, as torch's pooling layers have them."""

    maximum: bool
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil: bool = False
    count_padding: bool = False
    divisor: int = 0

    @property
    def moves(self) -> bool:  # type: ignore[override]
        """A maximum is one of the numbers."""
        return self.maximum

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """A maximum is the largest of the numbers."""
        return self.maximum

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the pooling."""
        writer.append(
            "pool", node.name, **writer.wires(node), maximum=self.maximum, kernel=list(self.kernel),
            stride=list(self.stride), padding=list(self.padding), ceil=self.ceil, count_padding=self.count_padding,
            divisor=self.divisor,
        )  # fmt: skip


@dataclass(frozen=True)
class AdaptivePool(Op):
    """Maximum or mean over windows that share the image by a fixed number of outputs."""

    maximum: bool
    size: tuple[int, int]

    @property
    def moves(self) -> bool:  # type: ignore[override]
        """A maximum is one of the numbers."""
        return self.maximum

    @property
    def compares(self) -> bool:  # type: ignore[override]
        """A maximum is the largest of the numbers."""
        return self.maximum

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the pooling."""
        size = list(self.size)
        writer.append("adaptive_pool", node.name, **writer.wires(node), maximum=self.maximum, size=size)


def _pool(im: Importer, a: dict[str, Any]) -> Value:
    x, maximum = im.image(a.get("self", a.get("input"))), operation(im.node) == "aten::max_pool2d"
    if pair(a.get("dilation", 1)) != (1, 1):
        raise im.refusal(f"has the dilation {a['dilation']}; allowed: 1")
    kernel = _numbers(im, a["kernel_size"])
    stride = _numbers(im, a["stride"]) if a["stride"] else kernel
    divisor = 0 if maximum or a["divisor_override"] is None else a["divisor_override"]
    padding, counts = _numbers(im, a["padding"]), not maximum and a["count_include_pad"]
    return im.one(Pool(maximum, kernel, stride, padding, a["ceil_mode"], counts, divisor), x, im.out())


def _adaptive_pool(im: Importer, a: dict[str, Any]) -> Value:
    x, size = im.image(a["self"]), _numbers(im, a["output_size"])
    maximum = operation(im.node) == "aten::adaptive_max_pool2d"
    return im.one(AdaptivePool(maximum, size), x, (x.node.chw.channels, *size))


def _numbers(im: Importer, value: Any) -> tuple[int, int]:
    height, width = pair(value)
    return im.number(height), im.number(width)


def window_spans(in_size: int, out_size: int, pool: Pool, axis: int) -> list[Span]:
    """Return the windows along one axis (0: rows)."""
    kernel, stride, padding = pool.kernel[axis], pool.stride[axis], pool.padding[axis]
    spans = []
    for i in range(out_size):
        begin = i * stride - padding
        first, last = max(begin, 0), min(begin + kernel, in_size)
        counted = min(begin + kernel, in_size + padding) - begin if pool.count_padding else last - first
        spans.append((first, last, counted))
    return spans


def adaptive_spans(in_size: int, out_size: int) -> list[Span]:
    """Return the windows that ``out_size`` outputs share an axis of ``in_size`` pixels by."""
    bounds = [(i * in_size // out_size, -((i + 1) * -in_size // out_size)) for i in range(out_size)]
    return [(begin, end, end - begin) for begin, end in bounds]


def _simulate_mean(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    source = node.all_input_nodes[0]
    x: Tensor = run.values[source]
    return means(x, run.grids.get(source), *_windows(node, x, a)).view(node.meta["val"].shape)


def means(x: Tensor, grid: QuantGrid | None, rows: list[Span], cols: list[Span], divisor: int = 0) -> Tensor:
    """Return means over windows: sums row by row from the first pixel on, times the reciprocal of their number."""
    steps = x if grid is None else torch.round(x / grid.step).double()
    y = x.new_empty(*x.shape[:2], len(rows), len(cols))
    for (i, row), (j, col) in itertools.product(enumerate(rows), enumerate(cols)):
        total = torch.zeros_like(steps[:, :, 0, 0])
        for r, c in itertools.product(range(*row[:2]), range(*col[:2])):
            total = total + steps[:, :, r, c]
        real = total if grid is None else total.to(x.dtype) * grid.step
        y[:, :, i, j] = real * (1 / torch.tensor(float(divisor or row[2] * col[2])))
    return y


def _windows(node: fx.Node, x: Tensor, a: dict[str, Any]) -> tuple[list[Span], list[Span], int]:
    """Rows, columns, and the divisor; 0 for the number of pixels."""
    (h, w), out = x.shape[2:], node.meta["val"].shape
    if operation(node) != "aten::avg_pool2d":
        return adaptive_spans(h, out[2]), adaptive_spans(w, out[3]), 0
    kernel = pair(a["kernel_size"])
    stride = pair(a["stride"]) if a["stride"] else kernel
    pool = Pool(False, kernel, stride, pair(a["padding"]), a["ceil_mode"], a["count_include_pad"])
    return window_spans(h, out[2], pool, 0), window_spans(w, out[3], pool, 1), a["divisor_override"] or 0


IMPORTS: dict[str, Handler] = {
    "aten::max_pool2d": _pool, "aten::avg_pool2d": _pool, "aten::adaptive_avg_pool2d": _adaptive_pool,
    "aten::adaptive_max_pool2d": _adaptive_pool,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = dict.fromkeys(("aten::avg_pool2d", "aten::adaptive_avg_pool2d"), _simulate_mean)
