"""Every operator against ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper
from torch import nn

from tilewise.doors import from_onnx
from tilewise.doors.operators import HANDLERS, integers

from .conftest import Net, answers, runtime

IMAGE = [2, 6, 9, 11]
UNARY = (
    "Relu", "Sigmoid", "Tanh", "HardSwish", "Mish", "Softplus", "Softsign", "LeakyRelu", "Elu", "Celu", "Selu",
    "HardSigmoid", "Neg", "Abs", "Exp", "Floor", "Ceil", "Round", "Erf", "Sin", "Cos", "Sign", "Identity",
    "GlobalAveragePool", "GlobalMaxPool", "Flatten", "Softmax", "LogSoftmax", "Dropout", "Gelu",
)  # fmt: skip
WHOLE = [numpy_helper.from_array(np.array([number], np.int64)) for number in (0, 1)]
BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum")
Make = Callable[[Net], Any]


def conv(n: Net, x: str = "x", kernel: tuple[int, ...] = (3, 3), channels: int = 6, **attributes: Any) -> str:
    groups = attributes.get("group", 1)
    found: str = n.add("Conv", x, n.weight(8, channels // groups, *kernel), n.weight(8), **attributes)
    return found


def transposed(n: Net, **attributes: Any) -> str:
    groups = attributes.get("group", 1)
    found: str = n.add("ConvTranspose", "x", n.weight(6, 4 // groups, 3, 4), n.weight(4), **attributes)
    return found


def shuffle(n: Net) -> str:
    x = n.add("Reshape", "x", n.ints(2, 2, 3, 9, 11))
    return str(n.add("Reshape", n.add("Transpose", x, perm=[0, 2, 1, 3, 4]), n.ints(2, -1, 9, 11)))


def by_sizes(n: Net) -> str:
    """Upsample to twice the size that the map has, as exporters write it."""
    shape = n.add("Shape", "x")
    size = n.add("Mul", n.add("Slice", shape, n.ints(2), n.ints(4)), n.ints(2, 2))
    sizes = n.add("Concat", n.add("Slice", shape, n.ints(0), n.ints(2)), size, axis=0)
    return str(n.add("Resize", "x", "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric",
                     nearest_mode="floor"))  # fmt: skip


def by_float_sizes(n: Net) -> str:
    height = n.add("Cast", n.add("Gather", n.add("Shape", "x"), n.constant(np.int64(2))), to=1)
    height = n.add("Cast", n.add("Floor", n.add("Mul", height, n.constant(np.float32(2)))), to=7)
    sizes = n.add("Concat", n.ints(2, 6), n.add("Unsqueeze", height, n.ints(0)), n.ints(22), axis=0)
    return str(n.add("Resize", "x", "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"))


def padded_by_sizes(n: Net, mode: str = "constant") -> str:
    """Put a row and a column around until the map has 12 of both, as PyTorch's exporter writes it: a table, turned."""
    missing = n.add("Sub", n.ints(12, 12), extents(n, 2, 4))
    below, right = (n.add("Slice", missing, n.ints(i), n.ints(i + 1)) for i in (0, 1))
    given = n.add("Concat", n.ints(0), right, n.ints(0), below, axis=0)
    left = n.add("Sub", n.ints(8), n.add("Shape", given))
    table = n.add(
        "Reshape", n.add("Concat", given, n.add("ConstantOfShape", left, value=WHOLE[0]), axis=0), n.ints(-1, 2)
    )
    turned = n.add("Transpose", n.add("Slice", table, n.ints(-1), n.ints(-100), n.ints(0), n.ints(-1)), perm=[1, 0])
    return str(n.add("Pad", "x", n.add("Cast", n.add("Reshape", turned, n.ints(-1)), to=7), mode=mode))


def expanded_by_sizes(n: Net) -> str:
    """Expand to sizes of which -1 stands for what is there, as PyTorch's exporter writes it."""
    sizes = n.add("Concat", n.ints(-1, 6), extents(n, 2, 4), axis=0)
    ones = n.add("ConstantOfShape", n.add("Shape", sizes), value=WHOLE[1])
    sizes = n.add("Where", n.add("Equal", sizes, n.ints(-1)), ones, sizes)
    return str(n.add("Add", "x", n.add("Expand", n.weight(1, 6, 1, 1), sizes)))


def flattened(n: Net) -> str:
    rows = n.add("Unsqueeze", n.add("Gather", n.add("Shape", "x"), n.constant(np.int64(0))), n.ints(0))
    x = n.add("Reshape", "x", n.add("Concat", rows, n.ints(-1), axis=0))
    return str(n.add("Gemm", x, n.weight(5, 594), n.weight(5), transB=1, alpha=0.5, beta=2.0))


def inner(n: Net) -> str:
    """Leave 8x8 pixels."""
    return str(n.add("Slice", "x", n.ints(1, 1), n.ints(9, 9), n.ints(2, 3)))


def extents(n: Net, first: int, last: int) -> str:
    return str(n.add("Slice", n.add("Shape", "x"), n.ints(first), n.ints(last)))


def corners(n: Net) -> str:
    mode = "align_corners"
    return str(n.add("Resize", "x", "", "", n.ints(2, 6, 5, 30), mode="linear", coordinate_transformation_mode=mode))


def counted(n: Net) -> str:
    zero, one = n.constant(np.int64(0)), n.constant(np.int64(1))
    return str(n.add("Add", "x", n.add("Cast", n.add("Range", zero, n.add("Squeeze", extents(n, 3, 4)), one), to=1)))


def on_grid(n: Net) -> str:
    grid = n.constant(np.float32(0.02)), n.constant(np.uint8(100))
    return str(n.add("DequantizeLinear", n.add("QuantizeLinear", "x", *grid), *grid))


def weights_on_grid(n: Net) -> str:
    integers = n.constant(n.random.integers(-128, 128, (8, 6, 3, 3)).astype(np.int8))
    scales = n.constant(n.random.uniform(0.001, 0.1, 8).astype(np.float32))
    return str(
        n.add("Conv", "x", n.add("DequantizeLinear", integers, scales, n.constant(np.zeros(8, np.int8)), axis=0))
    )


CASES: dict[str, Make] = {
    "conv": conv,
    "conv, strides and pads": lambda n: conv(n, strides=[2, 1], pads=[0, 1, 1, 2], dilations=[1, 2]),
    "conv, groups": lambda n: conv(n, group=2, pads=[1, 1, 1, 1]),
    "conv, same upper": lambda n: conv(n, kernel=(4, 3), strides=[2, 2], auto_pad="SAME_UPPER"),
    "conv, same lower": lambda n: conv(n, kernel=(4, 4), auto_pad="SAME_LOWER"),
    "conv, 1x1 of stride 2, same": lambda n: conv(n, kernel=(1, 1), strides=[2, 2], auto_pad="SAME_UPPER"),
    "conv, window below its stride, same": lambda n: conv(n, kernel=(2, 2), strides=[3, 3], auto_pad="SAME_UPPER"),
    "conv, valid": lambda n: conv(n, auto_pad="VALID"),
    "transposed": transposed,
    "transposed, strides": lambda n: transposed(n, strides=[2, 3], pads=[1, 1, 1, 1], output_padding=[1, 0]),
    "transposed, lopsided": lambda n: transposed(n, strides=[2, 2], pads=[0, 1, 1, 0]),
    "transposed, output shape": lambda n: transposed(n, strides=[2, 2], output_shape=[18, 22]),
    "transposed, same": lambda n: transposed(n, strides=[2, 2], auto_pad="SAME_UPPER", group=2),
    "max pool": lambda n: n.add("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "max pool, lopsided": lambda n: n.add("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
    "max pool, ceil": lambda n: n.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "max pool, same": lambda n: n.add("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    "max pool, dilated": lambda n: n.add("MaxPool", "x", kernel_shape=[3, 3], dilations=[2, 2]),
    "average pool": lambda n: n.add("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "average pool, counting": lambda n: n.add(
        "AveragePool", "x", kernel_shape=[3, 3], pads=[1, 0, 1, 1], count_include_pad=1
    ),
    "average pool, lopsided": lambda n: n.add("AveragePool", "x", kernel_shape=[3, 3], pads=[0, 0, 1, 1]),
    "average pool, same": lambda n: n.add("AveragePool", "x", kernel_shape=[2, 2], auto_pad="SAME_UPPER"),
    "average pool, ceil": lambda n: n.add("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    "linear": flattened,
    "linear and offset": lambda n: n.add("Add", n.add("MatMul", "x", n.weight(11, 5)), n.weight(5)),
    "product": lambda n: n.add("MatMul", "x", n.add("Transpose", "x", perm=[0, 1, 3, 2])),
    "batch norm": lambda n: n.add(
        "BatchNormalization", "x", n.weight(6), n.weight(6), n.weight(6), n.weight(6, low=0.1), epsilon=1e-3
    ),
    "instance norm": lambda n: n.add("InstanceNormalization", "x", n.weight(6), n.weight(6)),
    "layer norm": lambda n: n.add("LayerNormalization", "x", n.weight(11), n.weight(11)),
    "local response": lambda n: n.add("LRN", "x", size=3, alpha=0.1, beta=0.6, bias=2.0),
    "unit length": lambda n: n.add("LpNormalization", "x", axis=1),
    "prelu": lambda n: n.add("PRelu", "x", n.weight(6, 1, 1)),
    "prelu, one": lambda n: n.add("PRelu", "x", n.weight(1)),
    "prelu, along rows": lambda n: n.add("PRelu", "x", n.weight(11)),
    "clip": lambda n: n.add("Clip", "x", n.constant(np.float32(-0.5)), n.constant(np.float32(0.25))),
    "clip, below": lambda n: n.add("Clip", "x", n.constant(np.float32(0))),
    "clip, to 6": lambda n: n.add("Clip", "x", n.constant(np.float32(0)), n.constant(np.float32(6))),
    "hard sigmoid of torch": lambda n: n.add("HardSigmoid", "x", alpha=1 / 6),
    "power": lambda n: n.add("Pow", "x", n.constant(np.float32(2))),
    "root": lambda n: n.add("Sqrt", n.add("Abs", "x")),
    "logarithm": lambda n: n.add("Log", n.add("Add", n.add("Abs", "x"), n.constant(np.float32(1)))),
    "reciprocal": lambda n: n.add("Reciprocal", n.add("Exp", "x")),
    "per channel": lambda n: n.add("Mul", n.add("Add", "x", n.weight(6, 1, 1)), n.weight(1, 6, 1, 1)),
    "number first": lambda n: n.add("Sub", n.constant(np.float32(1)), "x"),
    "compared": lambda n: n.add("Where", n.add("Greater", "x", n.constant(np.float32(0))), "x", n.weight(11)),
    "concat and split": lambda n: n.add("Concat", *n.add("Split", "x", n.ints(2, 4), outputs=2, axis=1)[::-1], axis=1),
    "split alike": lambda n: n.add("Add", *n.add("Split", "x", outputs=2, axis=1)),
    "shuffle": shuffle,
    "slice": lambda n: n.add("Slice", "x", n.ints(1, -4), n.ints(5, 2**62), n.ints(1, 3), n.ints(2, 1)),
    "flip": lambda n: n.add("Slice", "x", n.ints(-1), n.ints(-(2**62)), n.ints(3), n.ints(-1)),
    "gather": lambda n: n.add("Gather", "x", n.ints(3, 0, -1), axis=1),
    "gather one": lambda n: n.add("Gather", "x", n.constant(np.int64(2)), axis=1),
    "squeeze": lambda n: n.add("Squeeze", n.add("Unsqueeze", "x", n.ints(1, -1)), n.ints(1)),
    "pad": lambda n: n.add("Pad", "x", n.ints(0, 0, 1, 2, 0, 0, 0, 3), n.constant(np.float32(0.5))),
    "pad by sizes": padded_by_sizes, "pad by sizes, edge": lambda n: padded_by_sizes(n, "edge"),
    "pad, edge, nothing": lambda n: n.add("Pad", "x", n.ints(*[0] * 8), mode="edge"),
    "pad, edge, rows": lambda n: n.add("Pad", "x", n.ints(0, 0, 0, 2, 0, 0, 0, 3), mode="edge"),
    "expand by sizes": expanded_by_sizes,
    "pad, reflect": lambda n: n.add("Pad", "x", n.ints(0, 0, 1, 2, 0, 0, 0, 3), mode="reflect"),
    "pad, edge": lambda n: n.add("Pad", "x", n.ints(0, 0, 1, 2, 0, 0, 0, 3), mode="edge"),
    "depth to space": lambda n: n.add("DepthToSpace", conv(n), blocksize=2),
    "depth to space, as torch": lambda n: n.add("DepthToSpace", conv(n), blocksize=2, mode="CRD"),
    "space to depth": lambda n: n.add("SpaceToDepth", inner(n), blocksize=2),
    "expand": lambda n: n.add("Expand", n.add("GlobalAveragePool", "x"), n.ints(1, 1, 4, 5)),
    "tile": lambda n: n.add("Tile", "x", n.ints(1, 2, 1, 3)),
    "resize, by sizes": by_sizes,
    "resize, by float sizes": by_float_sizes,
    "resize, linear": lambda n: n.add("Resize", "x", "", n.constant(np.float32([1, 1, 2, 1.5])), mode="linear"),
    "resize, corners": corners,
    "resize, cubic": lambda n: n.add("Resize", "x", "", n.constant(np.float32([1, 1, 2, 2])), mode="cubic"),
    "resize, nearest": lambda n: n.add("Resize", "x", "", n.constant(np.float32([1, 1, 3, 2])), mode="nearest"),
    "resize, nearest, down": lambda n: n.add(
        "Resize", "x", "", n.constant(np.float32([1, 1, 0.4, 0.7])), mode="nearest", nearest_mode="round_prefer_ceil"
    ),
    "reduce": lambda n: n.add("ReduceMax", n.add("ReduceMean", "x", axes=[2, 3]), axes=[1], keepdims=0),
    "reduce, least": lambda n: n.add("ReduceMin", "x", axes=[1, 3]),
    "reduce, sum": lambda n: n.add("ReduceSum", "x", n.ints(1)),
    "reduce, norms": lambda n: n.add("Add", n.add("ReduceL2", "x", axes=[1]), n.add("ReduceL1", "x", axes=[1])),
    "reduce, squares": lambda n: n.add("ReduceLogSumExp", n.add("ReduceSumSquare", "x", axes=[1]), axes=[2]),
    "largest": lambda n: n.add("Cast", n.add("ArgMax", "x", axis=1), to=1),
    "smallest": lambda n: n.add("Cast", n.add("ArgMin", "x", axis=1), to=1),
    "count": lambda n: n.add("Div", "x", n.add("Cast", n.add("Size", "x"), to=1)),
    "product of sizes": lambda n: n.add(
        "Reshape", "x", n.add("Concat", n.ints(2), n.add("ReduceProd", extents(n, 1, 4)), axis=0)
    ),
    "filled": lambda n: n.add("Add", "x", n.add("ConstantOfShape", n.add("Shape", "x"))),
    "counted": counted,
    "on a grid": on_grid,
    "weights on a grid": weights_on_grid,
}  # fmt: skip


def check(net: Net, result: str, path: Path, *shapes: list[int]) -> nn.Module:
    net.save(path, result)
    inputs = [net.random.standard_normal(shape).astype(np.float32) for shape in shapes or [IMAGE]]
    model = from_onnx(path)
    (want,), (got,) = runtime(path, *inputs), answers(model, *inputs)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(want).max())))
    return model


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_open", [False, True], ids=["fixed sizes", "open sizes"])
def test_operators(name: str, is_open: bool, tmp_path: Path) -> None:
    net = Net(["n", 6, "h", "w"] if is_open and name not in FIXED else IMAGE)
    check(net, CASES[name](net), tmp_path / "net.onnx")


# Weights or sizes of these fit one size of images.
FIXED = {"linear", "shuffle", "transposed, output shape", "transposed, same", "layer norm", "prelu, along rows",
         "linear and offset", "compared", "conv, window below its stride, same",
         "resize, by float sizes", "resize, corners", "product of sizes", "pad by sizes", "pad by sizes, edge",
         "expand by sizes"}  # fmt: skip


@pytest.mark.parametrize("kind", UNARY)
def test_activations(kind: str, tmp_path: Path) -> None:
    net = Net(IMAGE, opset=20)
    check(net, net.add(kind, "x"), tmp_path / "net.onnx")


@pytest.mark.parametrize("kind", BINARY)
def test_two_tensors(kind: str, tmp_path: Path) -> None:
    net = Net(IMAGE, [2, 6, 1, 1] if kind in ("Add", "Sub", "Mul", "Div") else IMAGE)
    check(net, net.add(kind, "x", "y"), tmp_path / "net.onnx", *map(list, net.shapes))


OLD: dict[str, tuple[int, Make]] = {
    "softmax over the rest": (11, lambda n: n.add("Softmax", "x", axis=1)),
    "clip by attributes": (9, lambda n: n.add("Clip", "x", min=-0.5, max=0.25)),
    "pad by attributes": (9, lambda n: n.add("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 0, 3], value=0.5)),
    "slice by attributes": (9, lambda n: n.add("Slice", "x", axes=[1, 2], starts=[1, 0], ends=[9999, -1])),
    "squeeze by attributes": (9, lambda n: n.add("Squeeze", n.add("Unsqueeze", "x", axes=[0]), axes=[0])),
    "upsample": (9, lambda n: n.add("Upsample", "x", n.constant(np.float32([1, 1, 2, 2])), mode="nearest")),
    "upsample by attribute": (7, lambda n: n.add("Upsample", "x", scales=[1.0, 1.0, 2.0, 3.0], mode="nearest")),
    "resize of set 10": (10, lambda n: n.add("Resize", "x", n.constant(np.float32([1, 1, 2, 2])), mode="nearest")),
    "dropout of set 7": (7, lambda n: n.add("Dropout", "x", ratio=0.5)),
    "group norm of set 18": (18, lambda n: n.add("GroupNormalization", "x", n.weight(3), n.weight(3), num_groups=3)),
    "group norm": (21, lambda n: n.add("GroupNormalization", "x", n.weight(6), n.weight(6), num_groups=3)),
    "reduce by input": (18, lambda n: n.add("ReduceMean", "x", n.ints(2, 3))),
    "split unevenly": (18, lambda n: n.add("Neg", n.add("Split", "x", outputs=2, axis=2, num_outputs=2)[0])),
}


@pytest.mark.parametrize("name", OLD)
def test_forms_of_other_operator_sets(name: str, tmp_path: Path) -> None:
    opset, make = OLD[name]
    net = Net(IMAGE, opset=opset)
    check(net, make(net), tmp_path / "net.onnx")


def test_every_operator_has_a_test() -> None:
    made = set(UNARY) | set(BINARY)
    for opset, make in [(17, make) for make in CASES.values()] + list(OLD.values()):
        net = Net(IMAGE, opset=opset)
        make(net)
        made |= {node.op_type for node in net.nodes}
    logic = {"Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Not", "Constant", "Mod"}
    elsewhere = {*integers.HANDLERS, "com.microsoft.QuantizeLinear", "com.microsoft.DequantizeLinear", "If"}
    assert set(HANDLERS) - made - elsewhere == logic  # test_quantized.py, test_files.py
