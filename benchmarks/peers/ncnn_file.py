"""A `net.Net` as ncnn's two files: layers as lines of text, weights as bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from peers.net import INPUT, Node, Sample, quantize_weight

_MAGIC = 7767517
_INT8 = 0x000D4B38  # marks 8-bit weights
_FLOAT = 0


class _Writer:
    def __init__(self, sample: Sample, *, quantized: bool) -> None:
        self.sample, self.net, self.quantized = sample, sample.net, quantized
        self.lines: list[str] = []
        self.blobs = 0
        self.data = bytearray()
        # ncnn wants a Split where several layers read a blob; each reader gets a name of its own.
        self.names: dict[str, list[str]] = {}

    def layer(self, kind: str, name: str, inputs: list[str], outputs: list[str], parameters: str = "") -> None:
        blobs = " ".join([*inputs, *outputs])
        self.lines.append(f"{kind} {name} {len(inputs)} {len(outputs)} {blobs} {parameters}".rstrip())
        self.blobs += len(outputs)

    def share(self, tensor: str) -> None:
        readers = len(self.net.readers(tensor))
        self.names[tensor] = [f"{tensor}_reader{i}" for i in range(readers)] if readers > 1 else [tensor]
        if readers > 1:
            self.layer("Split", f"{tensor}_split", [tensor], self.names[tensor])

    def weights(self, node: Node) -> str:
        """Append a layer's numbers; give the parameter that says their kind."""
        weight, bias = node.parameters
        if not self.quantized:
            self.data += np.uint32(_FLOAT).tobytes() + weight.tobytes() + bias.tobytes()
            return ""
        q, steps = quantize_weight(weight)
        raw = q.tobytes()
        self.data += np.uint32(_INT8).tobytes() + raw + bytes(-len(raw) % 4) + bias.tobytes()
        self.data += (1 / steps).astype(np.float32).tobytes()
        self.data += np.float32(1 / self.sample.symmetric(node.inputs[0])).tobytes()
        if not self.stays_bytes(node):
            return " 8=2"
        self.data += np.float32(1 / self.sample.symmetric(node.name)).tobytes()
        return " 8=102"

    def stays_bytes(self, node: Node) -> bool:
        """Whether a convolution can hand on bytes: to convolutions only, or as the result of a layer."""
        readers = self.net.readers(node.name)
        return node.op == "conv" and (self.net.is_layer or all(reader.op == "conv" for reader in readers))

    def operation(self, node: Node) -> None:
        inputs = [self.names[name].pop(0) for name in node.inputs]
        name = node.name
        if node.op in ("conv", "linear"):
            weight, relu = node.parameters[0], " 9=1" if node.relu else ""
            kind, geometry = "InnerProduct", f"1=1 2={weight.size}"
            if node.op == "conv":
                kind = "Convolution"
                geometry = f"1={node.kernel} 3={node.stride} 4={node.padding} 5=1 6={weight.size}"
            self.layer(kind, name, inputs, [name], f"0={len(weight)} {geometry}{self.weights(node)}{relu}")
        elif node.op == "add":
            plain = f"{name}_plain" if node.relu else name
            self.layer("BinaryOp", f"{name}_add", inputs, [plain], "0=0")
            if node.relu:
                self.layer("ReLU", name, [plain], [name])
        elif node.op == "max_pool":
            parameters = f"0=0 1={node.kernel} 2={node.stride} 3={node.padding} 5=1"
            self.layer("Pooling", name, inputs, [name], parameters)
        elif node.op == "mean":
            self.layer("Pooling", name, inputs, [name], "0=1 4=1")
        elif node.op == "flatten":
            self.layer("Flatten", name, inputs, [name])
        else:
            self.layer("Padding", name, inputs, [name], f"7={node.padding} 8={node.padding}")
        self.share(name)


def write_ncnn(sample: Sample, folder: Path, *, quantized: bool) -> tuple[Path, Path]:
    """Write parameters and weights; give both paths. A quantized layer takes and gives signed 8-bit blobs."""
    writer = _Writer(sample, quantized=quantized)
    writer.layer("Input", INPUT, [], [INPUT])
    writer.share(INPUT)
    for node in sample.net.nodes:
        writer.operation(node)
    lines = [str(_MAGIC), f"{len(writer.lines)} {writer.blobs}", *writer.lines]
    text, data = folder / "net.param", folder / "net.bin"
    text.write_text("\n".join(lines) + "\n")
    data.write_bytes(writer.data)
    return text, data
