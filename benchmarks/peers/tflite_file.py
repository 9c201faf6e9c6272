"""A `net.Net` as a TensorFlow Lite model: channels last, 8-bit tensors signed."""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.net import INPUT, Net, Node, Sample, quantize_bias, quantize_weight


class _Writer:
    def __init__(self, sample: Sample, *, quantized: bool) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.sample, self.net, self.quantized, self.schema = sample, sample.net, quantized, schema
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.name = [], [], "net"
        self.buffers = [schema.BufferT()]
        self.codes: dict[int, int] = {}
        self.code_list: list[Any] = []
        self.numbers: dict[str, int] = {}
        kinds = schema.TensorType
        self.kinds = {"float32": kinds.FLOAT32, "int8": kinds.INT8, "int32": kinds.INT32}
        self.shapes = {name: (len(sample.x), *_last(shape)) for name, shape in sample.net.shapes.items()}

    def tensor(self, name: str, shape: Any, dtype: str, data: Any = None, grid: Any = None) -> int:
        """Add a tensor, with numbers if it is constant; ``grid`` is steps and zero points, per channel of axis 0."""
        made = self.schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), self.kinds[dtype], 0
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if grid is not None:
            quantization = self.schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(grid[0], np.float32))
            quantization.zeroPoint = np.broadcast_to(np.int64(grid[1]), quantization.scale.shape).copy()
            made.quantization = quantization
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def values(self, name: str, shape: Any, like: str) -> int:
        """Add a tensor of activations on the grid of tensor ``like``."""
        if not self.quantized:
            return self.tensor(name, shape, "float32")
        step, zero = self.sample.unsigned(like)
        return self.tensor(name, shape, "int8", grid=(step, zero - 128))

    def add(
        self, code: str, inputs: list[int], output: int, options: str = "", version: int = 1, **fields: Any
    ) -> None:
        """Add an operation; a class of options has its fields set by name."""
        number = getattr(self.schema.BuiltinOperator, code)
        if number not in self.codes:
            made = self.schema.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode, made.version = number, min(number, 127), version
            self.codes[number] = len(self.code_list)
            self.code_list.append(made)
        operator = self.schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes[number], inputs, [output]
        if options:
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.schema, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)

    def parameters(self, node: Node) -> list[int]:
        weight, bias = node.parameters
        if node.op == "conv":
            weight = weight.transpose(0, 2, 3, 1)
        elif (before := _flattened(self.net, node)) is not None:  # pixels come before channels here
            c, height, width = self.net.shapes[before]
            weight = weight.reshape(-1, c, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        name = node.name
        if not self.quantized:
            pairs = ((f"{name}.weight", weight), (f"{name}.bias", bias))
            return [self.tensor(label, data.shape, "float32", data) for label, data in pairs]
        q, steps = quantize_weight(weight)
        b, bias_steps = quantize_bias(bias, steps, self.sample.unsigned(node.inputs[0])[0])
        return [
            self.tensor(f"{name}.weight", q.shape, "int8", q, (steps, 0)),
            self.tensor(f"{name}.bias", b.shape, "int32", b, (bias_steps, 0)),
        ]

    def padded(self, tensor: str, amounts: tuple[int, int, int], name: str) -> int:
        """Add zeros around height, width and channels."""
        shape = [self.shapes[tensor][0], *(s + 2 * p for s, p in zip(self.shapes[tensor][1:], amounts, strict=True))]
        output = self.values(name, shape, tensor)
        pairs = np.array([(0, 0), *((p, p) for p in amounts)], np.int32)
        constant = self.tensor(f"{name}.amounts", pairs.shape, "int32", pairs)
        self.add("PAD", [self.numbers[tensor], constant], output, "PadOptions", 2 if self.quantized else 1)
        return output

    def operation(self, node: Node) -> None:
        x, name, kinds = node.inputs[0], node.name, self.schema.ActivationFunctionType
        act = kinds.RELU if node.relu else kinds.NONE
        if node.op == "pad_channels":
            self.numbers[name] = self.padded(x, (0, 0, node.padding), name)
            return
        source = self.numbers[x]
        same = node.stride == 1 and 2 * node.padding == node.kernel - 1
        if node.op in ("conv", "max_pool") and node.padding and not same:  # after a ReLU zeros are the smallest
            source = self.padded(x, (node.padding, node.padding, 0), f"{name}.padded")
        padding = self.schema.Padding.SAME if same else self.schema.Padding.VALID
        y = self.numbers[name] = self.values(name, self.shapes[name], name)
        newer = self.quantized
        if node.op == "conv":
            self.add(
                "CONV_2D", [source, *self.parameters(node)], y, "Conv2DOptions", 3 if newer else 1, padding=padding,
                strideH=node.stride, strideW=node.stride, fusedActivationFunction=act, dilationHFactor=1,
                dilationWFactor=1,
            )  # fmt: skip
        elif node.op == "linear":
            inputs = [source, *self.parameters(node)]
            version = 4 if newer else 1
            self.add("FULLY_CONNECTED", inputs, y, "FullyConnectedOptions", version, fusedActivationFunction=act)
        elif node.op == "add":
            inputs = [source, self.numbers[node.inputs[1]]]
            self.add("ADD", inputs, y, "AddOptions", 2 if newer else 1, fusedActivationFunction=act)
        elif node.op == "max_pool":
            self.add(
                "MAX_POOL_2D", [source], y, "Pool2DOptions", 2 if newer else 1, padding=padding, strideH=node.stride,
                strideW=node.stride, filterHeight=node.kernel, filterWidth=node.kernel,
            )  # fmt: skip
        elif node.op == "mean":
            axes = self.tensor(f"{name}.axes", (2,), "int32", np.array([1, 2], np.int32))
            self.add("MEAN", [source, axes], y, "ReducerOptions", 2 if newer else 1, keepDims=False)
        else:
            shape = self.tensor(f"{name}.shape", (2,), "int32", np.array(self.shapes[name], np.int32))
            self.add("RESHAPE", [source, shape], y, "ReshapeOptions", newShape=list(self.shapes[name]))


def _last(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _flattened(net: Net, node: Node) -> str | None:
    """Name the map that a linear layer reads through a flattening, if it does."""
    for before in net.nodes:
        if before.name == node.inputs[0] and before.op == "flatten":
            return before.inputs[0]
    return None


def tflite_model(sample: Sample, *, quantized: bool) -> bytes:
    """Return the model as bytes; a quantized layer takes and gives signed 8-bit tensors, a network floats."""
    import flatbuffers

    writer, net = _Writer(sample, quantized=quantized), sample.net
    as_floats = quantized and not net.is_layer
    first = writer.values(INPUT, writer.shapes[INPUT], INPUT)
    writer.numbers[INPUT] = first
    if as_floats:
        first = writer.tensor("float_input", writer.shapes[INPUT], "float32")
        writer.add("QUANTIZE", [first], writer.numbers[INPUT], "QuantizeOptions")
    for node in net.nodes:
        writer.operation(node)
    last = writer.numbers[net.output]
    if as_floats:
        result = writer.tensor("float_output", writer.shapes[net.output], "float32")
        writer.add("DEQUANTIZE", [last], result, "DequantizeOptions", 2)
        last = result
    writer.graph.inputs, writer.graph.outputs = [first], [last]
    model = writer.schema.ModelT()
    model.version, model.subgraphs, model.description = 3, [writer.graph], "tilewise benchmark"
    model.buffers, model.operatorCodes = writer.buffers, writer.code_list
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
