"""From an exported model to the engine's own graph: one function for each operation of torch that is served."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, fx

from tilewise.engine import windows
from tilewise.engine.capture import Captured, arguments, module_of, operation, place
from tilewise.engine.graph import (
    Add,
    BatchNorm,
    Chw,
    Clamp,
    Conv,
    Gather,
    Graph,
    Input,
    Node,
    Op,
    Part,
    Pool,
    Quantization,
    Resize,
    Shuffle,
)  # fmt: skip
from tilewise.engine.layers import check_grid, check_layer, float_layer
from tilewise.nn import Grid, Quantize, QuantizedConv, affine_of

INFINITY = float("inf")


class Value(NamedTuple):
    """A tensor of the model: the node that makes it, and its shape without the batch axis."""

    node: Node
    shape: tuple[int, ...]


def import_graph(captured: Captured) -> Graph:
    """Read an exported model.

    Raises
    ------
    ValueError
        Naming the operation or layer, its place in the model and what is served, if the engine lacks it.
    """
    return _Importer(captured).run()


class _Importer:
    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        n, c, h, w = captured.shape
        self.graph = Graph(batch=n)
        self.values: dict[fx.Node, Value] = {}
        self.node: fx.Node = captured.input
        chw = Chw(c, h, w)
        self.values[captured.input] = Value(self.add(Input(), [], chw, "input"), chw)

    def run(self) -> Graph:
        for node in self.captured.graph.nodes:
            if node.op != "call_function":
                continue
            self.node = node
            handler = _HANDLERS.get(operation(node))
            if handler is None:
                raise self.refusal("is not supported; supported are: " + ", ".join(sorted(SUPPORTED)))
            self.values[node] = handler(self, arguments(node))
        if self.captured.output not in self.values:
            raise ValueError("the model's result does not depend on its input")
        node, self.graph.output_shape = self.values[self.captured.output]
        self.graph.output = node
        return self.graph

    def refusal(self, why: str) -> ValueError:
        """What to raise at the current operation."""
        return ValueError(f"{operation(self.node).removeprefix('aten::')} {place(self.node)} {why}")

    def add(self, op: Op, inputs: list[Node], chw: Iterable[int], name: str = "") -> Node:
        """Append a node named after the module that the current operation belongs to."""
        kind = operation(self.node).split("::")[-1] if self.node.op == "call_function" else ""
        module = module_of(self.node)
        node = Node(name or (f"{module}.{kind}" if module else kind)[-256:], op, inputs, Chw(*chw))
        self.graph.nodes.append(node)
        return node

    def value(self, x: Any) -> Value:
        if not isinstance(x, fx.Node) or x not in self.values:
            raise self.refusal("works on a parameter or a number; allowed: tensors that the network computes")
        return self.values[x]

    def image(self, x: Any) -> Value:
        """Give a tensor of shape (N, C, H, W)."""
        found = self.value(x)
        if found.shape != found.node.chw:
            raise self.refusal(
                f"reads a tensor of shape (N, {', '.join(map(str, found.shape))}); allowed: (N, C, H, W)"
            )
        return found

    def tensor(self, x: Any) -> Tensor | None:
        """Give the value of a parameter."""
        if x is None:
            return None
        if not isinstance(x, fx.Node) or x.name not in self.captured.tensors:
            raise self.refusal("has weights that the network computes; allowed: parameters and buffers")
        return self.captured.tensors[x.name]

    def out(self) -> tuple[int, ...]:
        """Shape that torch found for the current result, without the batch axis."""
        shape = tuple(int(size) for size in self.node.meta["val"].shape)
        if not shape or shape[0] != self.graph.batch:
            raise self.refusal(f"gives a tensor of shape {shape}; allowed: the images stay the first axis")
        return shape[1:]

    def one(self, op: Op, x: Value, chw: Iterable[int]) -> Value:
        """Append a node that reads an image and makes one."""
        node = self.add(op, [x.node], chw)
        return Value(node, node.chw)

    def alike(self, op: Op, x: Value) -> Value:
        """Append a node that keeps the shape."""
        return Value(self.add(op, [x.node], x.node.chw), x.shape)


_HANDLERS: dict[str, Callable[[_Importer, dict[str, Any]], Value]] = {}


def _handles(*names: str) -> Callable[[Callable[[_Importer, dict[str, Any]], Value]], Any]:
    def register(function: Callable[[_Importer, dict[str, Any]], Value]) -> Any:
        _HANDLERS.update(dict.fromkeys(names, function))
        return function

    return register


@_handles("tilewise::layer")
def _layer(im: _Importer, a: dict[str, Any]) -> Value:
    layer, name = im.captured.layers[a["name"]], a["name"]
    if isinstance(layer, Quantize):
        x = im.value(a["x"])
        if not layer.range.ready:
            raise ValueError(f"layer {name!r} has no range yet; calibrate(model, batches) or train it first")
        grid = Grid.of(layer.range)
        check_grid(name, grid)
        return im.alike(Quantization(grid), x)
    check_layer(name, layer)
    return _conv(im, im.image(a["x"]), layer, name)


def _conv(im: _Importer, x: Value, layer: QuantizedConv, name: str) -> Value:
    if x.node.chw.channels != layer.in_channels:
        raise ValueError(f"layer {name!r} reads {x.node.chw.channels} channels; allowed: {layer.in_channels}")
    node = im.add(Conv(layer), [x.node], im.out(), name)
    return Value(node, node.chw)


@_handles("aten::conv2d")
def _conv2d(im: _Importer, a: dict[str, Any]) -> Value:
    weight, bias = im.tensor(a["weight"]), im.tensor(a["bias"])
    assert weight is not None
    padding = a["padding"] if isinstance(a["padding"], str) else _pair(a["padding"])
    layer = float_layer(weight, bias, _pair(a["stride"]), padding, _pair(a["dilation"]), a["groups"])
    name = module_of(im.node) or "conv2d"
    check_layer(name, layer)
    return _conv(im, im.image(a["input"]), layer, name)


@_handles("aten::linear")
def _linear(im: _Importer, a: dict[str, Any]) -> Value:
    x, weight, bias = im.value(a["input"]), im.tensor(a["weight"]), im.tensor(a["bias"])
    assert weight is not None
    if len(x.shape) != 1:
        raise im.refusal(f"reads a tensor of {len(x.shape) + 1} axes; allowed: 2, (N, features)")
    # A window over the whole map: its weights lie in the order of the flattened map.
    layer = float_layer(weight.view(-1, *x.node.chw), bias)
    name = module_of(im.node) or "linear"
    check_layer(name, layer)
    return Value(im.add(Conv(layer), [x.node], (*im.out(), 1, 1), name), im.out())


@_handles("aten::batch_norm", "aten::_native_batch_norm_legit_no_training")
def _batch_norm(im: _Importer, a: dict[str, Any]) -> Value:
    mean, var = im.tensor(a["running_mean"]), im.tensor(a["running_var"])
    if mean is None or var is None or a.get("training"):
        raise im.refusal("uses the statistics of the batch; allowed: running statistics")
    x = im.value(a["input"])
    if x.shape[0] != x.node.chw.channels:
        raise im.refusal("normalises a flattened map; allowed: before flattening, or after a linear layer")
    return im.alike(BatchNorm(affine_of(im.tensor(a["weight"]), im.tensor(a["bias"]), mean, var, a["eps"])), x)


@_handles("aten::relu", "aten::relu6", "aten::hardtanh", "aten::clamp", "aten::clamp_min", "aten::clamp_max")
def _activation(im: _Importer, a: dict[str, Any]) -> Value:
    named = {"aten::relu": (0.0, None), "aten::relu6": (0.0, 6.0)}
    low, high = named.get(operation(im.node)) or (a.get("min", a.get("min_val")), a.get("max", a.get("max_val")))
    if any(isinstance(limit, fx.Node) for limit in (low, high)):
        raise im.refusal("has limits that are tensors; allowed: numbers")
    # As torch compares float32 tensors: with limits rounded to float32.
    lowest = -INFINITY if low is None else float(np.float32(low))
    highest = INFINITY if high is None else float(np.float32(high))
    if not lowest <= highest:
        raise im.refusal(f"has the limits {low} and {high}; allowed: numbers in order")
    return im.alike(Clamp(lowest, highest), im.value(a.get("self", a.get("input"))))


@_handles("aten::add")
def _add(im: _Importer, a: dict[str, Any]) -> Value:
    x, y = im.value(a["self"]), im.value(a["other"])
    if a["alpha"] != 1 or x.shape != y.shape or x.node.chw != y.node.chw:
        raise im.refusal(f"adds {a['alpha']} * {y.shape} to {x.shape}; allowed: 1 * a tensor of the same shape")
    return Value(im.add(Add(), [x.node, y.node], x.node.chw), x.shape)


@_handles("aten::max_pool2d", "aten::avg_pool2d")
def _pool(im: _Importer, a: dict[str, Any]) -> Value:
    x, (_, height, width) = im.image(a.get("self", a.get("input"))), im.out()
    kernel = _pair(a["kernel_size"])
    stride, padding = _pair(a["stride"]) if a["stride"] else kernel, _pair(a["padding"])
    if _pair(a.get("dilation", 1)) != (1, 1):
        raise im.refusal(f"has the dilation {a['dilation']}; allowed: 1")
    _, h, w = x.node.chw
    rows = windows.pool_spans(h, height, kernel[0], stride[0], padding[0])
    cols = windows.pool_spans(w, width, kernel[1], stride[1], padding[1])
    maximum, divisor = operation(im.node) == "aten::max_pool2d", 0
    if not maximum and a["divisor_override"] is not None:
        divisor = a["divisor_override"]
    elif not maximum and a["count_include_pad"] and padding != (0, 0):
        divisor = kernel[0] * kernel[1]
        # A window that ceil_mode lets reach beyond even the padding has fewer pixels.
        beyond = (height - 1) * stride[0] + kernel[0] > h + 2 * padding[0]
        if beyond or (width - 1) * stride[1] + kernel[1] > w + 2 * padding[1]:
            raise im.refusal("counts padding and has windows that reach beyond it; allowed: ceil_mode=False")
    return im.one(Pool(maximum, rows, cols, divisor), x, im.out())


@_handles("aten::adaptive_avg_pool2d", "aten::adaptive_max_pool2d")
def _adaptive_pool(im: _Importer, a: dict[str, Any]) -> Value:
    x = im.image(a["self"])
    size = im.node.meta["val"]
    maximum = operation(im.node) == "aten::adaptive_max_pool2d"
    height, width = (size[0] if maximum else size).shape[2:]
    c, h, w = x.node.chw
    pool = Pool(maximum, windows.adaptive_spans(h, height), windows.adaptive_spans(w, width))
    return im.one(pool, x, (c, height, width))


@_handles("aten::mean")
def _mean(im: _Importer, a: dict[str, Any]) -> Value:
    x = im.image(a["self"])
    dims = {d % 4 for d in a.get("dim") or ()}
    if a["dtype"] is not None:
        raise im.refusal(f"is in {a['dtype']}; allowed: the type of the tensor")
    if dims != {2, 3}:
        raise im.refusal(f"is over the axes {sorted(dims)}; allowed: 2 and 3, height and width")
    c, h, w = x.node.chw
    pool = Pool(maximum=False, rows=windows.adaptive_spans(h, 1), cols=windows.adaptive_spans(w, 1))
    return im.one(pool, x, (c, 1, 1))._replace(shape=im.out())


@_handles("aten::flatten", "aten::view", "aten::reshape", "aten::squeeze", "aten::unsqueeze", "aten::_unsafe_view")
def _reshape(im: _Importer, a: dict[str, Any]) -> Value:
    x, shape = im.value(a.get("self", a.get("input"))), im.out()
    c, h, w = x.node.chw
    if shape not in {(c * h * w,), (c, h, w)}:
        raise im.refusal(
            f"gives the shape (N, {', '.join(map(str, shape))}); allowed: (N, {c * h * w}), (N, {c}, {h}, {w})"
        )
    return Value(x.node, shape)


@_handles(
    "aten::dropout", "aten::feature_dropout", "aten::contiguous", "aten::clone", "aten::detach", "aten::alias",
    "aten::lift_fresh_copy",
)  # fmt: skip
def _nothing(im: _Importer, a: dict[str, Any]) -> Value:
    if a.get("train"):
        raise im.refusal("drops values in evaluation too; allowed: training=self.training")
    return im.value(a.get("self", a.get("input")))


@_handles("getitem")
def _first_of(im: _Importer, _: dict[str, Any]) -> Value:
    source, index = im.node.args
    if index != 0:
        assert isinstance(source, fx.Node)
        raise im.refusal(f"takes result {index} of {operation(source)}; allowed: 0")
    return im.value(source)


@_handles("aten::cat")
def _cat(im: _Importer, a: dict[str, Any]) -> Value:
    parts = [im.value(x) for x in a["tensors"]]
    axis = a["dim"] % (len(parts[0].shape) + 1)
    if axis != 1 or any(p.shape[1:] != p.node.chw[1:] and p.node.chw[1:] != (1, 1) for p in parts):
        raise im.refusal(f"is along axis {axis}; allowed: 1, the channels of maps that are not flattened")
    _, h, w = parts[0].node.chw
    firsts = np.cumsum([0, *(p.node.chw.channels for p in parts)]).tolist()
    where = [Part(windows.all_of(h), windows.all_of(w), first) for first in firsts[:-1]]
    node = im.add(Gather(tuple(where)), [p.node for p in parts], (firsts[-1], h, w))
    return Value(node, im.out())


@_handles("aten::upsample_nearest2d")
def _nearest(im: _Importer, a: dict[str, Any]) -> Value:
    x, (c, height, width) = im.image(a["input"]), im.out()
    _, h, w = x.node.chw
    scales = a.get("scale_factors") or (height / h, width / w)
    if height % h or width % w or tuple(scales) != (height // h, width // w):
        raise im.refusal(f"goes from {h}x{w} to {height}x{width}; allowed: whole factors")
    part = Part(windows.repeated(h, height // h), windows.repeated(w, width // w), 0)
    return im.one(Gather((part,)), x, (c, height, width))


@_handles("aten::upsample_bilinear2d")
def _bilinear(im: _Importer, a: dict[str, Any]) -> Value:
    x, (c, height, width) = im.image(a["input"]), im.out()
    if (height, width) == x.node.chw[1:]:
        return x  # torch copies, whatever the factor
    scales = a.get("scale_factors") or (None, None)
    corners = a["align_corners"]
    (rows, row_weights), (cols, col_weights) = (
        windows.interpolated(size, out, scale, align_corners=corners)
        for size, out, scale in zip(x.node.chw[1:], (height, width), scales, strict=True)
    )
    return im.one(Resize(rows, cols, row_weights, col_weights), x, (c, height, width))


@_handles("aten::pixel_shuffle")
def _pixel_shuffle(im: _Importer, a: dict[str, Any]) -> Value:
    return im.one(Shuffle(a["upscale_factor"]), im.image(a["self"]), im.out())


@_handles("aten::slice")
def _slice(im: _Importer, a: dict[str, Any]) -> Value:
    x, axis = im.value(a["self"]), a["dim"] % (len(im.value(a["self"]).shape) + 1)
    if im.out() == x.shape and a["step"] == 1:
        return x
    if axis < 2:
        raise im.refusal(f"is along axis {axis}; allowed: 2 and 3, height and width")
    x = im.image(a["self"])
    c, h, w = x.node.chw
    rows, cols = windows.all_of(h), windows.all_of(w)
    chosen = slice(a["start"], a["end"], a["step"])
    part = Part(rows[chosen], cols, 0) if axis == 2 else Part(rows, cols[chosen], 0)
    return im.one(Gather((part,)), x, (c, len(part.rows), len(part.cols)))


@_handles("aten::pad", "aten::constant_pad_nd")
def _pad(im: _Importer, a: dict[str, Any]) -> Value:
    x, pad = im.image(a["self"]), [*a["pad"], 0, 0, 0, 0, 0, 0][:6]
    mode, value = a.get("mode", "constant"), a["value"] or 0
    if mode != "constant" or value != 0 or min(pad) < 0 or len(a["pad"]) > 6:
        raise im.refusal(f"is of {a['pad']} with {mode} {value}; allowed: zeros around height, width and channels")
    left, right, top, bottom, first, last = pad
    c, h, w = x.node.chw
    part = Part(windows.padded(h, top, bottom), windows.padded(w, left, right), first)
    return im.one(Gather((part,)), x, (first + c + last, h + top + bottom, w + left + right))


def _pair(value: Any) -> tuple[int, int]:
    """Read one number for both axes, or two."""
    values = [value] if isinstance(value, int) else list(value)
    return int(values[0]), int(values[-1])


SUPPORTED = {name.split("::")[-1] for name in _HANDLERS} - {
    "layer", "getitem", "_native_batch_norm_legit_no_training", "_unsafe_view", "alias", "lift_fresh_copy",
}  # fmt: skip
