"""Networks as ONNX files: the integers and grids of direct convolution, and what ONNX Runtime computes of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
SHAPE = (2, 3, 12, 16)


class Mixed(nn.Module):
    """What the writer knows: groups, strides, skip connections, activations, pools, moves, two results."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.grouped, self.down = nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.norm, self.slopes, self.last = nn.BatchNorm2d(16), nn.PReLU(16), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.norm(self.first(x)))
        x = F.relu6(x + self.second(x))
        y = self.slopes(self.grouped(F.max_pool2d(x, 2)))
        y = torch.cat([F.interpolate(y, scale_factor=2.0, mode="nearest")[:, :8], x * torch.sigmoid(x)[:, :1]], 1)
        z = F.silu(self.down(F.pad(y[:, 4:20, ::2], (1, 0, 0, 2))))
        flat = self.last(F.avg_pool2d(z, 2).mean((2, 3))).softmax(1)
        return {"map": F.pixel_shuffle(z, 2) * 2 + 1, "flat": flat}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(*SHAPE, generator=torch.Generator().manual_seed(0))


def calibrated(net: nn.Module, spec: Any, images: Tensor, **options: Any) -> nn.Module:
    return tw.calibrate(tw.convert(net.eval(), {"*": spec}, **options), [images])


def runtime(path: Path, x: Tensor, *, optimized: bool) -> dict[str, Any]:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {session.get_inputs()[0].name: x.numpy()}), strict=True))


def near(found: Any, expected: Any) -> None:
    """But for values that lie at a tie, which go one step elsewhere (docs/contracts/numbers.md)."""
    found, expected = np.asarray(found), np.asarray(expected)
    error, largest = np.abs(found - expected), np.abs(expected).max()
    assert error.max() < 0.02 * largest
    assert error.mean() < 5e-4 * largest


@pytest.mark.parametrize("spec", [tw.Direct(), tw.Exact()], ids=["direct", "exact"])
@pytest.mark.parametrize("skips", ["float", "quantized"])
def test_what_onnx_runtime_gives(tmp_path: Path, images: Tensor, spec: Any, skips: Any) -> None:
    torch.manual_seed(0)
    model = calibrated(Mixed(), spec, images, skips=skips)
    path = tmp_path / "net.onnx"
    tw.to_onnx(model, images, path)
    engine = tw.compile(model, images)
    x = torch.randn(3, 3, 8, 20, generator=torch.Generator().manual_seed(1))  # of another number and size
    for optimized in (False, True):
        found, expected = runtime(path, x, optimized=optimized), engine(x)
        assert list(found) == ["map", "flat"]
        for name, y in found.items():
            near(y, expected[name])


def test_fast_layers_get_directs_numbers(tmp_path: Path, images: Tensor) -> None:
    """The file is that of the direct network with the same weights and ranges."""
    torch.manual_seed(0)
    fast = calibrated(tw.zoo.small_cnn(channels=3), tw.Winograd("F4"), images)
    direct = tw.convert(fast, {"*": tw.Direct()})
    assert direct.convs[1].input_range.state_dict() == fast.convs[1].input_range.state_dict()
    for name, model in (("fast", fast), ("direct", direct)):
        tw.to_onnx(model, images, tmp_path / name)
    assert (tmp_path / "fast").read_bytes() == (tmp_path / "direct").read_bytes()
    near(runtime(tmp_path / "fast", images, optimized=True)["output"], tw.compile(direct, images)(images))


def test_integers_are_those_of_the_network(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    model = calibrated(tw.zoo.small_cnn(channels=3), tw.Direct(), images)
    tw.to_onnx(model, images, tmp_path / "net.onnx")
    program = tw.compile(model, images).program
    graph = onnx.load(tmp_path / "net.onnx").graph
    found = [
        onnx.numpy_helper.to_array(entry) for entry in graph.initializer if entry.data_type == onnx.TensorProto.INT8
    ]
    expected = [
        program.fields(i)["weight"].transpose(0, 3, 1, 2)
        for i, operation in enumerate(program.operations)
        if operation["op"] == "direct" and str(program.fields(i)["weight"].dtype) == "int8"
    ]
    kernels = [array for array in found if array.ndim == 4]
    assert len(kernels) == len(expected) == 6
    assert all(np.array_equal(a, b) for a, b in zip(kernels, expected, strict=True))
    again = tw.compile(tw.from_onnx(tmp_path / "net.onnx"), images)  # our own door reads the same integers
    near(again(images), tw.compile(model, images)(images))


def test_normalization_and_float_networks(tmp_path: Path, images: Tensor) -> None:
    torch.manual_seed(0)
    net = tw.zoo.small_cnn(channels=3).eval()
    normalization = tw.Normalization(mean=(1.0, 2.0, 3.0), deviation=(0.5, 2.0, 1.0))
    tw.to_onnx(net, images, tmp_path / "net.onnx", normalization=normalization)
    engine = tw.compile(net, images, normalization=normalization)
    near(runtime(tmp_path / "net.onnx", images, optimized=False)["output"], engine(images))


def test_refusals(tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match=r"what 1 operations do:\n1.group_norm: ONNX has no counterpart of norm here"):
        tw.to_onnx(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)).eval(), images, path)
    wide = calibrated(nn.Conv2d(3, 8, 3), tw.Direct(bits=12), images)
    with pytest.raises(ValueError, match="its result is int16; allowed: float32 and 8 bits"):
        tw.to_onnx(wide, images, path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx needs onnx: pip install 'tilewise\[onnx\]'"):
        tw.to_onnx(nn.Conv2d(3, 8, 3), images, path)
    assert not path.exists()
