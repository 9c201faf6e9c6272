"""Bring an ONNX file: read it, quantize it with a few images, compile it, and compare with the float network."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import tilewise as tw
from tilewise.zoo.small import SmallCNN


def write_onnx(net: SmallCNN, path: Path) -> None:
    """Stand for the tool that your file comes from: write a small trained network."""
    nodes: list[Any] = []
    weights: list[Any] = []
    x = "image"

    def add(kind: str, x: str, tensors: list[Any], **attributes: Any) -> str:
        names = [f"{kind}_{len(nodes)}_{i}" for i in range(len(tensors))]
        weights.extend(numpy_helper.from_array(t.detach().numpy(), n) for t, n in zip(tensors, names, strict=True))
        nodes.append(helper.make_node(kind, [x, *names], [f"t{len(nodes)}"], name=f"{kind}_{len(nodes)}", **attributes))
        return f"t{len(nodes) - 1}"

    for i, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        x = add("Conv", x, [conv.weight], pads=[1, 1, 1, 1])
        x = add("BatchNormalization", x, [norm.weight, norm.bias, norm.running_mean, norm.running_var])
        x = add("Relu", x, [])
        x = add("MaxPool", x, [], kernel_shape=[2, 2], strides=[2, 2]) if i in (1, 3) else x
    x = add("Flatten", add("GlobalAveragePool", x, []), [])
    x = add("Gemm", x, [net.classifier.weight, net.classifier.bias], transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 32, 32])
    graph = helper.make_graph(nodes, "digits", [image], [helper.make_empty_tensor_value_info(x)], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


torch.manual_seed(0)
train, test = (tw.data.load("digits", split) for split in ("train", "test"))
batches, scored = tw.data.Batches(train, 64, shuffle=True, augment=True), tw.data.Batches(test, 250)
net = tw.fit(tw.zoo.small_cnn(), batches, scored, tw.TrainConfig(epochs=4, lr=3e-3))

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "digits.onnx"
    write_onnx(net.eval(), file)
    model = tw.from_onnx(file)  # a torch module: layers have the names of the file's operations
quantized = tw.calibrate(tw.convert(model, {"*": tw.Direct(bits=8)}, skips="quantized"), batches, limit=8)
for layer in tw.describe(quantized):
    print(f"{layer.name:8} {layer.shape:15} {layer.algorithm}, {layer.bits} bits")
engine = tw.compile(quantized, torch.zeros(1, 1, 32, 32))

for name, runs in (("trained", net), ("ONNX", model), ("compiled", engine)):
    with torch.no_grad():
        right = sum(int((runs(x).argmax(1) == y).sum()) for x, y in scored)
    print(f"accuracy {name:9} {100 * right / len(test):.2f} %")
