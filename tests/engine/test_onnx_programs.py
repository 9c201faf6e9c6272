"""Programs within ONNX files: what ONNX Runtime computes of them, and what it says where it can not."""

from __future__ import annotations

import ctypes
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import tilewise as tw
from tilewise.common.limits import usable_threads
from tilewise.conversion import skips_of

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - once it is known to be there

Array = NDArray[Any]


class Two(nn.Module):
    """Two inputs; a map and a flat result."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(1, 8, 1), nn.Linear(8, 5)

    def forward(self, image: Tensor, depth: Tensor) -> dict[str, Tensor]:
        y = F.relu(self.first(image) + self.second(depth))
        return {"map": F.max_pool2d(y, 2), "scores": self.head(y.mean((2, 3)))}


def images(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def session(path: Path, **entries: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    for name, value in entries.items():
        options.add_session_config_entry(f"tilewise.{name}", value)
    options.register_custom_ops_library(tw.onnx_runtime_library())
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[tw.Engine, Path]:
    """A network, and the file of one node that it is."""
    torch.manual_seed(0)
    example = {"image": torch.randn(2, 3, 8, 8), "depth": torch.randn(2, 1, 8, 8)}
    engine = tw.compile(Two().eval(), example)
    path = tmp_path_factory.mktemp("two") / "two.onnx"
    tw.to_onnx_runtime(engine, path)
    return engine, path


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels in, positions out: operations around a network, and one within, that are not the engine's."""
    random, weights, nodes = np.random.default_rng(0), [], []

    def weight(name: str, *shape: int) -> str:
        values = random.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]))
        weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(kind: str, inputs: list[str], output: str, **how: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **how))

    add("Cast", ["pixels"], "floats", to=TensorProto.FLOAT)
    add("Transpose", ["floats"], "image", perm=[0, 3, 1, 2])
    add("Conv", ["image", weight("w0", 8, 3, 3, 3)], "c0", pads=[1, 1, 1, 1])
    add("Relu", ["c0"], "r0")
    add("Conv", ["r0", weight("w1", 8, 8, 3, 3)], "c1", pads=[1, 1, 1, 1])
    add("Add", ["c1", "r0"], "sum")
    add("Sign", ["sum"], "sign")
    add("Conv", ["sign", weight("w2", 4, 8, 3, 3)], "c2", pads=[1, 1, 1, 1])
    add("Sigmoid", ["c2"], "scores")
    add("NonZero", ["scores"], "found")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "pipeline", [value("pixels", TensorProto.UINT8, ["n", "h", "w", 3])],
        [value("scores", TensorProto.FLOAT, ["n", 4, "h", "w"]), value("found", TensorProto.INT64, [4, None])], weights,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("pipeline") / "pipeline.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_whole_network_is_one_node(two: tuple[tw.Engine, Path]) -> None:
    engine, path = two
    run = session(path)
    assert [x.name for x in run.get_inputs()] == ["image", "depth"]
    assert [(y.name, len(y.shape)) for y in run.get_outputs()] == [("map", 4), ("scores", 2)]
    for n, h, w in ((1, 8, 8), (3, 9, 13)):
        given = {"image": images(n, 3, h, w), "depth": images(n, 1, h, w)}
        expected = engine(given)
        for y, found in zip(run.get_outputs(), run.run(None, given), strict=True):
            assert np.array_equal(found, expected[y.name])


def test_names_can_be_given(two: tuple[tw.Engine, Path], tmp_path: Path) -> None:
    tw.to_onnx_runtime(two[0], tmp_path / "net.onnx", inputs=["a", "b"], outputs=["c", "d"])
    run = session(tmp_path / "net.onnx")
    assert [x.name for x in (*run.get_inputs(), *run.get_outputs())] == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="inputs has 1 names; allowed: 2"):
        tw.to_onnx_runtime(two[0], tmp_path / "net.onnx", inputs=["a"])


@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_parts_of_a_pipeline(skips: Literal["float", "quantized"], pipeline: Path, tmp_path: Path) -> None:
    """The rest stays as it is; the parts have the numbers of the engines that tw.accelerate makes."""
    with pytest.raises(ValueError, match="not read: NonZero"):
        tw.from_onnx(pipeline)
    part = tw.from_onnx(pipeline, inputs=["image"], outputs=["scores"])
    example = torch.from_numpy(255 * np.abs(images(2, 3, 12, 12)))
    model = tw.calibrate(tw.convert(part, {"*": tw.Winograd("F2")}, skips=skips), [example])
    assert skips_of(model) == skips
    path = tmp_path / "fast.onnx"
    tw.accelerate_onnx(model, example, pipeline, path)
    graph = onnx.load(path).graph
    kinds = [node.op_type for node in graph.node]
    assert sorted(kinds) == ["Cast", "NonZero", "Program", "Program", "Sign", "Transpose"]
    assert not graph.initializer
    assert [x.name for x in (*graph.input, *graph.output)] == ["pixels", "scores", "found"]
    pixels = np.random.default_rng(0).integers(0, 256, (1, 10, 14, 3), np.uint8)
    scores, found = session(path).run(None, {"pixels": pixels})
    expected = tw.accelerate(model, example)(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)))
    assert np.array_equal(scores, expected.numpy())
    assert np.array_equal(found, np.nonzero(scores))
    float_scores, _ = session(pipeline).run(None, {"pixels": pixels})
    assert np.abs(scores - float_scores).mean() < 0.05


def test_a_part_that_would_wait_for_itself_stays(tmp_path: Path) -> None:
    """The file computes a size of c1's input from c0, of which torch knows the number."""
    weights = [numpy_helper.from_array(images(3, 3, 3, 3), "w")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c0"], pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["c0"], ["shape"]),
        helper.make_node("Resize", ["x", "", "", "shape"], ["same"], mode="nearest"),
        helper.make_node("Sign", ["same"], ["sign"]),
        helper.make_node("Conv", ["sign", "w"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c0", "c1"], ["sum"]),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "c0", "sum")]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "net.onnx"
    )
    x = images(1, 3, 8, 8)
    with pytest.raises(ValueError, match="the engine serves no part of the model that has a convolution"):
        tw.accelerate_onnx(tw.from_onnx(tmp_path / "net.onnx"), x, tmp_path / "net.onnx", tmp_path / "fast.onnx")


def test_damaged_programs_are_errors(two: tuple[tw.Engine, Path], tmp_path: Path) -> None:
    model = onnx.load(two[1])
    (attribute,) = model.graph.node[0].attribute
    attribute.s = attribute.s[:-1] + bytes([attribute.s[-1] ^ 1])
    onnx.save(model, tmp_path / "damaged.onnx")
    with pytest.raises(Exception, match=r"damaged|checksum|CRC"):
        session(tmp_path / "damaged.onnx")
    attribute.s = b""
    onnx.save(model, tmp_path / "empty.onnx")
    with pytest.raises(Exception, match="bytes"):
        session(tmp_path / "empty.onnx")


def test_images_that_do_not_fit_are_errors(two: tuple[tw.Engine, Path], tmp_path: Path) -> None:
    run = session(two[1])
    given = {"image": images(1, 3, 8, 8), "depth": images(1, 1, 9, 8)}
    with pytest.raises(Exception, match="the tensor that is added has 8x8 pixels, must have 9x8"):
        run.run(None, given)
    given["depth"] = images(1, 1, 8, 8)
    assert run.run(["map"], given)[0].shape == (1, 8, 4, 4)  # and it runs on
    model = onnx.load(two[1])
    del model.graph.input[0].type.tensor_type.shape.dim[0]
    onnx.save(model, tmp_path / "axes.onnx")
    with pytest.raises(Exception, match="input 0 has 3 axes, must have 4: images, channels, height, width"):
        session(tmp_path / "axes.onnx").run(None, {"image": images(3, 8, 8), "depth": given["depth"]})


def test_sessions_and_runs_at_once(two: tuple[tw.Engine, Path]) -> None:
    engine, path = two
    sessions = [session(path, threads="1"), session(path, threads=str(min(2, usable_threads())))]

    def run(number: int) -> bool:
        side = 8 + number % 5
        given = {"image": images(1, 3, side, 8), "depth": images(1, 1, side, 8)}
        found = sessions[number % 2].run(["scores"], given)[0]
        return bool(np.array_equal(found, expected[side]))

    expected = {
        side: engine({"image": images(1, 3, side, 8), "depth": images(1, 1, side, 8)})["scores"]
        for side in range(8, 13)
    }
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(200)))
    for wrong in ("0", "many", "2 "):
        with pytest.raises(Exception, match=f"tilewise.threads is {wrong}, must be a number from 1 on"):
            session(path, threads=wrong)


def test_an_older_runtime_is_told() -> None:
    """The table of functions begins with the one that makes a status, in every version."""
    said, text = list[bytes](), ctypes.create_string_buffer(b"1.15.1")
    make = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)(lambda _, given: said.append(given) or 1)
    table = (ctypes.c_void_p * 1)(ctypes.cast(make, ctypes.c_void_p).value)
    of = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(lambda n: ctypes.addressof(table) if n < 16 else None)
    version = ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.addressof(text))
    base = (ctypes.c_void_p * 2)(*(ctypes.cast(function, ctypes.c_void_p).value for function in (of, version)))
    register = ctypes.CDLL(tw.onnx_runtime_library()).RegisterCustomOps
    register.restype = ctypes.c_void_p
    assert register(None, ctypes.byref(base)) == 1
    assert said == [b"ONNX Runtime is 1.15.1, must be 1.16 or later"]


def test_refusals(pipeline: Path, two: tuple[tw.Engine, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example, path = torch.zeros(1, 3, 8, 8), tmp_path / "fast.onnx"
    model = tw.from_onnx(pipeline, inputs=["image"], outputs=["scores"])
    with pytest.raises(ValueError, match=r"allowed: what tilewise\.from_onnx gives"):
        tw.accelerate_onnx(nn.Conv2d(3, 8, 3), example, pipeline, path)
    with pytest.raises(ValueError, match=r"the model has a tensor 'c0', .*two.onnx has not"):
        tw.accelerate_onnx(model, example, two[1], path)
    for given, message in (
        ({"inputs": ["nothing"]}, "has no tensor 'nothing' of a known shape; allowed: pixels, "),
        ({"outputs": ["pixels"]}, "has no tensor 'pixels' that an operation gives; allowed: floats, image, c0"),
        ({"inputs": ["sum"], "outputs": ["c1"]}, "the part reads the input 'pixels' too; name it among the inputs"),
    ):
        with pytest.raises(ValueError, match=message):
            tw.from_onnx(pipeline, **given)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx_runtime needs onnx: pip install 'tilewise\[onnx\]'"):
        tw.to_onnx_runtime(two[0], path)
    assert not path.exists()
