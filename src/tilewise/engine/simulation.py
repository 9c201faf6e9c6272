"""The engine in torch: the exported model, operation by operation, to the bits that the engine gives.

It knows nothing of the passes, the plan or memory, so that comparing the two checks all of those. What it shares with
the engine is the number contract (docs/contracts/numbers.md): batch norms folded into the convolution before them,
float sums in one order, means of 8-bit tensors over their integers.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tilewise.engine import windows
from tilewise.engine.capture import Captured, arguments, capture, operation
from tilewise.engine.compiler import check_example
from tilewise.engine.layers import float_layer
from tilewise.nn import Affine, Conv2d, Grid, Quantize, QuantizedConv, affine_of
from tilewise.quant import FLOAT_BITS

_SUMS = {"aten::conv2d", "aten::linear"}
_MOVES = {
    "aten::max_pool2d", "aten::adaptive_max_pool2d", "getitem", "aten::slice", "aten::pad", "aten::constant_pad_nd",
    "aten::cat", "aten::upsample_nearest2d", "aten::pixel_shuffle", "aten::flatten", "aten::view", "aten::reshape",
    "aten::squeeze", "aten::unsqueeze", "aten::dropout", "aten::contiguous", "aten::clone", "aten::detach",
}  # fmt: skip


class Simulation:
    """What ``tilewise.compile(model, example)`` computes, in torch.

    Exact for networks with quantized layers, compiled with the default precision. A float network, and a float layer
    that a fast algorithm computes, is equal up to rounding only, because the engine is free to round less there.

    Parameters
    ----------
    model : torch.nn.Module
        As for :func:`tilewise.compile`.
    example : Tensor or array of shape (N, C, H, W), float32
        As for :func:`tilewise.compile`.
    """

    def __init__(self, model: nn.Module, example: Any) -> None:
        self.captured = capture(model, check_example(example))
        self.folded = _folded_norms(self.captured)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Run it on as many images as the example has."""
        return _Run(self.captured, self.folded).run(x)


def _folded_norms(captured: Captured) -> dict[fx.Node, Affine]:
    """Give batch norms by the convolution or linear layer that takes them in: the one that nothing else reads."""
    norms: dict[fx.Node, Affine] = {}
    for node in captured.graph.nodes:
        if "batch_norm" not in operation(node):
            continue
        x = arguments(node)["input"]
        standin = operation(x) == "tilewise::layer" and captured.layers[arguments(x)["name"]]
        if (operation(x) in _SUMS or isinstance(standin, QuantizedConv)) and list(x.users) == [node]:
            norms[x] = _affine(captured, node)
    return norms


def _affine(captured: Captured, node: fx.Node) -> Affine:
    a = arguments(node)
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, var = (None if a[n] is None else captured.tensors[a[n].name] for n in names)
    assert mean is not None
    assert var is not None
    return affine_of(weight, bias, mean, var, a["eps"])


class _Run:
    """One run.

    ``grids`` holds the grid of every tensor that lies in memory as integers; ``maps`` the shape of the map that a
    tensor is, or was before it was flattened.
    """

    def __init__(self, captured: Captured, folded: dict[fx.Node, Affine]) -> None:
        self.captured, self.folded = captured, folded
        self.values: dict[fx.Node, Any] = {}
        self.grids: dict[fx.Node, Grid] = {}
        self.maps: dict[fx.Node, tuple[int, ...]] = {}
        convs = (layer for layer in captured.layers.values() if isinstance(layer, QuantizedConv))
        self.exact = any(conv.spec.bits != FLOAT_BITS for conv in convs)

    def run(self, x: Tensor) -> Tensor:
        for node in self.captured.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = x if node is self.captured.input else self.captured.tensors.get(node.name)
            elif node.op == "call_function":
                self.values[node] = self.compute(node)
                self.note(node)
        result: Tensor = self.values[self.captured.output]
        return result

    def note(self, node: fx.Node) -> None:
        """Keep what later operations need to know about a tensor."""
        sources = [x for x in node.all_input_nodes if x in self.maps or x is self.captured.input]
        value = self.values[node]
        if isinstance(value, Tensor) and (value.ndim == 4 or operation(node) in _SUMS | {"aten::mean"}):
            self.maps[node] = (*value.shape, 1, 1)[:4]
        elif sources and sources[0] in self.maps:
            self.maps[node] = self.maps[sources[0]]
        grids = [self.grids.get(x) for x in sources]
        if operation(node) in _MOVES and grids and grids[0] is not None and all(g == grids[0] for g in grids):
            self.grids[node] = grids[0]

    def compute(self, node: fx.Node) -> Any:
        a = fx.map_arg(arguments(node), lambda n: self.values[n])
        match operation(node):
            case "tilewise::layer":
                return self.layer(node, self.captured.layers[a["name"]], a["x"])
            case "aten::conv2d":
                layer = float_layer(a["weight"], a["bias"], a["stride"], a["padding"], a["dilation"], a["groups"])
                return self.layer(node, layer, a["input"])
            case "aten::linear":
                shape = self.maps[arguments(node)["input"]]
                layer = float_layer(a["weight"].view(-1, *shape[1:]), a["bias"])
                return self.layer(node, layer, a["input"].reshape(shape)).flatten(1)
            case "aten::batch_norm" | "aten::_native_batch_norm_legit_no_training" as name:
                y = self.batch_norm(node, a["input"])
                return y if name == "aten::batch_norm" else (y,)
            case "aten::avg_pool2d" | "aten::adaptive_avg_pool2d" | "aten::mean":
                return self.mean(node, a)
            case name:
                assert callable(node.target)
                args = fx.map_arg(node.args, lambda n: self.values[n])
                return _bilinear(a) if name == "aten::upsample_bilinear2d" else node.target(*args, **node.kwargs)

    def layer(self, node: fx.Node, layer: QuantizedConv | Quantize, x: Tensor) -> Tensor:
        if isinstance(layer, Quantize):
            self.grids[node] = Grid.of(layer.range)
            quantized: Tensor = layer(x)
            return quantized
        if node in self.folded:
            layer = copy.copy(layer)
            layer.fold(*self.folded[node])
        in_order = self.exact and isinstance(layer, Conv2d) and layer.spec.bits == FLOAT_BITS
        y: Tensor = _conv_in_order(layer, x) if in_order else layer(x)
        return y

    def batch_norm(self, node: fx.Node, x: Tensor) -> Tensor:
        if arguments(node)["input"] in self.folded:
            return x
        axes = (1, -1) + (1,) * (x.ndim - 2)
        affine = _affine(self.captured, node)
        return x * affine.alpha.view(axes) + affine.beta.view(axes)

    def mean(self, node: fx.Node, a: dict[str, Any]) -> Tensor:
        """Mean over windows: sums row by row from the first pixel on, times the reciprocal of their number."""
        source = node.all_input_nodes[0]
        x: Tensor = self.values[source]
        rows, cols, divisor = _mean_windows(operation(node), node.meta["val"].shape, x, a)
        grid = self.grids.get(source)
        steps = x if grid is None else torch.round(x / grid.step).double()
        y = x.new_empty(*x.shape[:2], len(rows), len(cols))
        for (i, row), (j, col) in itertools.product(enumerate(rows), enumerate(cols)):
            total = torch.zeros_like(steps[:, :, 0, 0])
            for r, c in itertools.product(range(*row), range(*col)):
                total = total + steps[:, :, r, c]
            count = divisor or (row[1] - row[0]) * (col[1] - col[0])
            real = total if grid is None else total.to(x.dtype) * grid.step
            y[:, :, i, j] = real * (1 / torch.tensor(float(count)))
        return y.view(node.meta["val"].shape)


def _mean_windows(
    name: str, out: torch.Size, x: Tensor, a: dict[str, Any]
) -> tuple[list[list[int]], list[list[int]], int]:
    """(begin, end) of rows and of columns, and the divisor; 0 for the number of pixels."""
    h, w = x.shape[2:]
    if name != "aten::avg_pool2d":
        height, width = (1, 1) if name == "aten::mean" else out[2:]
        return windows.adaptive_spans(h, height).tolist(), windows.adaptive_spans(w, width).tolist(), 0
    (kh, kw), (ph, pw) = (list(a[n]) * (2 // len(a[n])) for n in ("kernel_size", "padding"))
    sh, sw = list(a["stride"] or a["kernel_size"]) * (2 // len(a["stride"] or a["kernel_size"]))
    divisor = kh * kw if a["count_include_pad"] and (ph or pw) else 0
    rows = windows.pool_spans(h, out[2], kh, sh, ph).tolist()
    return rows, windows.pool_spans(w, out[3], kw, sw, pw).tolist(), a["divisor_override"] or divisor


def _conv_in_order(layer: QuantizedConv, x: Tensor) -> Tensor:
    """Float convolution, each product and sum rounded on its own: rows, columns, then channels of the window."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    spans = dh * (kh - 1), dw * (kw - 1)
    named = {"valid": (0, 0, 0, 0), "same": (spans[1] // 2, -(-spans[1] // 2), spans[0] // 2, -(-spans[0] // 2))}
    padding = layer.padding
    pads = named[padding] if isinstance(padding, str) else (padding[1], padding[1], padding[0], padding[0])
    x, weight = F.pad(x, pads), layer.folded_weight()
    height, width = (x.shape[2] - spans[0] - 1) // sh + 1, (x.shape[3] - spans[1] - 1) // sw + 1
    y = x.new_zeros(len(x), layer.out_channels, height, width)
    for i, j, c in itertools.product(range(kh), range(kw), range(layer.in_channels)):
        rows = slice(i * dh, i * dh + (height - 1) * sh + 1, sh)
        cols = slice(j * dw, j * dw + (width - 1) * sw + 1, sw)
        y = y + x[:, c : c + 1, rows, cols] * weight[:, c, i, j].view(1, -1, 1, 1)
    return layer.add_bias(y)


def _bilinear(a: dict[str, Any]) -> Tensor:
    x: Tensor = a["input"]
    scales = a.get("scale_factors") or (None, None)
    sizes = a.get("output_size") or [int(size * s) for size, s in zip(x.shape[2:], scales, strict=True)]
    if list(sizes) == list(x.shape[2:]):
        return x
    axes = [
        windows.interpolated(size, out, scale, align_corners=a["align_corners"])
        for size, out, scale in zip(x.shape[2:], sizes, scales, strict=True)
    ]
    (rows, fr), (cols, fc) = ((torch.from_numpy(pixels), torch.from_numpy(weights)) for pixels, weights in axes)
    upper, lower = (
        (1 - fc) * x[:, :, r][:, :, :, cols[:, 0]] + fc * x[:, :, r][:, :, :, cols[:, 1]] for r in rows.unbind(1)
    )
    return (1 - fr)[:, None] * upper + fr[:, None] * lower
