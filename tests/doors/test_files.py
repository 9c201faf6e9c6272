"""Files that strangers wrote: one clear error each; and what a module of a good file can do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from torch import nn

import tilewise as tw

from .conftest import Net, answers, runtime

IMAGE = ["n", 3, "h", "w"]


def small(n: Net) -> str:
    """Two convolutions, a residual, a head."""
    x = n.add("Relu", n.add("Conv", "x", n.weight(8, 3, 3, 3), n.weight(8), pads=[1, 1, 1, 1], strides=[2, 2]))
    y = n.add("Conv", x, n.weight(8, 8, 3, 3), pads=[1, 1, 1, 1])
    norm = n.add("BatchNormalization", y, n.weight(8), n.weight(8), n.weight(8), n.weight(8, low=0.5))
    pooled = n.add("GlobalAveragePool", n.add("Relu", n.add("Add", norm, x)))
    return str(n.add("Gemm", n.add("Flatten", pooled), n.weight(5, 8), n.weight(5), transB=1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    net = Net(IMAGE)
    return net.save(tmp_path / "net.onnx", small(net))


def test_a_file_is_a_module_that_converts_trains_and_compiles(path: Path) -> None:
    model = tw.from_onnx(path)
    x = torch.randn(4, 3, 16, 12)
    (want,) = runtime(path, x.numpy())
    np.testing.assert_allclose(answers(model, x.numpy())[0], want, rtol=1e-4, atol=1e-5)
    assert {name: type(m) for name, m in model.named_children()} == {
        "Conv_0": nn.Conv2d, "Relu_1": nn.ReLU, "Conv_2": nn.Conv2d, "BatchNormalization_3": nn.BatchNorm2d,
        "Relu_5": nn.ReLU, "GlobalAveragePool_6": nn.AdaptiveAvgPool2d, "Gemm_8": nn.Linear,
    }  # fmt: skip
    quantized = tw.calibrate(tw.convert(model, {"*": tw.Direct()}, skips="quantized"), [x])
    assert [layer.name for layer in tw.describe(quantized)] == ["Conv_0", "Conv_2"]
    engine = tw.compile(quantized, x)
    for other in (x, torch.randn(1, 3, 20, 24)):
        with torch.no_grad():
            torch.testing.assert_close(engine(other), quantized(other), rtol=0, atol=1e-5)
    quantized.train()(x).square().sum().backward()
    assert all(p.grad is not None for p in quantized.parameters())


def test_several_results_have_their_names(tmp_path: Path) -> None:
    net = Net([1, 2, 4, 4], [1, 2, 4, 4])
    names = [net.add("Add", "x", "y"), net.add("Mul", "x", "y")]
    model = tw.from_onnx(net.save(tmp_path / "net.onnx", *names))
    x, y = torch.randn(2, 1, 2, 4, 4).unbind(0)
    found = model(x, y)
    assert list(found) == names
    assert torch.equal(found[names[1]], x * y)


def test_constants_as_attributes_and_functions(tmp_path: Path) -> None:
    net = Net([1, 2, 4, 4])
    shift = net.add("Constant", value_float=0.5)
    half = helper.make_function(
        "own", "Shift", ["a", "b"], ["c"], [helper.make_node("Add", ["a", "b"], ["c"])], [helper.make_opsetid("", 17)]
    )
    net.nodes.append(helper.make_node("Shift", ["x", shift], ["shifted"], domain="own"))
    model = net.model("shifted")
    model.functions.append(half)
    model.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(model, tmp_path / "net.onnx")
    x = torch.randn(1, 2, 4, 4)
    assert torch.equal(tw.from_onnx(tmp_path / "net.onnx")(x), x + 0.5)


def test_external_data_lies_in_the_folder(path: Path) -> None:
    want = answers(tw.from_onnx(path), np.ones((1, 3, 8, 8), np.float32))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert np.array_equal(answers(tw.from_onnx(path), np.ones((1, 3, 8, 8), np.float32))[0], want[0])
    (path.parent / "weights.bin").write_bytes(b"short")
    with pytest.raises(ValueError, match=r"tensor 'w0' has its data at bytes 0 to 864 of 'weights\.bin', which has 5"):
        tw.from_onnx(path)


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link", "", "sub/../../secret"])
def test_external_data_elsewhere_is_not_read(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(1000))
    (folder / "link").symlink_to(tmp_path / "secret")
    net = Net(IMAGE)
    model = net.model(net.add("Conv", "x", net.weight(1, 3, 3, 3)))
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location or "x")
    if not location:
        del tensor.external_data[:]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    onnx.save(model, folder / "net.onnx")
    with pytest.raises(ValueError, match=r"tensor 'w0' has its data in '.*'; allowed: a file in the folder"):
        tw.from_onnx(folder / "net.onnx")


def newer(model: Any) -> None:
    model.opset_import[0].version = 99


def unknown(model: Any) -> None:
    model.graph.node[0].op_type = "Konv"
    model.graph.node[1].domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def huge_weight(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 2**50


def wrong_weight(model: Any) -> None:
    model.graph.initializer[0].dims[0] = 9


def negative_weight(model: Any) -> None:
    model.graph.initializer[0].dims[0] = -8


def huge_image(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**60


def no_shape(model: Any) -> None:
    model.graph.input[0].type.tensor_type.ClearField("shape")


def no_input(model: Any) -> None:
    del model.graph.input[:]


def dangling(model: Any) -> None:
    model.graph.node[2].input[0] = "nothing"


def twice(model: Any) -> None:
    model.graph.node[2].output[0] = model.graph.node[0].output[0]


def no_result(model: Any) -> None:
    model.graph.output[0].name = "nothing"


def other_channels(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5


def bad_type(model: Any) -> None:
    model.graph.initializer[0].data_type = 77


def huge_constant(model: Any) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [2**40, 2**20])
    model.graph.initializer.append(shape)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["huge"], name="fill"))


BAD: dict[Callable[[Any], None], str] = {
    newer: r"net\.onnx is of operator set 99; allowed: 7 to 28",
    unknown: r"these operators are not read: Konv \(1\), com\.microsoft\.Relu \(1\); read are ",
    huge_weight: r"tensor 'w0' has the shape \(1125899906842624, 3, 3, 3\); allowed: 536870912 numbers at most",
    wrong_weight: "tensor 'w0' is damaged: ",
    negative_weight: r"tensor 'w0' has the shape \(-8, ",
    huge_image: r"input 'x' has the shape .*; allowed: 536870912 numbers at most",
    no_shape: "input 'x' has no shape",
    no_input: r"net\.onnx has no input|is damaged: .* reads 'x', which nothing before it gives",
    dangling: r"net\.onnx is damaged: '/Conv\.2' reads 'nothing', which nothing before it gives",
    twice: r"net\.onnx is damaged: 'Conv0_0' is given twice",
    no_result: r"net\.onnx is damaged: nothing gives the result 'nothing'",
    other_channels: r"Conv '/Conv\.0' can not be read: ",
    bad_type: "tensor 'w0' is of the unknown type 77",
    huge_constant: r"ConstantOfShape 'fill' gives 1152921504606846976 numbers; allowed: 536870912",
}


@pytest.mark.parametrize("change", BAD, ids=lambda change: change.__name__)
def test_bad_files_get_one_clear_error(change: Callable[[Any], None], path: Path) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=BAD[change]):
        tw.from_onnx(path)


def branching(n: Net, condition: str) -> str:
    """Take a root, or an operation that nobody knows."""
    ends = [helper.make_tensor_value_info("end", TensorProto.FLOAT, None)]
    first, second = (
        helper.make_graph([helper.make_node(kind, ["x"], ["end"])], kind, [], ends) for kind in ("Relu", "Konv")
    )
    return str(n.add("If", condition, then_branch=first, else_branch=second))


def test_a_branch_that_sizes_decide_is_taken(tmp_path: Path) -> None:
    net = Net([1, 3, 4, 4])
    channels = net.add("Gather", net.add("Shape", "x"), net.constant(np.int64(1)))
    end = branching(net, net.add("Equal", channels, net.constant(np.int64(3))))
    x = torch.randn(1, 3, 4, 4)
    assert torch.equal(tw.from_onnx(net.save(tmp_path / "net.onnx", end))(x), x.relu())
    other = Net([1, 3, 4, 4])
    end = branching(other, other.constant(np.array(0, bool)))
    with pytest.raises(ValueError, match=r"If '/If\.0' has a branch with operators that are not read: Konv \(1\)"):
        tw.from_onnx(other.save(tmp_path / "net.onnx", end))
    other = Net([1, 3, 4, 4])
    end = branching(other, other.add("Greater", other.add("ReduceMax", "x", keepdims=0), other.constant(np.float32(0))))
    with pytest.raises(ValueError, match=r"If '/If\.2' depends on what the network computes; allowed: on constants"):
        tw.from_onnx(other.save(tmp_path / "net.onnx", end))


def test_no_onnx_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no ONNX file at "):
        tw.from_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ValueError, match=r"text\.onnx is no ONNX file, or a damaged one"):
        tw.from_onnx(tmp_path / "text.onnx")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_an_error_or_another_network(data: st.DataObject, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = path.with_name("damaged.onnx")
    damaged.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with contextlib.suppress(ValueError):
        assert isinstance(tw.from_onnx(damaged), nn.Module)


def test_without_onnx_the_error_says_what_to_install(path: Path) -> None:
    code = "import sys; sys.modules['onnx'] = None; import tilewise as tw; tw.from_onnx(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "ImportError: reading ONNX files needs the onnx package: pip install 'tilewise[onnx]'" in done.stderr


def test_a_network_of_one_height_that_its_file_does_not_name(tmp_path: Path) -> None:
    net = Net(["n", 3, "h", "w"])
    rows = net.add("Reshape", "x", net.ints(0, 144, -1))
    model = tw.from_onnx(net.save(tmp_path / "net.onnx", net.add("Neg", rows)))
    assert model(torch.zeros(2, 3, 48, 20)).shape == (2, 144, 20)
