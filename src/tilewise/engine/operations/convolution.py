"""Convolutions and linear layers: direct, fast and lossless ones."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx

from tilewise.algebra import Planar
from tilewise.engine.axes import Digit, of_image
from tilewise.engine.fxnodes import module_of
from tilewise.engine.graph import Node, Op
from tilewise.engine.importer import Handler, Importer, Value, pair
from tilewise.engine.layers import check_layer, check_sums, float_layer
from tilewise.engine.lossless import by_itself, first_byte, lossless
from tilewise.engine.lower import Writer
from tilewise.engine.operations.elementwise import ElementWise
from tilewise.engine.operations.padding import padded
from tilewise.engine.operations.quantization import import_quantization, simulate_quantization
from tilewise.engine.simulation import Run, Simulated
from tilewise.nn import Conv2d, Linear, Quantize, QuantizedConv, WinogradConv2d
from tilewise.quant import FLOAT_BITS, Exact, Residue


@dataclass(frozen=True)
class Conv(Op):
    """A convolution, or a linear layer as one.

    Parameters
    ----------
    layer : QuantizedConv
        Its numbers.
    flattened : tuple of Digit, optional
        Of a linear layer on a flattened map: what its features are of that map, which the window has to cover.
    padding : tuple of int
        Zeros above, below, to the left and to the right of its input, beside the layer's own.
    """

    has_ending: ClassVar[bool] = True

    layer: QuantizedConv
    flattened: tuple[Digit, ...] = ()
    padding: tuple[int, ...] = (0, 0, 0, 0)

    @property
    def is_float(self) -> bool:
        """Whether it multiplies floats."""
        return self.layer.spec.bits == FLOAT_BITS

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the convolution as its spec wants it."""
        layer = self.layer
        numbers = layer.frozen()
        check_sums(node.name, layer, numbers)
        bf16 = writer.precision == "bf16" and numbers.grid is None
        weight = to_bf16(numbers.weight) if bf16 else numbers.weight
        if self.flattened:
            maps = unflattened(torch.from_numpy(weight.reshape(len(weight), -1)), self.flattened, node.inputs[0].chw)
            weight = np.ascontiguousarray(maps.permute(0, 2, 3, 1).numpy())
        shared = {
            **writer.wires(node), **writer.ending(node), "bias": numbers.bias, "scale": numbers.scale,
            "padding": [own + more for own, more in zip(sides(layer), self.padding, strict=True)],
        }  # fmt: skip
        if isinstance(layer, WinogradConv2d):
            writer.append(
                "fast", node.name, **shared, algorithm=layer.algorithm.name,
                planar=isinstance(layer.algorithm, Planar), bt=numbers.bt, at=numbers.at,
                integer=numbers.integer, u=weight, mult=numbers.mult, v_limit=numbers.v_limit,
                fraction_bits=numbers.fraction_bits, stride=layer.algorithm.stride,
                dilation=layer.dilation[0], block=0,
            )  # fmt: skip
            return
        direct = {
            **shared, "weight": weight, "stride": list(layer.stride), "dilation": list(layer.dilation),
            "ordered": writer.ordered and numbers.grid is None and not bf16, "whole": bool(self.flattened),
        }  # fmt: skip
        op, fields = self.lossless(node, direct, numbers.grid) or ("direct", direct)
        writer.append(op, node.name, **fields)

    def lossless(self, node: Node, direct: dict[str, Any], grid: Any) -> tuple[str, dict[str, Any]] | None:
        """Return a lossless layer's operation: what its spec names, or where that leaves it open what is faster."""
        layer, spec = self.layer, self.layer.spec
        if grid is None or not isinstance(spec, Exact | Residue):
            return None
        channels, pixels = min(layer.in_channels, layer.out_channels), node.chw.height * node.chw.width
        choices = by_itself(spec, layer.kernel_size[0], channels, pixels) if isinstance(spec, Exact) else (spec,)
        size = (node.chw.height, node.chw.width)
        return next(
            filter(None, (lossless(direct, first_byte(grid.low, grid.high), size, choice) for choice in choices)), None
        )


def sides(layer: QuantizedConv) -> list[int]:
    """Return the zeros above, below, to the left and to the right that a layer itself puts around its input."""
    return margins(layer) if layer.padding_mode == "zeros" else [0, 0, 0, 0]


def margins(layer: QuantizedConv) -> list[int]:
    """Return a layer's padding of any mode above, below, to the left and to the right."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    if layer.padding == "same":
        spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return [side for span in spans for side in (span // 2, span - span // 2)]
    height, width = (int(p) for p in layer.padding)
    return [height, height, width, width]


def to_bf16(x: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the upper halves of finite floats, rounded to the nearest, in the middle to the even one."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def _layer(im: Importer, a: dict[str, Any]) -> Value:
    layer, name = im.captured.layers[a["name"]], a["name"]
    if isinstance(layer, Quantize):
        return import_quantization(im, layer, name, im.value(a["x"]))
    check_layer(name, layer)
    if isinstance(layer, Linear):
        return _features(im, a["x"], layer, name)
    x = im.image(a["x"])
    if layer.input_scale is not None:
        x = im.alike(ElementWise(layer.input_scale), x)
    return _conv(im, x, layer, name)


def _conv(im: Importer, x: Value, layer: QuantizedConv, name: str, out: Sequence[int] = ()) -> Value:
    if x.node.chw.channels != layer.in_channels:
        raise ValueError(f"layer {name!r} reads {x.node.chw.channels} channels; allowed: {layer.in_channels}")
    if layer.padding_mode != "zeros":
        top, bottom, left, right = margins(layer)
        x = padded(im, padded(im, x, 2, (top, bottom), layer.padding_mode), 3, (left, right), layer.padding_mode)
    node = im.add(Conv(layer), [x.node], out or im.out(), name)
    return Value(node, node.chw)


def _conv2d(im: Importer, a: dict[str, Any]) -> Value:
    weight, bias = im.tensor(a["weight"]), im.tensor(a["bias"])
    assert weight is not None
    padding = a["padding"] if isinstance(a["padding"], str) else pair(a["padding"])
    layer = float_layer(weight, bias, pair(a["stride"]), padding, pair(a["dilation"]), a["groups"])
    name = module_of(im.node) or "conv2d"
    check_layer(name, layer)
    return _conv(im, im.image(a["input"]), layer, name)


def _conv1d(im: Importer, a: dict[str, Any]) -> Value:
    """Return a convolution along the columns of images of one row."""
    weight, bias, x = im.tensor(a["weight"]), im.tensor(a["bias"]), im.value(a["input"])
    assert weight is not None
    layer, name = _of_one_row(a, weight, bias), module_of(im.node) or "conv1d"
    check_layer(name, layer)
    channels, entries = x.axes
    row = im.view(x, (channels, (), entries))
    y = _conv(im, row if row.is_image else im.arranged(row, row.axes), layer, name, (im.out()[0], 1, im.out()[1]))
    channels, _, entries = y.axes
    return im.view(y, (channels, entries))


def _of_one_row(a: dict[str, Any], weight: Tensor, bias: Tensor | None) -> Conv2d:
    """Return the convolution of images of one row that a convolution along one axis is."""
    stride, dilation = ((1, pair(a[name])[0]) for name in ("stride", "dilation"))
    padding = a["padding"] if isinstance(a["padding"], str) else (0, pair(a["padding"])[0])
    return float_layer(weight[:, :, None], bias, stride, padding, dilation, a["groups"])


def _linear(im: Importer, a: dict[str, Any]) -> Value:
    weight, bias = im.tensor(a["weight"]), im.tensor(a["bias"])
    assert weight is not None
    layer, name = float_layer(weight[:, :, None, None], bias), module_of(im.node) or "linear"
    check_layer(name, layer)
    return _features(im, a["input"], layer, name)


def _features(im: Importer, x: Any, layer: QuantizedConv, name: str) -> Value:
    """Return what a linear layer becomes: a window over the whole map that was flattened, or over one pixel."""
    value = im.value(x)
    if len(value.shape) > 1:
        value = im.channels_last(x)
        if value.node.chw.channels != layer.in_channels:
            raise ValueError(f"layer {name!r} reads {value.node.chw.channels} features; allowed: {layer.in_channels}")
        chw = (layer.out_channels, *value.node.chw[1:])
        return im.view(Value(im.add(Conv(layer), [value.node], chw, name), chw), (*value.axes[:-1], of_image(chw)[0]))
    if value.shape[0] != layer.in_channels:
        raise ValueError(f"layer {name!r} reads {value.shape[0]} features; allowed: {layer.in_channels}")
    node = im.add(Conv(layer, value.axes[0]), [value.node], (layer.out_channels, 1, 1), name)
    return Value(node, im.out())


def unflattened(x: Tensor, axis: tuple[Digit, ...], chw: Sequence[int]) -> Tensor:
    """Return flattened maps, whose axis has these digits, as maps (N, C, H, W)."""
    order = sorted(range(len(axis)), key=lambda i: (axis[i].base, -axis[i].step))
    digits = x.reshape(len(x), *(digit.size for digit in axis))
    return digits.permute(0, *(i + 1 for i in order)).reshape(len(x), *chw)


def _simulate_layer(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    layer = run.captured.layers[a["name"]]
    if isinstance(layer, Quantize):
        return simulate_quantization(run, node, layer, a["x"])
    return convolved(run, node, layer, a["x"])


def _simulate_conv2d(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    layer = float_layer(a["weight"], a["bias"], a["stride"], a["padding"], a["dilation"], a["groups"])
    return convolved(run, node, layer, a["input"])


def _simulate_conv1d(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    return convolved(run, node, _of_one_row(a, a["weight"], a["bias"]), a["input"][:, :, None])[:, :, 0]


def _simulate_linear(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    x, weight = a["input"], a["weight"]
    if x.ndim > 2:  # a window of one pixel
        layer = float_layer(weight[:, :, None, None], a["bias"])
        pixels = x.movedim(-1, 1).flatten(2)[..., None]
        return convolved(run, node, layer, pixels).view(len(x), -1, *x.shape[1:-1]).movedim(1, -1)
    chw, (axis,) = run.axes_of(node.all_input_nodes[0])
    layer = float_layer(unflattened(weight, axis, chw), a["bias"])
    return convolved(run, node, layer, unflattened(x, axis, chw)).flatten(1)


def convolved(run: Run, node: fx.Node, layer: QuantizedConv, x: Tensor) -> Tensor:
    """Return what a layer computes, with the batch norm that it takes in."""
    if node in run.folded:
        layer = copy.copy(layer)
        layer.fold(*run.folded[node])
    ordered = run.ordered and isinstance(layer, Conv2d) and layer.spec.bits == FLOAT_BITS
    y: Tensor = _ordered_conv(layer, x) if ordered else layer(x)
    return y


def _ordered_conv(layer: QuantizedConv, x: Tensor) -> Tensor:
    """Float convolution, each product and sum rounded on its own: rows, columns, then channels of a group."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    top, bottom, left, right = margins(layer)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x, weight = F.pad(layer.scaled(x), (left, right, top, bottom), mode), layer.folded_weight()
    height, width = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1, (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    y = x.new_zeros(len(x), layer.out_channels, height, width)
    channels = layer.in_channels // layer.groups
    first = torch.arange(layer.groups).repeat_interleave(layer.out_channels // layer.groups) * channels
    for i, j, c in itertools.product(range(kh), range(kw), range(channels)):
        rows = slice(i * dh, i * dh + (height - 1) * sh + 1, sh)
        cols = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
        window = x[:, first + c, rows, cols] if layer.groups > 1 else x[:, c : c + 1, rows, cols]
        y = y + window * weight[:, c, i, j].view(1, -1, 1, 1)
    return layer.add_bias(y)


IMPORTS: dict[str, Handler] = {
    "tilewise::layer": _layer, "aten::conv2d": _conv2d, "aten::conv1d": _conv1d, "aten::linear": _linear,
}  # fmt: skip
SIMULATIONS: dict[str, Simulated] = {
    "tilewise::layer": _simulate_layer, "aten::conv2d": _simulate_conv2d, "aten::conv1d": _simulate_conv1d,
    "aten::linear": _simulate_linear,
}  # fmt: skip
