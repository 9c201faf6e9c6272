"""A `net.Net` as an ONNX model, in float32 or with quantize and dequantize operations around 8-bit ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from peers.net import INPUT, Node, Sample, quantize_bias, quantize_weight


class _Writer:
    def __init__(self, sample: Sample, *, quantized: bool) -> None:
        self.sample, self.quantized = sample, quantized
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        # 8-bit layers take and give bytes, networks floats.
        self.bytes = quantized and sample.net.is_layer

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def grid(self, tensor: str, name: str) -> list[str]:
        step, zero = self.sample.unsigned(tensor)
        return [self.constant(f"{name}.step", np.float32(step)), self.constant(f"{name}.zero", np.uint8(zero))]

    def round_trip(self, tensor: str, name: str) -> str:
        """Quantize and dequantize ``name`` on the grid of ``tensor``."""
        grid = self.grid(tensor, name)
        self.add("QuantizeLinear", [name, *grid], f"{name}.q")
        return self.add("DequantizeLinear", [f"{name}.q", *grid], f"{name}.dq")

    def parameters(self, node: Node) -> list[str]:
        weight, bias = node.parameters
        name = node.name
        if not self.quantized:
            return [self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)]
        q, steps = quantize_weight(weight)
        b, bias_steps = quantize_bias(bias, steps, self.sample.unsigned(node.inputs[0])[0])
        for part, values, part_steps in (("weight", q, steps), ("bias", b, bias_steps)):
            inputs = [
                self.constant(f"{name}.{part}.q", values),
                self.constant(f"{name}.{part}.step", part_steps),
                self.constant(f"{name}.{part}.zero", np.zeros(len(part_steps), values.dtype)),
            ]
            self.add("DequantizeLinear", inputs, f"{name}.{part}", axis=0)
        return [f"{name}.weight", f"{name}.bias"]

    def operation(self, node: Node, inputs: list[str], output: str) -> None:
        window = {"kernel_shape": [node.kernel] * 2, "strides": [node.stride] * 2, "pads": [node.padding] * 4}
        if node.op == "conv":
            self.add("Conv", inputs + self.parameters(node), output, **window)
        elif node.op == "linear":
            self.add("Gemm", inputs + self.parameters(node), output, transB=1)
        elif node.op == "add":
            self.add("Add", inputs, output)
        elif node.op == "max_pool":
            self.add("MaxPool", inputs, output, **window)
        elif node.op == "flatten":
            self.add("Flatten", inputs, output, axis=1)
        elif node.op == "pad_channels":
            pads = self.constant(f"{node.name}.pads", np.array([0, node.padding, 0, 0] * 2, np.int64))
            self.add("Pad", [*inputs, pads], output)
        else:
            # Between pooling and flattening a round trip of its own, so that both can be done on bytes.
            pooled = self.add("GlobalAveragePool", inputs, f"{output}.pooled")
            if self.quantized:
                pooled = self.round_trip(node.name, pooled)
            self.add("Flatten", [pooled], output, axis=1)


def onnx_model(sample: Sample, *, quantized: bool) -> bytes:
    """Return the model as bytes; a quantized layer takes and gives unsigned 8-bit tensors."""
    from onnx import TensorProto, helper

    net, writer = sample.net, _Writer(sample, quantized=quantized)
    names = {INPUT: INPUT}
    if writer.bytes:
        writer.add("DequantizeLinear", [INPUT, *writer.grid(INPUT, INPUT)], f"{INPUT}.dq")
        names[INPUT] = f"{INPUT}.dq"
    elif quantized:
        names[INPUT] = writer.round_trip(INPUT, INPUT)
    for node in net.nodes:
        plain = f"{node.name}.plain" if node.relu else node.name
        writer.operation(node, [names[name] for name in node.inputs], plain)
        if node.relu:
            writer.add("Relu", [plain], node.name)
        names[node.name] = node.name
        if quantized and node.name != net.output:
            names[node.name] = writer.round_trip(node.name, node.name)
    result = net.output
    if writer.bytes:
        writer.add("QuantizeLinear", [result, *writer.grid(result, result)], f"{result}.q")
        result = f"{result}.q"
    kind = TensorProto.UINT8 if writer.bytes else TensorProto.FLOAT
    shape = [len(sample.x), *net.shapes[net.output]]
    graph = helper.make_graph(
        writer.nodes,
        "net",
        [helper.make_tensor_value_info(INPUT, kind, sample.x.shape)],
        [helper.make_tensor_value_info(result, kind, shape)],
        writer.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def dequantized(sample: Sample, y: Any) -> Any:
    """Turn a layer's unsigned output into numbers."""
    step, zero = sample.unsigned(sample.net.output)
    return (np.asarray(y, np.float32) - zero) * np.float32(step)
