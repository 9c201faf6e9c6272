"""Networks that ONNX Runtime has quantized: the same integers, accumulators too; and what the engine makes of them."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import tilewise as tw
from tilewise import _native
from tilewise.engine.compiler import Simulation
from tilewise.nn import Linear, Quantize, QuantizedConv
from tilewise.quant.fake import FixedRange

from .conftest import Array, Net, answers, runtime

ort = pytest.importorskip("onnxruntime")
KERNEL_SETS = [str(s["name"]) for s in _native.kernel_sets() if s["supported"]]
FORMATS, ACTIVATIONS = ("QDQ", "QOperator"), ("QUInt8", "QInt8")


def network(n: Net) -> str:
    """Residual, pool, groups, activations, concatenation, a head with several thousand results."""

    def conv(x: str, k: int, c: int, size: int, **kwargs: Any) -> str:
        weight = n.random.standard_normal((k, c, size, size)) / np.sqrt(c * size**2)
        bias = n.constant((n.random.standard_normal(k) * 0.2).astype(np.float32))
        name = n.constant(weight.astype(np.float32))
        return str(n.add("Conv", x, name, bias, pads=[size // 2] * 4, **kwargs))

    x = n.add("Relu", conv("x", 16, 3, 3, strides=[2, 2]))
    y = conv(n.add("Relu", conv(x, 16, 16, 3)), 16, 16, 3)
    x = n.add("MaxPool", n.add("Relu", n.add("Add", x, y)), kernel_shape=[2, 2], strides=[2, 2])
    y = n.add("Sigmoid", conv(x, 16, 1, 3, group=16))
    x = n.add("LeakyRelu", conv(n.add("Concat", x, y, axis=1), 24, 32, 1), alpha=0.1)
    x = n.add("Flatten", n.add("Relu", conv(x, 8, 24, 3)))
    return str(n.add("Gemm", x, n.weight(300, 8 * 5 * 4), n.weight(300), transB=1))


@pytest.fixture(scope="module")
def images() -> list[Array]:
    random = np.random.default_rng(1)
    return [random.standard_normal((1, 3, 20, 16)).astype(np.float32) for _ in range(64)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = Net([1, 3, 20, 16])
    return net.save(tmp_path_factory.mktemp("onnx") / "net.onnx", network(net))


def quantized_by_runtime(path: Path, images: list[Array], to: Path, **options: Any) -> Path:
    """Quantize a file with ONNX Runtime's own tool."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    logging.disable()
    given: Iterator[dict[str, Array]] = iter({"x": x} for x in images[:16])

    class Images(quantization.CalibrationDataReader):  # type: ignore[name-defined, misc]
        def get_next(self) -> dict[str, Array] | None:
            return next(given, None)

    for name, kind in (("quant_format", "QuantFormat"), ("activation_type", "QuantType"), ("weight_type", "QuantType")):
        if name in options:
            options[name] = getattr(getattr(quantization, kind), options[name])
    quantization.quantize_static(str(path), str(to), Images(), **options)
    logging.disable(logging.NOTSET)
    return to


def last_step(model: torch.nn.Module) -> float:
    return float([m for m in model.modules() if isinstance(m, Quantize)][-1].range.grid()[0])


def giving_all_integers(path: Path, kind: int) -> Path:
    """Let a quantized network give the integers of all its maps too."""
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" or node.op_type.startswith("QLinear"):
            model.graph.output.append(helper.make_tensor_value_info(node.output[0], kind, None))
    onnx.save(model, path.with_name("all.onnx"))
    return path.with_name("all.onnx")


@pytest.mark.parametrize(
    ("kind", "activation", "per_channel"), [*itertools.product(FORMATS, ACTIVATIONS, (False, True))]
)
def test_integers_are_those_of_onnx_runtime(
    kind: str, activation: str, per_channel: bool, plain: Path, images: list[Array], tmp_path: Path
) -> None:
    """All but where the last bit of a float decides: one of 10,000, and by one; layers that follow may carry it on."""
    path = quantized_by_runtime(
        plain, images, tmp_path / "q.onnx", quant_format=kind, activation_type=activation, weight_type="QInt8",
        per_channel=per_channel,
    )  # fmt: skip
    model = tw.from_onnx(giving_all_integers(path, getattr(TensorProto, activation[1:].upper())))
    assert sum(isinstance(m, QuantizedConv) for m in model.modules()) == 7
    maps = answers(model, np.concatenate(images))[1:]
    assert len(maps) >= 11
    first: list[Array] = []
    for i, image in enumerate(images):
        want = runtime(tmp_path / "all.onnx", image, optimized=True)[1:]
        steps = [np.abs(ours[i].astype(int) - theirs[0]) for ours, theirs in zip(maps, want, strict=True)]
        first += [found for found in steps if found.any()][:1]
    assert max(map(np.max, first), default=0) <= 1
    assert sum(map(np.count_nonzero, first)) <= 1e-4 * sum(map(np.size, maps))


@pytest.fixture(scope="module")
def path(plain: Path, images: list[Array]) -> Path:
    return quantized_by_runtime(
        plain, images, plain.with_name("qdq.onnx"), quant_format="QDQ", activation_type="QUInt8", weight_type="QInt8",
        per_channel=True,
    )  # fmt: skip


def sums_of_runtime(layer: QuantizedConv, x: Tensor, tmp_path: Path) -> Array:
    """Return what ConvInteger of ONNX Runtime adds up from a layer's bytes."""
    step, low, _ = layer.input_range.grid()
    weight, _ = layer.policy.weights(layer)
    zero = -int(low)
    feed = (torch.round(x / step) + zero).to(torch.uint8).numpy()
    arrays = {"w": weight.detach().numpy().astype(np.int8), "xz": np.uint8(zero), "wz": np.int8(0)}
    padding = [int(side) for side in layer.padding]
    node = helper.make_node(
        "ConvInteger", ["x", "w", "xz", "wz"], ["y"], pads=padding * 2, strides=list(layer.stride), group=layer.groups
    )
    graph = helper.make_graph(
        [node], "sums", [helper.make_tensor_value_info("x", TensorProto.UINT8, feed.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "s.onnx")
    return runtime(tmp_path / "s.onnx", feed)[0]


def test_accumulations_are_those_of_the_file(path: Path, images: list[Array], tmp_path: Path) -> None:
    model = tw.from_onnx(path)
    seen: dict[str, Tensor] = {}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, QuantizedConv)}
    stored = {
        i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer if i.data_type == TensorProto.INT8
    }
    weights = [w for name, w in stored.items() if name.endswith("_quantized")]
    for name, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[0]))
    answers(model, images[0])
    assert len(weights) == len(layers) == 7
    for layer in layers.values():
        integers = layer.policy.weights(layer)[0].detach().numpy()
        assert any(np.array_equal(integers, w.reshape(integers.shape)) for w in weights if w.size == integers.size)
    for name, layer in layers.items():
        x = seen[name].reshape(1, -1, 1, 1) if isinstance(layer, Linear) else seen[name]
        q, _ = layer.quantized("input_range", x)
        sums = layer._sums(q, layer.policy.weights(layer)[0]).detach().numpy()
        assert np.array_equal(sums, sums_of_runtime(layer, x, tmp_path))


def test_the_engine_computes_the_simulation_on_every_kernel_set(
    path: Path, images: list[Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = tw.from_onnx(path), torch.from_numpy(np.concatenate(images[:2]))
    want = Simulation(model, x)(x)
    exact = tw.convert(model, {"*": tw.Exact("F4")})
    kinds = [layer.algorithm for layer in tw.describe(exact)]
    assert kinds.count("lossless: F4 mod 2^32") == 3
    with torch.no_grad():
        assert torch.equal(exact(x), model(x))
    for kernel_set in KERNEL_SETS:
        monkeypatch.setenv("TILEWISE_ISA", kernel_set)
        assert torch.equal(tw.compile(model, x)(x), want), kernel_set
        assert torch.equal(tw.compile(exact, x)(x), want), kernel_set


def test_a_quantized_file_converts_calibrates_and_trains(path: Path, images: list[Array]) -> None:
    model, x = tw.from_onnx(path), torch.from_numpy(np.concatenate(images[:4]))
    grids = [m.grid() for m in model.modules() if isinstance(m, FixedRange)]
    fast = tw.calibrate(tw.convert(model, {"*": tw.Winograd("F2")}), [x])
    assert [layer.algorithm for layer in tw.describe(fast)].count("F2") == 3
    with torch.no_grad():
        want, found = model(x), fast(x)
        assert (found - want).square().mean() < 0.01 * want.square().mean()
        torch.testing.assert_close(tw.compile(fast, x)(x), Simulation(fast, x)(x), rtol=0, atol=0)
        back = tw.convert(fast, {"*": tw.Direct()})
        assert torch.equal(back(x), want)
        fewer = tw.calibrate(tw.convert(model, {"*": tw.Direct(bits=4)}), [x])
        assert not torch.equal(fewer(x), want)
        skips = tw.convert(model, {"*": tw.Direct()}, skips="quantized")
        assert torch.equal(skips(x), want)
        assert torch.equal(tw.convert(skips, {"*": tw.Direct()})(x), want)
        loaded = copy.deepcopy(model)
        loaded.load_state_dict(model.state_dict())
        assert torch.equal(loaded(x), want)
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in model.named_parameters() if "weight" in n)
    assert grids == [m.grid() for m in model.modules() if isinstance(m, FixedRange)]


def test_unsigned_weights(plain: Path, images: list[Array], tmp_path: Path) -> None:
    for kind in FORMATS:
        path = quantized_by_runtime(
            plain, images, tmp_path / f"{kind}.onnx", quant_format=kind, activation_type="QUInt8", weight_type="QUInt8"
        )
        model = tw.from_onnx(path)
        want = np.concatenate([runtime(path, image, optimized=True)[0] for image in images])
        steps = np.rint(np.abs(answers(model, np.concatenate(images))[0] - want) / last_step(model))
        assert steps.max() <= 1
        assert (steps > 0).mean() <= 1e-4


def test_a_mean_onto_its_own_scale_may_round_ties_otherwise(images: list[Array], tmp_path: Path) -> None:
    net = Net([1, 3, 20, 16])
    pooled = net.add("AveragePool", net.add("Conv", "x", net.weight(8, 3, 3, 3)), kernel_shape=[2, 2], strides=[2, 2])
    plain = net.save(tmp_path / "net.onnx", pooled)
    path = quantized_by_runtime(
        plain, images, tmp_path / "q.onnx", quant_format="QDQ", activation_type="QUInt8", weight_type="QInt8"
    )
    model = tw.from_onnx(path)
    means: list[Tensor] = []
    (pool,) = [m for m in model.modules() if isinstance(m, torch.nn.AvgPool2d)]
    pool.register_forward_hook(lambda *args: means.append(args[2]))
    (want,), (got,) = runtime(path, images[0], optimized=True), answers(model, images[0])
    steps = np.rint((got - want) / last_step(model))
    assert set(np.abs(steps).reshape(-1)) == {0, 1}
    fractions = (means[0] / last_step(model)).numpy() % 1
    assert np.abs(fractions[steps != 0] - 0.5).max() < 1e-4


def test_integers_whose_scale_each_batch_has_anew(tmp_path: Path) -> None:
    net = Net([1, 4, 9, 8])
    q, scale, zero = net.add("DynamicQuantizeLinear", "x", outputs=3)
    weight, offset = (
        net.constant(net.random.integers(0, 255, (6, 4, 3, 3)).astype(np.uint8)),
        net.constant(np.uint8(117)),
    )
    sums = net.add("ConvInteger", q, weight, zero, offset, pads=[1, 1, 1, 1])
    maps = net.add("Mul", net.add("Cast", sums, to=1), scale)
    q, scale, zero = net.add("DynamicQuantizeLinear", net.add("GlobalAveragePool", maps), outputs=3)
    matrix = net.constant(net.random.integers(-128, 127, (6, 5)).astype(np.int8))
    rows = net.add("MatMulInteger", net.add("Flatten", q), matrix, zero)
    path = net.save(tmp_path / "net.onnx", net.add("Mul", net.add("Cast", rows, to=1), scale), maps)
    x = np.random.default_rng(0).standard_normal((1, 4, 9, 8)).astype(np.float32)
    for want, got in zip(runtime(path, x), answers(tw.from_onnx(path), x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


def test_integers_go_in_and_out(tmp_path: Path) -> None:
    """Bytes as input and as result, moved between, and read by two with another scale."""
    net = Net([1, 4, 6, 6])
    weight = net.constant(net.random.integers(-128, 127, (4, 4, 1, 1)).astype(np.int8))
    scale, zero = net.constant(np.float32(0.05)), net.constant(np.uint8(90))
    other, zeros = net.constant(np.float32(0.001)), net.constant(np.int8(0))
    out, middle = net.constant(np.float32(0.21)), net.constant(np.uint8(131))
    y = net.add("QLinearConv", "x", scale, zero, weight, other, zeros, out, middle)
    moved = net.add("Transpose", net.add("MaxPool", y, kernel_shape=[2, 2]), perm=[0, 1, 3, 2])
    real = net.add("DequantizeLinear", moved, net.constant(np.float32(0.4)), net.constant(np.uint8(3)))
    model = net.model(moved, real)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, tmp_path / "net.onnx")
    x = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 6)).astype(np.uint8)
    for want, got in zip(
        runtime(tmp_path / "net.onnx", x), answers(tw.from_onnx(tmp_path / "net.onnx"), x), strict=True
    ):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(("scale", "message"), [(0.0, "scale 0.0"), (-1.0, "scale -1.0"), (np.nan, "scale nan")])
def test_a_scale_is_a_positive_number(scale: float, message: str, tmp_path: Path) -> None:
    net = Net([1, 4, 6, 6])
    y = net.add("QuantizeLinear", "x", net.constant(np.float32(scale)), net.constant(np.uint8(0)))
    y = net.add("DequantizeLinear", y, net.constant(np.float32(scale)), net.constant(np.uint8(0)))
    with pytest.raises(ValueError, match=f"QuantizeLinear '/QuantizeLinear.0' has the {message}; allowed: finite"):
        tw.from_onnx(net.save(tmp_path / "net.onnx", y))
