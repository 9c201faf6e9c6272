"""The nodes of an ONNX file, one operation of a program after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.engine.program import Program

FUNCTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "abs": ("Abs", {}),
    "elu": ("Elu", {}),
    "erf": ("Erf", {}),
    "exp": ("Exp", {}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hardswish": ("HardSwish", {}),
    "log": ("Log", {}),
    "mish": ("Mish", {}),
    "reciprocal": ("Reciprocal", {}),
    "sigmoid": ("Sigmoid", {}),
    "softplus": ("Softplus", {}),
    "sqrt": ("Sqrt", {}),
    "tanh": ("Tanh", {}),
}
"""What ends an operation, where ONNX has one node for it; ``silu`` and ``square`` are products."""
BINARY = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "minimum": "Min", "maximum": "Max",
}  # fmt: skip
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "maximum": "ReduceMax"}
ZEROS, REPEAT, SLICE, CROP = 0, 1, 2, 4
"""Of the moves of ``gather``."""
LARGEST_BYTE, LARGEST_BIAS = 2**8 - 1, 2**31 - 1


class Nodes:
    """Nodes under construction: tensors of a program by number are float values by name.

    Parameters
    ----------
    program : Program
        Whose tensors they are.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.all: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.inputs: dict[str, list[int | str]] = {}
        self.outputs: dict[str, list[int | str | None]] = {}
        self.values: dict[int, str] = {}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        output = output or f"{kind}_{len(self.all)}"
        self.all.append((kind, list(inputs), output, attributes))
        return output

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add numbers and return their name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(values, dtype)
        return name

    def per_channel(self, values: NDArray[Any]) -> str:
        """Add a number for each channel."""
        return self.constant(values.reshape(1, -1, 1, 1))

    def store(self, number: int, value: str) -> str:
        """Make a value a tensor of the program, on its grid if it has one; return why that can not be."""
        tensor = self.program.tensors[number]
        if tensor["dtype"] not in ("float32", "uint8"):
            return f"its result is {tensor['dtype']}; allowed: float32 and 8 bits"
        if tensor["dtype"] == "uint8":
            step, low, high = np.float32(tensor["step"]), tensor["low"], tensor["high"]
            if high - low < LARGEST_BYTE:  # ONNX ends where the byte ends
                value = self.add("Clip", value, "", self.constant(high * step))
            grid = self.constant(step), self.constant(-low, np.uint8)
            value = self.add("DequantizeLinear", self.add("QuantizeLinear", value, *grid), *grid)
        self.values[number] = value
        return ""

    def finish(self, fields: dict[str, Any], value: str) -> str:
        """Append how an operation ends, and store it; return why that can not be."""
        if (residual := fields.get("residual")) is not None:
            value = self.add("Add", value, self.values[residual])
        function = fields["function"]
        if function == "silu":
            value = self.add("Mul", value, self.add("Sigmoid", value))
        elif function == "square":
            value = self.add("Mul", value, value)
        elif function:
            kind, attributes = FUNCTIONS[function]
            value = self.add(kind, value, **attributes)
        if (slope := fields.get("slope")) is not None:
            value = self.add("PRelu", value, self.constant(slope.reshape(-1, 1, 1)))
        low, high = fields["act_low"], fields["act_high"]
        if (low, high) == (0, None):
            value = self.add("Relu", value)
        elif (low, high) != (None, None):
            ends = ["" if end is None else self.constant(end) for end in (low, high)]
            value = self.add("Clip", value, *ends)
        return self.store(fields["y"], value)


def write_operation(nodes: Nodes, op: str, fields: dict[str, Any]) -> str:
    """Append the nodes of an operation; return what of it ONNX can not say, or nothing."""
    reason = WRITERS[op](nodes, fields) if op in WRITERS else f"ONNX has no counterpart of {op} here"
    if reason and "y" in fields:
        nodes.values[fields["y"]] = ""  # so that what reads it is asked too
    return reason


def _input(nodes: Nodes, fields: dict[str, Any]) -> str:
    height, width = (size or f"{fields['name']}_{axis}" for size, axis in zip(fields["size"], "hw", strict=True))
    tensor = nodes.program.tensors[fields["y"]]
    nodes.inputs[fields["name"]] = ["n", tensor["channels"], height, width]
    value = fields["name"]
    if (mean := fields.get("mean")) is not None:
        value = nodes.add("Sub", value, nodes.per_channel(mean))
        value = nodes.add("Div", value, nodes.per_channel(fields["deviation"]))
    return nodes.store(fields["y"], value)


def _output(nodes: Nodes, fields: dict[str, Any]) -> str:
    value, axes, name = nodes.values[fields["x"]], fields.get("axes"), fields["name"]
    if axes is None:
        nodes.outputs[name] = ["n", nodes.program.tensors[fields["x"]]["channels"], None, None]
        nodes.add("Identity", value, output=name)
        return ""
    if fields["channels_last"]:
        value = nodes.add("Transpose", value, perm=[0, 2, 3, 1])
    shape = [-1 if rows or columns else multiple // divisor for multiple, divisor, rows, columns in axes.tolist()]
    if shape.count(-1) > 1:
        return f"its result has {shape.count(-1)} axes that vary; allowed: 1, or a map"
    nodes.outputs[name] = ["n", *(None if extent < 0 else extent for extent in shape)]
    nodes.add("Reshape", value, nodes.constant([0, *shape], np.int64), output=name)
    return ""


def _convolution(nodes: Nodes, fields: dict[str, Any]) -> str:
    weight, bias = fields["weight"].transpose(0, 3, 1, 2), fields["bias"]
    tensor, channels = nodes.program.tensors[fields["x"]], weight.shape[1]
    if str(weight.dtype) not in ("int8", "float32"):
        return f"its weights are {weight.dtype}; allowed: int8 and float32"
    if str(weight.dtype) == "int8":
        scale = fields["scale"]
        steps = scale / np.float32(tensor["step"])
        kernel = nodes.add(
            "DequantizeLinear", nodes.constant(weight, np.int8), nodes.constant(steps),
            nodes.constant(np.zeros(len(steps)), np.int8), axis=0,
        )  # fmt: skip
        added = np.floor(bias.astype(np.float64) / scale + 0.5)
        if np.abs(added).max() > LARGEST_BIAS:
            return "its bias is beyond 32 bits in units of its sums"
        offset = nodes.add(
            "DequantizeLinear", nodes.constant(added, np.int32), nodes.constant(scale),
            nodes.constant(np.zeros(len(scale)), np.int32), axis=0,
        )  # fmt: skip
    else:
        kernel, offset = nodes.constant(weight), nodes.constant(bias)
    top, bottom, left, right = fields["padding"]
    value = nodes.add(
        "Conv", nodes.values[fields["x"]], kernel, offset, kernel_shape=list(weight.shape[2:]),
        strides=fields.get("stride", [1, 1]), dilations=fields.get("dilation", [1, 1]), pads=[top, left, bottom, right],
        group=tensor["channels"] // channels,
    )  # fmt: skip
    return nodes.finish(fields, value)


def _pool(nodes: Nodes, fields: dict[str, Any]) -> str:
    if fields["divisor"]:
        return f"its means divide by {fields['divisor']}; allowed: the number of pixels"
    rows, columns = fields["padding"]
    window = {
        "kernel_shape": fields["kernel"], "strides": fields["stride"], "pads": [rows, columns, rows, columns],
        "ceil_mode": int(fields["ceil"]),
    }  # fmt: skip
    if not fields["maximum"]:
        window["count_include_pad"] = int(fields["count_padding"])
    kind = "MaxPool" if fields["maximum"] else "AveragePool"
    return nodes.store(fields["y"], nodes.add(kind, nodes.values[fields["x"]], **window))


def _adaptive_pool(nodes: Nodes, fields: dict[str, Any]) -> str:
    if fields["size"] != [1, 1]:
        return f"its result has {fields['size']} pixels; allowed: 1 by 1"
    kind = "GlobalMaxPool" if fields["maximum"] else "GlobalAveragePool"
    return nodes.store(fields["y"], nodes.add(kind, nodes.values[fields["x"]]))


def _reduce(nodes: Nodes, fields: dict[str, Any]) -> str:
    axes = nodes.constant([1] if fields["channels"] else [2, 3], np.int64)
    value = nodes.add(REDUCTIONS[fields["kind"]], nodes.values[fields["x"]], axes)
    return nodes.finish(fields, _with_bias(nodes, fields, value))


def _eltwise(nodes: Nodes, fields: dict[str, Any]) -> str:
    value = nodes.values[fields["x"]]
    if (scale := fields.get("scale")) is not None:
        value = nodes.add("Mul", value, nodes.per_channel(scale))
    return nodes.finish(fields, _with_bias(nodes, fields, value))


def _binary(nodes: Nodes, fields: dict[str, Any]) -> str:
    value = nodes.add(BINARY[fields["kind"]], *(nodes.values[number] for number in fields["x"]))
    return nodes.finish(fields, _with_bias(nodes, fields, value))


def _with_bias(nodes: Nodes, fields: dict[str, Any], value: str) -> str:
    bias = fields.get("bias")
    return value if bias is None else nodes.add("Add", value, nodes.per_channel(bias))


def _softmax(nodes: Nodes, fields: dict[str, Any]) -> str:
    return nodes.store(fields["y"], nodes.add("Softmax", nodes.values[fields["x"]], axis=1))


def _pixel_shuffle(nodes: Nodes, fields: dict[str, Any]) -> str:
    value = nodes.add("DepthToSpace", nodes.values[fields["x"]], blocksize=fields["factor"], mode="CRD")
    return nodes.store(fields["y"], value)


def _gather(nodes: Nodes, fields: dict[str, Any]) -> str:
    """Concatenations of slices, crops, repeated pixels, and images with zeros around them."""
    moves = [
        (axis, *move) for axis, name in ((2, "rows"), (3, "cols"), (1, "channels")) for move in fields[name].tolist()
    ]
    if any(kind not in (ZEROS, REPEAT, SLICE, CROP) for _, _, kind, *_ in moves):
        return "it moves pixels otherwise than by concatenation, slices, crops, repetition and zeros"
    values = [nodes.values[number] for number in fields["x"]]
    for axis, number, kind, *how in moves:
        values[number] = _moved(nodes, values[number], axis, kind, how, fields["like"])
    if fields["axis"] == 0:
        values = _with_gaps(nodes, fields, values)
    value = values[0] if len(values) == 1 else nodes.add("Concat", *values, axis=1 + fields["axis"])
    return nodes.store(fields["y"], value)


def _moved(nodes: Nodes, value: str, axis: int, kind: int, how: list[int], like: int | None) -> str:
    if kind == ZEROS:
        return _zeros(nodes, value, axis, how[0], how[1])
    if kind == REPEAT:
        scales = nodes.constant([how[0] if axis == along else 1 for along in range(4)])
        return nodes.add(
            "Resize",
            value,
            "",
            scales,
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    if kind == CROP:
        assert like is not None
        begin, step = 0, 1
        end = nodes.add("Shape", nodes.values[like], start=axis, end=axis + 1)
    else:
        begin, step = how[0], how[2]
        end = nodes.constant([how[1]], np.int64)
    first, along, by = (nodes.constant([number], np.int64) for number in (begin, axis, step))
    return nodes.add("Slice", value, first, end, along, by)


def _with_gaps(nodes: Nodes, fields: dict[str, Any], values: list[str]) -> list[str]:
    """Put channels of zeros where no part lies."""
    firsts, widths = fields["first"].tolist(), _widths(nodes, fields)
    ends = [*firsts[1:], nodes.program.tensors[fields["y"]]["channels"]]
    befores = [firsts[0], *(0 for _ in firsts[1:])]
    return [
        _zeros(nodes, value, 1, before, end - first - width)
        for value, before, first, width, end in zip(values, befores, firsts, widths, ends, strict=True)
    ]


def _widths(nodes: Nodes, fields: dict[str, Any]) -> list[int]:
    """Return the channels of each part after its slices."""
    widths = [nodes.program.tensors[number]["channels"] for number in fields["x"]]
    for number, _, begin, end, step in fields["channels"].tolist():
        widths[number] = len(range(*slice(begin, end, step).indices(widths[number])))
    return widths


def _zeros(nodes: Nodes, value: str, axis: int, before: int, after: int) -> str:
    if before == after == 0:
        return value
    return nodes.add("Pad", value, nodes.constant([before, after], np.int64), "", nodes.constant([axis], np.int64))


WRITERS: dict[str, Callable[[Nodes, dict[str, Any]], str]] = {
    "input": _input,
    "output": _output,
    "direct": _convolution,
    "wrapping": _convolution,
    "residue": _convolution,
    "pool": _pool,
    "adaptive_pool": _adaptive_pool,
    "reduce": _reduce,
    "eltwise": _eltwise,
    "binary": _binary,
    "softmax": _softmax,
    "pixel_shuffle": _pixel_shuffle,
    "gather": _gather,
}
