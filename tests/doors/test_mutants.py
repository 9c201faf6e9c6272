"""Files that are wrong in one place or a few: another network, or one clear error; never another exception."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tilewise as tw

from .conftest import Net

NUMBERS = (-(2**63), -(2**31), -2, -1, 0, 1, 2, 3, 7, 255, 2**16, 2**31, 2**40, 2**62)
KINDS = (
    "Conv", "Relu", "Reshape", "Resize", "If", "QLinearConv", "DequantizeLinear", "Concat", "Split", "Loop", "Gather",
    "ConstantOfShape", "Transpose", "Slice", "Konv", "",
)  # fmt: skip


def original() -> Any:
    """Return a network of many kinds of operations: quantized ones, a branch, computed shapes."""
    n = Net(["n", 2, "h", "w"])
    scale, zero = n.constant(np.float32(0.05)), n.constant(np.uint8(90))
    x = n.add("DequantizeLinear", n.add("QuantizeLinear", "x", scale, zero), scale, zero)
    steps, zeros = n.constant(np.full(4, 0.01, np.float32)), n.constant(np.zeros(4, np.int8))
    weight = n.constant(n.random.integers(-128, 128, (4, 2, 3, 3)).astype(np.int8))
    x = n.add("Conv", x, n.add("DequantizeLinear", weight, steps, zeros, axis=0), pads=[1, 1, 1, 1])
    x = n.add("QuantizeLinear", x, scale, zero)
    weight = n.constant(n.random.integers(-9, 9, (4, 4, 1, 1)).astype(np.int8))
    y = n.add("QLinearConv", x, scale, zero, weight, steps, zeros, scale, zero)
    x = n.add("DequantizeLinear", x, scale, zero)
    y = n.add("Concat", n.add("DequantizeLinear", y, scale, zero), n.add("MaxPool", x, kernel_shape=[1, 1]), axis=1)
    y = n.add("Resize", y, "", n.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    parts = n.add("Split", y, n.ints(3, 5), outputs=2, axis=1)
    height = n.add("Gather", n.add("Shape", parts[1]), n.ints(2))
    y = n.add("Reshape", parts[1], n.add("Concat", n.ints(0, 5), height, n.ints(-1), axis=0))
    branches = [
        helper.make_graph(
            [helper.make_node(kind, [y], [kind])], kind, [], [helper.make_tensor_value_info(kind, 1, None)]
        )
        for kind in ("Relu", "Sigmoid")
    ]
    y = n.add("If", n.constant(np.array(1, bool)), then_branch=branches[0], else_branch=branches[1])
    y = n.add("Gemm", n.add("Flatten", n.add("ReduceMean", y, axes=[2, 3])), n.weight(5, 3), n.weight(3))
    return n.model(n.add("Softmax", n.add("Add", y, n.add("ConstantOfShape", n.ints(1, 3)))))


def attribute(model: Any, chance: random.Random) -> None:
    node = chance.choice(model.graph.node)
    found = chance.choice(node.attribute) if node.attribute else node.attribute.add(name="axis", type=2)
    if found.ints and chance.random() < 0.7:
        found.ints[chance.randrange(len(found.ints))] = chance.choice(NUMBERS)
    elif chance.random() < 0.3:
        found.type = chance.randrange(12)
    elif chance.random() < 0.3:
        del found.ints[:]
    else:
        found.i, found.f = chance.choice(NUMBERS), float(chance.choice(NUMBERS))
        found.s = chance.choice((b"", b"nearest", b"\xff"))


def values(model: Any, chance: random.Random) -> None:
    tensor = chance.choice(model.graph.initializer)
    data = bytearray(tensor.raw_data)
    for _ in range(chance.randint(1, 4) if data else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    tensor.raw_data = bytes(data)


def tensor_shape(model: Any, chance: random.Random) -> None:
    dims = chance.choice(model.graph.initializer).dims
    if dims and chance.random() < 0.8:
        dims[chance.randrange(len(dims))] = chance.choice(NUMBERS)
    else:
        dims.append(chance.choice(NUMBERS))


def tensor_kind(model: Any, chance: random.Random) -> None:
    tensor = chance.choice(model.graph.initializer)
    if chance.random() < 0.7:
        tensor.data_type = chance.randrange(30)
    else:
        tensor.data_location = TensorProto.EXTERNAL


def wires(model: Any, chance: random.Random) -> None:
    node = chance.choice(model.graph.node)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)]
    if node.input and chance.random() < 0.6:
        node.input[chance.randrange(len(node.input))] = chance.choice([*names, "", "x", "nothing"])
    elif node.input and chance.random() < 0.4:
        node.input.pop()
    else:
        chance.choice((node.input, node.output)).append(chance.choice(names))


def image_shape(model: Any, chance: random.Random) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[chance.randrange(4)].dim_value = chance.choice(NUMBERS)


def operation(model: Any, chance: random.Random) -> None:
    node = chance.choice(model.graph.node)
    if chance.random() < 0.7:
        node.op_type = chance.choice(KINDS)
    else:
        model.graph.node.remove(node)


def version(model: Any, chance: random.Random) -> None:
    model.opset_import[0].version = chance.choice(NUMBERS) % 2**31 if chance.random() < 0.5 else chance.randint(5, 30)


CHANGES = (
    attribute,
    attribute,
    values,
    values,
    tensor_shape,
    tensor_kind,
    wires,
    wires,
    image_shape,
    operation,
    version,
)


def read(seed: int, folder: Path) -> None:
    """Read a mutant: a network, or an error that begins with the file or names what is wrong, and is no book."""
    chance, model = random.Random(seed), original()
    for _ in range(chance.randint(1, 3)):
        chance.choice(CHANGES)(model, chance)
    path, error = folder / "mutant.onnx", ""
    path.write_bytes(model.SerializeToString())
    try:
        tw.from_onnx(path)
    except ValueError as found:
        error = str(found)
    assert len(error) < 3000, seed
    assert not error or error.startswith((str(path), "tensor ", "attribute ")), seed


def test_the_original_is_read(tmp_path: Path) -> None:
    onnx.save(original(), tmp_path / "net.onnx")
    assert sum(type(m).__module__.startswith("tilewise") for m in tw.from_onnx(tmp_path / "net.onnx").modules()) >= 4


def test_mutants(tmp_path: Path) -> None:
    for seed in range(200):
        read(seed, tmp_path)


@pytest.mark.long(reason="fifty times as many")
def test_many_mutants(tmp_path: Path) -> None:
    for seed in range(200, 10_000):
        read(seed, tmp_path)
