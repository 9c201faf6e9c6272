"""Sums, differences, products, quotients, minima and maxima: of two tensors, or of one and numbers or parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, fx

from tilewise.engine.axes import of_image, reshaped, shape_of
from tilewise.engine.functions import FUNCTIONS
from tilewise.engine.fxnodes import is_fixed, operation
from tilewise.engine.graph import Activation, Chw, Node, Op
from tilewise.engine.importer import Handler, Importer, Value, shown
from tilewise.engine.lower import Writer
from tilewise.engine.operations.activation import Activate
from tilewise.engine.operations.elementwise import ElementWise
from tilewise.engine.operations.gathering import Gather, Part, cut, expanded, join, repeats
from tilewise.engine.operations.resizing import spread
from tilewise.engine.simulation import Run, Simulated

Operand: TypeAlias = Value | Tensor
"""What the network computes, or a number for all channels or for each."""


@dataclass(frozen=True)
class Add(Op):
    """The sum of two tensors of one shape, which the operation before it can compute at its end."""


@dataclass(frozen=True)
class Binary(Op):
    """One of the native operation's kinds, of two tensors whose axes are equal, or 1 in one of them."""

    has_ending: ClassVar[bool] = True

    kind: str

    def emit(self, node: Node, writer: Writer) -> None:
        """Add the operation."""
        x = [writer.number(operand) for operand in node.inputs]
        writer.append("binary", node.name, x=x, y=writer.number(node), kind=self.kind, **writer.ending(node))


def _add(im: Importer, a: dict[str, Any]) -> Value:
    return total(im, _operand(im, a["self"]), _times(im, _operand(im, a["other"]), a.get("alpha", 1)))


def _subtract(im: Importer, a: dict[str, Any]) -> Value:
    return _difference(im, _operand(im, a["self"]), _times(im, _operand(im, a["other"]), a.get("alpha", 1)))


def _subtract_from(im: Importer, a: dict[str, Any]) -> Value:
    return _difference(im, _operand(im, a["other"]), _times(im, _operand(im, a["self"]), a.get("alpha", 1)))


def _multiply(im: Importer, a: dict[str, Any]) -> Value:
    gated = gated_by_itself(im.node)
    if gated is not None:
        return im.alike(Activate(Activation(function="silu")), im.value(gated))
    return _product(im, _operand(im, a["self"]), _operand(im, a["other"]))


def _product(im: Importer, x: Operand, y: Operand) -> Value:
    if isinstance(x, Value) and isinstance(y, Value):
        return binary(im, "multiply", x, y)
    return scaled(im, *_apart(im, x, y))


def _add_product(im: Importer, a: dict[str, Any]) -> Value:
    x, first, second = (_operand(im, a[name]) for name in ("self", "tensor1", "tensor2"))
    return total(im, x, _times(im, _product(im, first, second), a["value"]))


def _divide(im: Importer, a: dict[str, Any]) -> Value:
    if a.get("rounding_mode") is not None:
        raise im.refusal(f"rounds by {a['rounding_mode']!r}; allowed: the quotient as it is")
    x, y = _operand(im, a["self"]), _operand(im, a["other"])
    if isinstance(y, Tensor):
        return scaled(im, _computed(im, x), 1 / y)
    if isinstance(x, Value):
        return binary(im, "divide", x, y)
    inverse = im.alike(Activate(Activation(function="reciprocal")), y)
    return scaled(im, inverse, x)


def extremum(kind: str) -> Callable[[Importer, dict[str, Any]], Value]:
    """Return the handler of the minimum or maximum of two tensors, or of one and numbers."""

    def handler(im: Importer, a: dict[str, Any]) -> Value:
        x, y = _operand(im, a["self"]), _operand(im, a["other"])
        if isinstance(x, Value) and isinstance(y, Value):
            return binary(im, kind, x, y)
        tensor, numbers = _apart(im, x, y)
        if numbers.numel() > 1:
            return binary(im, kind, tensor, constant(im, tensor, numbers))
        limit = float(numbers)
        op = Activate(Activation(low=limit) if kind == "maximum" else Activation(high=limit))
        return im.alike(op, tensor)

    return handler


def _filled(im: Importer, a: dict[str, Any]) -> Value:
    """Return maps of one number, of the height and width of another tensor."""
    if im.node.meta["val"].dtype != torch.float32 or len(im.out()) != IMAGE_AXES:
        raise im.refusal("is no map (N, C, H, W) of float32")
    source = a.get("self")
    like = im.like(a["size"][2:]) if source is None else im.image(source).node
    if like is None:
        raise im.refusal("is of a fixed size; allowed: of the height and width of a tensor that the network computes")
    value = FILLED[operation(im.node)] if operation(im.node) in FILLED else a["fill_value"]
    channels = im.out()[0]
    zeros = im.add(Gather((Part(channels=(cut(0, 1, 1), *repeats(channels))),)), [like], im.out())
    zeros = im.add(Activate(Activation(0.0, 0.0)), [zeros], im.out())
    return im.one(ElementWise(bias=torch.full((channels,), float(value))), Value(zeros, zeros.chw), im.out())


def _negative(im: Importer, a: dict[str, Any]) -> Value:
    return scaled(im, im.value(a["self"]), torch.tensor(-1.0))


def _power(im: Importer, a: dict[str, Any]) -> Value:
    x, exponent = im.value(a["self"]), a["exponent"]
    if exponent == CUBE:
        return binary(im, "multiply", im.alike(Activate(Activation(function="square")), x), x)
    if exponent not in POWERS:
        raise im.refusal(f"has the exponent {exponent}; allowed: {', '.join(map(str, (*POWERS, CUBE)))}")
    for function in POWERS[exponent]:
        x = im.alike(Activate(Activation(function=function)), x)
    return x


def _inverse_root(im: Importer, a: dict[str, Any]) -> Value:
    return _power(im, {**a, "exponent": -0.5})


def _expand(im: Importer, a: dict[str, Any]) -> Value | None:
    """Leave a tensor as it is for readers that take an extent of 1 for any other."""
    if isinstance(a["self"], fx.Node) and a["self"].name in im.captured.tensors:
        im.captured.tensors[im.node.name] = im.captured.tensors[a["self"].name]  # for readers that broadcast
        return None
    x = im.value(a["self"])
    read_alike = all(operation(user) in BROADCAST for user in im.node.users)
    if read_alike and len(x.shape) == len(im.out()):
        return x
    like = _spread_like(im, x, a)
    return expanded(im, x, im.out()) if like is None else spread(im, x, like)


def _spread_like(im: Importer, x: Value, a: dict[str, Any]) -> Node | None:
    """Return the image over whose rows and columns the one pixel of ``x`` is spread; None: over fixed ones, or else."""
    wanted = im.node.meta["val"].shape
    if x.shape[1:] != (1, 1) or len(wanted) != len(x.shape) + 1 or is_fixed(wanted[2]) or is_fixed(wanted[3]):
        return None
    return im.image(a["other"]).node if "other" in a else im.like(a["size"][2:])


def _operand(im: Importer, x: Any) -> Operand:
    if not isinstance(x, fx.Node) or not isinstance(x.meta["val"], Tensor):
        return torch.tensor(float(im.number(x) if isinstance(x, fx.Node) else x))
    if x in im.values:
        return im.values[x]
    found = im.tensor(x)
    assert found is not None
    return found.detach().float()


def _computed(im: Importer, x: Operand) -> Value:
    """Return what is no number."""
    if isinstance(x, Value):
        return x
    raise im.refusal("works on parameters alone; allowed: a tensor that the network computes")


def _apart(im: Importer, x: Operand, y: Operand) -> tuple[Value, Tensor]:
    """Return the tensor and the numbers, whichever comes first."""
    if isinstance(x, Tensor):
        assert isinstance(y, Value | Tensor)
        return _computed(im, y), x
    assert isinstance(y, Tensor)
    return x, y


def _per_channel(x: Value, numbers: Tensor) -> Tensor | None:
    """Return a number for each channel of ``x``; None where numbers differ along anything else."""
    shape = (1,) * (len(x.shape) + 1 - numbers.ndim) + tuple(numbers.shape)
    wide = [axis for axis, size in enumerate(shape) if size > 1]
    one_each = len(shape) == len(x.shape) + 1 and len(wide) == 1 and wide[0] > 0
    if wide and not (one_each and x.holds_channels(wide[0]) and x.shape[wide[0] - 1] == shape[wide[0]]):
        return None
    return numbers.reshape(-1).expand(x.node.chw.channels).contiguous()


def constant(im: Importer, x: Value, numbers: Tensor) -> Value:
    """Return numbers as a tensor that the network computes: a pixel of ``x``, limited to 0, and the numbers added."""
    shape = (1,) * (len(x.shape) + 1 - numbers.ndim) + tuple(numbers.shape)
    if len(shape) > len(x.shape) + 1 or shape[0] != 1:
        raise im.refusal(
            f"has a parameter of shape {shape} for a tensor of shape {shown(x)}; allowed: one for all images"
        )
    im.need_fixed_sizes()
    numbers = numbers.reshape(shape)
    if numbers.numel() > MOST_CHANNELS:
        axis = shape.index(max(shape))
        return join(im, [constant(im, x, part) for part in numbers.chunk(2, axis)], axis)
    channels = (cut(0, 1, 1), *repeats(numbers.numel()))
    chw = (numbers.numel(), 1, 1)
    zeros = im.add(Gather((Part((cut(0, 1, 1),), (cut(0, 1, 1),), channels=channels),)), [x.node], chw)
    zeros = im.add(Activate(Activation(0.0, 0.0)), [zeros], chw)
    node = im.add(ElementWise(bias=numbers.flatten().contiguous()), [zeros], chw)
    axes = reshaped(of_image(chw), shape[1:], [True] * len(x.shape))
    assert axes is not None
    return im.view(Value(node, shape[1:]), axes)


def _times(im: Importer, x: Operand, factor: Any) -> Operand:
    if factor == 1:
        return x
    return x * factor if isinstance(x, Tensor) else scaled(im, x, torch.tensor(float(factor)))


def scaled(im: Importer, x: Value, numbers: Tensor) -> Value:
    """Return a tensor times numbers."""
    scale = _per_channel(x, numbers)
    if scale is None:
        return binary(im, "multiply", x, constant(im, x, numbers))
    return x if (scale == 1).all() else im.alike(ElementWise(scale=scale), x)


def total(im: Importer, x: Operand, y: Operand) -> Value:
    """Return a sum."""
    if isinstance(x, Value) and isinstance(y, Value):
        x, y = _matched(im, x, y)
        if x.node.chw == y.node.chw and x.axes == y.axes:
            return x._replace(node=im.add(Add(), [x.node, y.node], x.node.chw))
        return binary(im, "add", x, y)
    tensor, numbers = _apart(im, x, y)
    bias = _per_channel(tensor, numbers)
    if bias is None:
        return total(im, tensor, constant(im, tensor, numbers))
    # The first summand of Python's sum() is 0.
    return tensor if (bias == 0).all() else im.alike(ElementWise(bias=bias), tensor)


def _difference(im: Importer, x: Operand, y: Operand) -> Value:
    if isinstance(x, Value) and isinstance(y, Value):
        return binary(im, "subtract", x, y)
    if isinstance(y, Tensor):
        return total(im, x, -y)
    numbers = _apart(im, x, y)[1]
    bias = _per_channel(y, numbers)
    if bias is None:
        return binary(im, "subtract", constant(im, y, numbers), y)
    return im.alike(ElementWise(torch.full_like(bias, -1.0), bias), y)


def binary(im: Importer, kind: str, x: Value, y: Value) -> Value:
    """Return one of the kinds of :class:`Binary` of two tensors of any shapes that torch broadcasts."""
    x, y = _matched(im, x, y)
    chw = Chw(*(max(pair) for pair in zip(x.node.chw, y.node.chw, strict=True)))
    pairs = zip(x.axes, y.axes, strict=True)
    axes = tuple(max(pair, key=lambda axis: (*shape_of((axis,)), len(axis))) for pair in pairs)
    return im.view(Value(im.add(Binary(kind), [x.node, y.node], chw), shape_of(axes)), axes)


def _matched(im: Importer, x: Value, y: Value) -> tuple[Value, Value]:
    """Return two tensors that :func:`_match`."""
    if len(x.shape) != len(y.shape):
        raise im.refusal(f"takes tensors of shape {shown(x)} and {shown(y)}; allowed: as many axes")
    if x.shape != y.shape and _match(x, y):
        return x, y
    shape = tuple(max(pair) for pair in zip(x.shape, y.shape, strict=True))
    if x.shape != shape:
        if y.shape == shape:
            return _matched(im, y, x)[::-1]
        x = expanded(im, x, shape)
    bases = [{digit.base for digit in axis} for axis in x.axes]
    held = [found for found, size in zip(bases, y.shape, strict=True) if size > 1]
    # Of a part of the channels, say, y has to have the other parts too.
    wanted = (bool(found & set().union(*held)) for found in bases)
    y = expanded(im, y, tuple(a if more else b for a, b, more in zip(x.shape, y.shape, wanted, strict=True)))
    return x, im.ordered_as(y, x)


def _match(x: Value, y: Value) -> bool:
    """Whether an axis holds the same of channels, rows and columns in both tensors, or one value in one of them."""
    pairs, extents = zip(x.axes, y.axes, strict=True), zip(x.node.chw, y.node.chw, strict=True)
    alike = all(a == b or 1 in (*shape_of((a,)), *shape_of((b,))) for a, b in pairs)
    return alike and all(a == b or 1 in (a, b) for a, b in extents)


def gated_by_itself(node: fx.Node) -> fx.Node | None:
    """Return x where a node is ``x * sigmoid(x)``, which is SiLU."""
    for x, gate in (node.args[:2], node.args[1::-1]):
        if not isinstance(x, fx.Node) or not isinstance(gate, fx.Node):
            return None
        if operation(gate) == "aten::sigmoid" and gate.args[0] is x:
            return x
    return None


def _simulate_add(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    return _added(a["self"], a["other"], a.get("alpha", 1))


def _simulate_subtract(_: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    first, second = (a["self"], a["other"]) if operation(node) == "aten::sub" else (a["other"], a["self"])
    return _added(first, second, -a.get("alpha", 1))


def _simulate_add_product(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    return _added(a["self"], a["tensor1"] * a["tensor2"], a["value"])


def _added(x: Any, y: Any, factor: float) -> Tensor:
    """Return ``x + factor * y``, the product rounded on its own."""
    total: Tensor = x + torch.as_tensor(y, dtype=torch.float32) * factor
    return total


def _simulate_multiply(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    gated = gated_by_itself(node)
    if gated is not None:
        return FUNCTIONS["silu"].compute(run.values[gated])
    product: Tensor = a["self"] * a["other"]
    return product


def _simulate_divide(run: Run, node: fx.Node, a: dict[str, Any]) -> Tensor:
    """Divide a tensor by another; where one is numbers or a parameter, multiply with a reciprocal in float32."""
    x, y = (torch.as_tensor(a[name], dtype=torch.float32) for name in ("self", "other"))
    computed = [isinstance(x, fx.Node) and x.name not in run.captured.tensors for x in node.args[:2]]
    return x / y if all(computed) else x * (1 / y)


def _simulate_power(_: Run, __: fx.Node, a: dict[str, Any]) -> Tensor:
    x: Tensor = a["self"]
    if a.get("exponent") == CUBE:
        return x * x * x
    for function in POWERS[a.get("exponent", -0.5)]:
        x = FUNCTIONS[function].compute(x)
    return x


IMAGE_AXES = 3
"""Channels, rows and columns."""
FILLED = {
    "aten::zeros": 0.0, "aten::zeros_like": 0.0, "aten::ones": 1.0, "aten::ones_like": 1.0,
}  # fmt: skip
"""What fills a tensor without saying so."""
MOST_CHANNELS = 2**16
"""Of a tensor."""
CUBE = 3
POWERS = {
    1: (),
    2: ("square",),
    4: ("square", "square"),
    0.5: ("sqrt",),
    -1: ("reciprocal",),
    -0.5: ("sqrt", "reciprocal"),
}
"""The functions, one after the other, that make a power."""
IMPORTS: dict[str, Handler] = {
    "aten::add": _add, "aten::sub": _subtract, "aten::rsub": _subtract_from, "aten::mul": _multiply,
    "aten::div": _divide, "aten::minimum": extremum("minimum"), "aten::maximum": extremum("maximum"),
    "aten::neg": _negative, "aten::pow": _power, "aten::rsqrt": _inverse_root, "aten::expand": _expand,
    "aten::expand_as": _expand, "aten::addcmul": _add_product,
    **dict.fromkeys((*FILLED, "aten::full", "aten::full_like"), _filled),
}  # fmt: skip
BROADCAST = (
    "aten::add", "aten::sub", "aten::rsub", "aten::mul", "aten::div", "aten::minimum", "aten::maximum",
    "aten::addcmul",
)  # fmt: skip
"""Operations that take an extent of 1 for any other."""
SIMULATIONS: dict[str, Simulated] = {
    "aten::add": _simulate_add, "aten::sub": _simulate_subtract, "aten::rsub": _simulate_subtract,
    "aten::mul": _simulate_multiply, "aten::div": _simulate_divide, "aten::pow": _simulate_power,
    "aten::rsqrt": _simulate_power, "aten::addcmul": _simulate_add_product,
}  # fmt: skip
