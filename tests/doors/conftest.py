"""Small ONNX networks, and what ONNX Runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - once it is known to be there

Array = NDArray[Any]


class Net:
    """An ONNX model under construction: every call appends an operation and returns the names of what it gives."""

    def __init__(self, *shapes: list[Any], opset: int = 17) -> None:
        self.opset, self.nodes, self.weights = opset, [], []
        self.shapes = shapes
        self.names = ["x", "y", "z"][: len(shapes)]
        self.random = np.random.default_rng(0)

    def weight(self, *shape: int, low: float = -1.0) -> str:
        """Add random weights."""
        return self.constant(self.random.uniform(low, 1, shape).astype(np.float32))

    def constant(self, values: Any) -> str:
        """Add weights."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def ints(self, *values: int) -> str:
        """Add whole numbers."""
        return self.constant(np.array(values, np.int64))

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append an operation."""
        given = [f"{kind}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), given, name=f"/{kind}.{len(self.nodes)}", **attributes))
        return given if outputs > 1 else given[0]

    def model(self, *results: str) -> Any:
        """Return the model."""
        values = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(self.names, self.shapes, strict=True)
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
        graph = helper.make_graph(self.nodes, "net", values, ends, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def save(self, path: Path, *results: str) -> Path:
        """Write the model."""
        onnx.save(self.model(*results), path)
        return path


def runtime(path: Path, *inputs: Array, optimized: bool = False) -> list[Array]:
    """Run a file with ONNX Runtime; optimized, it multiplies the integers of a quantized one."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = dict(zip((i.name for i in session.get_inputs()), inputs, strict=True))
    found: list[Array] = session.run(None, feeds)
    return found


def answers(model: nn.Module, *inputs: Array) -> list[Array]:
    """Run a module on arrays."""
    with torch.no_grad():
        found = model(*(torch.from_numpy(x) for x in inputs))
    values = list(found.values()) if isinstance(found, dict) else [found]
    return [value.numpy() for value in values]
