"""Serve within ONNX Runtime: an ONNX pipeline from pixels to classes, its convolutions as Tilewise programs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

import tilewise as tw


def write_pipeline(net: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
    """Stand for the pipeline that you have: pixels as bytes, a trained network, the best class."""
    tw.to_onnx(net, example, path)
    model = onnx.load(path)
    graph, (image,), (logits,) = model.graph, model.graph.input, model.graph.output
    graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT))
    graph.node.insert(1, helper.make_node("Sub", ["floats", "mean"], ["moved"]))
    graph.node.insert(2, helper.make_node("Div", ["moved", "deviation"], [image.name]))
    graph.node.append(helper.make_node("ArgMax", [logits.name], ["best"], axis=1, keepdims=0))
    for name, (value,) in (("mean", train.mean), ("deviation", train.std)):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(255 * value, np.float32), name))
    image.CopyFrom(helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 1, 32, 32]))
    logits.CopyFrom(helper.make_tensor_value_info("best", TensorProto.INT64, ["n"]))
    onnx.save(model, path)


def session(path: Path) -> Any:
    """Open a file with ONNX Runtime, as any program does; one call tells it of Tilewise."""
    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(tw.onnx_runtime_library())
    return onnxruntime.InferenceSession(str(path), options)


torch.manual_seed(0)
train, test = (tw.data.load("digits", split) for split in ("train", "test"))
batches, scored = tw.data.Batches(train, 64, shuffle=True, augment=True), tw.data.Batches(test, 250)
net = tw.fit(tw.zoo.small_cnn(), batches, scored, tw.TrainConfig(epochs=4, lr=3e-3)).eval()
with tempfile.TemporaryDirectory() as folder:
    pipeline, fast = Path(folder) / "pipeline.onnx", Path(folder) / "fast.onnx"
    example = next(iter(batches))[0]
    write_pipeline(net, example, pipeline)
    part = tw.from_onnx(pipeline, inputs=["x"], outputs=["output"])
    model = tw.calibrate(tw.convert(part, {"*": tw.Winograd("F4")}), batches, limit=8)
    tw.accelerate_onnx(model, example, pipeline, fast)
    for file in (pipeline, fast):
        print(f"{file.name}: {', '.join(node.op_type for node in onnx.load(file).graph.node)}")
    sessions = {path.name: session(path) for path in (pipeline, fast)}
for name, run in sessions.items():
    (best,) = run.run(None, {"pixels": test.images.numpy()})
    print(f"accuracy {name:14} {100 * np.mean(best == test.labels.numpy()):.2f} %")
