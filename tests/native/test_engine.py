"""The native engine as Python sees it: results against torch, shapes, types, errors, threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from tilewise import _native
from tilewise.engine.program import Program, schema

torch = pytest.importorskip("torch")

SETS = [entry["name"] for entry in _native.kernel_sets() if entry["supported"]]
THREADS = min(2, len(os.sched_getaffinity(0)))
H, W, C, K = 9, 7, 3, 20
GRID = {"step": 0.25, "factor": 4.0, "low": -127, "high": 127}


def weights(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.integers(-127, 128, (K, 3, 3, C)).astype(np.int8),
        "scale": rng.uniform(0.001, 0.01, K).astype(np.float32),
        "bias": rng.normal(size=K).astype(np.float32),
    }


def tensor(name: str, channels: int, **grid: Any) -> dict[str, Any]:
    return {"name": name, "channels": channels, "dtype": "uint8" if grid else "float32", **grid}


def file_of(tensors: list[dict[str, Any]], *operations: dict[str, Any]) -> bytes:
    """A file of some operations; arrays among their fields, what they leave out is null, empty or zero."""
    arrays, plain = {}, []
    for i, operation in enumerate(operations):
        kinds = {entry["name"]: entry["kind"] for entry in schema()["operations"][operation["op"]]}
        fields = {"op": operation["op"], "name": operation["name"]}
        for name, kind in kinds.items():
            value = operation.get(name, DEFAULTS.get(name, False if kind == "flag" else None))
            if not kind.startswith("array"):
                fields[name] = value
            elif value is not None:
                arrays[f"{i}.{name}"] = value
        plain.append(fields)
    return Program(tensors=tuple(tensors), operations=tuple(plain), arrays=arrays).to_bytes()


DEFAULTS: dict[str, Any] = {
    "stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "size": [0, 0], "multiple": [1, 1], "values": 0,
    "block": 0, "divisor": 0, "function": "",
}  # fmt: skip
IN, OUT = {"op": "input", "name": "in", "y": 0}, {"op": "output", "name": "out", "x": 1}
TENSORS = [tensor("x", C, **GRID), tensor("y", K)]


def conv(arrays: dict[str, Any], **options: Any) -> bytes:
    """One direct convolution of 8-bit images to floats."""
    direct = {"op": "direct", "name": "conv", "x": 0, "y": 1, "padding": [1, 1, 1, 1], **arrays, **options}
    return file_of(TENSORS, IN, direct, OUT)


def images(count: int, seed: int = 1, size: tuple[int, int] = (H, W)) -> Any:
    return (np.random.default_rng(seed).integers(-127, 128, (count, C, *size)) * 0.25).astype(np.float32)


def run(engine: Any, x: Any) -> Any:
    ((n, c, h, w),) = engine.prepare([x.shape])
    y = np.full((n, c, h, w), np.nan, np.float32)
    engine.run([x], [y])
    return y


def expected(arrays: dict[str, Any], x: Any, low: float = -np.inf) -> Any:
    q = torch.from_numpy(x / 0.25)
    weight = torch.from_numpy(arrays["weight"].astype(np.float32)).permute(0, 3, 1, 2)
    y = torch.nn.functional.conv2d(q, weight, padding=1)  # integers, exact
    y = y * torch.from_numpy(arrays["scale"]).view(-1, 1, 1) + torch.from_numpy(arrays["bias"]).view(-1, 1, 1)
    return y.clamp(min=low).numpy()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_against_torch(name: str, count: int) -> None:
    arrays = weights()
    engine = _native.Engine(conv(arrays, act_low=0.0), threads=THREADS, kernel_set=name, batch=2)
    assert (engine.kernel_set, engine.threads) == (name, THREADS)
    for size in ((H, W), (4, 11)):
        x = images(count, size=size)
        np.testing.assert_array_equal(run(engine, x), expected(arrays, x, low=0))


def test_the_best_set_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TILEWISE_ISA", raising=False)
    assert _native.Engine(conv(weights())).kernel_set == SETS[0]
    monkeypatch.setenv("TILEWISE_ISA", "portable")
    assert _native.Engine(conv(weights())).kernel_set == "portable"
    assert SETS[-2:] == ["portable", "reference"]
    for entry in _native.kernel_sets():
        assert entry["description"]
        assert {"direct_int8", "fast_int8", "input"} <= set(entry["kernels"])


def test_ports() -> None:
    engine = _native.Engine(conv(weights()))
    common = {"size": (0, 0), "multiple": (1, 1), "flat": False, "channels_last": False, "axes": ()}
    (given,), (found,) = engine.inputs, engine.outputs
    assert given == {"name": "in", "channels": C, **common, "stored": "uint8", "step": 0.25, "zero_point": 128}
    assert found == {"name": "out", "channels": K, **common, "stored": "float32", "step": 1.0, "zero_point": 0}


def test_sizes_of_tensors() -> None:
    content = conv(weights(), stride=[2, 1])
    assert _native.tensor_sizes(content, [(2, C, H, W)]) == [(H, W), (5, W)]
    with pytest.raises(ValueError, match="there are 0 inputs, must be 1"):
        _native.tensor_sizes(content, [])


def test_tensors_that_lie_in_themselves() -> None:
    assert _native.tensor_views(conv(weights())) == [(0, 0), (1, 0)]


def test_the_schema_is_json() -> None:
    found = json.loads(_native.schema())
    assert found["version"] == 4
    assert {"input", "output", "direct", "fast", "pool"} <= found["operations"].keys()


def test_nothing_of_the_file_is_kept() -> None:
    content = bytearray(conv(weights()))
    first = _native.Engine(bytes(content))
    wanted = run(first, images(2))
    content[:] = bytes(len(content))
    del content
    np.testing.assert_array_equal(run(first, images(2)), wanted)


def test_callers_take_turns() -> None:
    engine = _native.Engine(conv(weights()), threads=THREADS)
    inputs = [images(6, seed, (H + seed, W)) for seed in range(4)]
    wanted = [run(engine, x) for x in inputs]
    good = []

    def work(i: int) -> None:
        good.append(all(np.array_equal(run(engine, inputs[i]), wanted[i]) for _ in range(20)))

    callers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert good == [True] * 4


def test_profile() -> None:
    engine = _native.Engine(conv(weights()))
    x, y = images(3), np.empty((3, K, H, W), np.float32)
    rows = engine.profile([x], [y], repeats=2)
    assert [(row["name"], row["op"]) for row in rows] == [("in", "input"), ("conv", "direct_int8"), ("out", "output")]
    assert all(row["seconds"] > 0 and row["multiply"] == 0 and row["algorithm"] == "" for row in rows)
    assert [row["operations"] for row in rows] == [0, 2 * 3 * H * W * K * C * 9, 0]
    assert all(row["bytes"] > 0 for row in rows)
    np.testing.assert_array_equal(y, run(engine, x))


def test_channels_last_and_bytes() -> None:
    engine, x = _native.Engine(conv(weights())), images(2)
    wanted = run(engine, x)
    y = np.empty((2, H, W, K), np.float32)
    engine.run([np.ascontiguousarray(x.transpose(0, 2, 3, 1))], [y], channels_last=True)
    np.testing.assert_array_equal(y.transpose(0, 3, 1, 2), wanted)
    pixels = np.random.default_rng(0).integers(0, 30, (2, C, H, W)).astype(np.uint8)
    result = np.empty_like(wanted)
    engine.run([pixels], [result])
    np.testing.assert_array_equal(result, run(engine, pixels.astype(np.float32)))


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def bad_runs() -> list[tuple[Any, Any, type[Exception], str]]:
    x, y = images(2), np.zeros((2, K, H, W), np.float32)
    return [
        ([x[:0]], [y[:0]], ValueError, "in: an extent is 0, must be at least 1"),
        ([x], [y[:1].copy()], ValueError, rf"out: has {4 * K * H * W} bytes, must have {8 * K * H * W}"),
        ([x[:, :2].copy()], [y], ValueError, "in: has 2 channels, must have 3"),
        ([], [y], ValueError, "inputs is null, must not be"),
        ([x, x], [y], ValueError, "there are 2 inputs, must be 1"),
        ([x], [y, y], ValueError, "there are 2 outputs, must be 1"),
        ([x.astype(np.float64)], [y], ValueError, "an array is neither float32, uint8 nor int16"),
        ([x.astype(np.int16)], [y], ValueError, "in: is int16, must be float32 or uint8"),
        ([x], [y.astype(np.int16)], ValueError, "out: is asked for as int16, must be float32"),
        ([x], [y.astype(np.uint8)], ValueError, "out: is asked for as uint8, must be float32"),
        ([x], [read_only(y.copy())], TypeError, "incompatible"),
    ]


@pytest.mark.parametrize(("x", "y", "error", "text"), bad_runs())
def test_refused_calls(x: Any, y: Any, error: type[Exception], text: str) -> None:
    engine = _native.Engine(conv(weights()))
    with pytest.raises(error, match=text):
        engine.run(x, y)
    with pytest.raises(error, match=text):
        engine.profile(x, y, repeats=1)


def test_shared_memory_is_refused() -> None:
    engine = _native.Engine(conv(weights()))
    memory = np.zeros(2 * K * H * W, np.float32)
    with pytest.raises(ValueError, match="in and out share memory"):
        engine.run([memory[: 2 * C * H * W].reshape(2, C, H, W)], [memory.reshape(2, K, H, W)])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weight": np.zeros((K, 3, 3, C + 1), np.int8)}, "conv: the number of input channels of weight is 4"),
        ({"weight": np.zeros((K, 3, 3, C), np.int32)}, "conv: weight is int32 of 4 axes, must be int8 or int16 or"),
        ({"weight": np.zeros((K, 3, 3, C), np.float32)}, "conv: x is uint8, must be float32"),
        ({"weight": np.zeros((K, 3, 3 * C), np.int8)}, "conv: weight is int8 of 3 axes"),
        ({"scale": None}, "conv: integer weights need a scale"),
        ({"bias": np.zeros(K + 1, np.float32)}, "conv: the length of bias is 21, must be 20"),
        ({"bias": np.full(K, np.nan, np.float32)}, "conv: bias holds nan at position 0, must be finite"),
        ({"stride": [0, 1]}, r"conv: stride is 0, must be 1\.\.1024"),
        ({"stride": [1]}, "conv: stride has 1 items, must have 2..2"),
        ({"residual": 0}, "conv: the number of channels of the residual is 3, must be 20"),
        ({"act_low": 1.0, "act_high": 0.0}, r"conv: the activation is limited to 1\.\.0"),
        ({"whole": 1}, "conv: whole is .*, must be true or false"),
    ],
)
def test_refused_convolutions(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _native.Engine(conv(weights() | change))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dtype": "int8"}, "dtype is int8, must be uint8, int16, bfloat16 or float32"),
        ({"channels": 0}, r"tensor 0: channels is 0, must be 1\.\.65536"),
        ({"low": -(2**40)}, r"tensor 0: low is -1099511627776, must be -255\.\.0"),
        ({"step": 0}, "tensor 0: step is 0, must be finite and above 0"),
        ({"stride": 16}, "tensor 0 has an unknown field, stride"),
        ({"name": ""}, r"tensor 0: name has 0 bytes, must have 1\.\.256"),
    ],
)
def test_refused_tensors(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        _native.Engine(file_of([TENSORS[0] | change, TENSORS[1]], IN, OUT))


def test_refused_programs() -> None:
    for operations, text in (
        ([IN, OUT], "out: reads tensor 1, which nothing has written yet"),
        ([IN, {**OUT, "x": 0}], "tensor 1 is written by no operation"),
        ([IN, IN, OUT], "in: writes tensor 0, which is written already"),
        ([IN, {**IN, "y": 1}, OUT], "there are two inputs with the name in"),
        ([IN, {**IN, "y": 1, "name": "more"}], "the program has no output, must have one"),
        ([IN, {**IN, "y": 2, "name": "more"}, OUT], r"more: y is 2, must be 0\.\.1"),
    ):
        with pytest.raises(ValueError, match=text):
            _native.Engine(file_of(TENSORS, *operations))


def test_refused_engines() -> None:
    content = conv(weights())
    with pytest.raises(ValueError, match=r"threads is 100000, must be 1\.\."):
        _native.Engine(content, threads=100000)
    with pytest.raises(ValueError, match="unknown kernel set z80; allowed: "):
        _native.Engine(content, kernel_set="z80")
    with pytest.raises(ValueError, match=r"batch is 65537, must be 1\.\.65536"):
        _native.Engine(content, batch=65537)
    with pytest.raises(ValueError, match="it has 0 bytes; a compiled network has more"):
        _native.Engine(b"")


SHORT_OF_MEMORY = """
import resource, sys
from tilewise import _native
engine = _native.Engine(sys.stdin.buffer.read(), batch=16)
resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36))
try:
    engine.prepare([(16, 3, 8192, 8192)])
except MemoryError as error:
    print(error)
print(engine.prepare([(1, 3, 4, 4)]))
"""


def test_short_of_memory() -> None:
    # In a process of its own, with a limit: some systems promise any amount.
    content = conv(weights())
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], check=True, capture_output=True, input=content)
    first, second = done.stdout.decode().splitlines()
    assert first.startswith("no memory for the ")
    assert second == "[(1, 20, 4, 4)]"


def light(**options: Any) -> bytes:
    """Every other operation, so that each is run once by a program written by hand."""
    tensors = [tensor(name, channels) for name, channels in zip("abcdef", (4, 4, 8, 2, 2, 2), strict=True)]
    scale, bias, moves = np.full(4, 2, np.float32), np.ones(4, np.float32), np.zeros((0, 5), np.int64)
    kept = dict.fromkeys(("channels", "rows", "cols"), moves)
    affine = {"scale": scale, "bias": bias, "residual": 0, "act_low": 0.0}
    windows = {"kernel": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    return file_of(
        tensors,
        IN,
        {"op": "eltwise", "name": "affine", "x": 0, "y": 1, **affine},
        {"op": "gather", "name": "cat", "x": [0, 1], "y": 2, "axis": 0, "first": np.array([0, 4]), **kept},
        {"op": "pixel_shuffle", "name": "shuffle", "x": 2, "y": 3, "factor": 2},
        {"op": "resize", "name": "half", "x": 3, "y": 4, "row_scale": 0.5, "col_scale": 0.5, "mode": 0},
        {"op": "pool", "name": "pool", "x": 4, "y": 5, **windows, **options},
        {**OUT, "x": 5},
    )


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("maximum", [True, False])
def test_light_operations_against_torch(name: str, maximum: bool) -> None:
    engine = _native.Engine(light(maximum=maximum), threads=THREADS, kernel_set=name)
    for size in ((4, 6), (8, 2)):
        x = np.random.default_rng(3).normal(size=(2, 4, *size)).astype(np.float32)
        functional, image = torch.nn.functional, torch.from_numpy(x)
        image = torch.cat([image, (image * 2 + 1 + image).relu()], 1)
        image = functional.interpolate(functional.pixel_shuffle(image, 2), scale_factor=0.5, mode="bilinear")
        image = functional.max_pool2d(image, 2) if maximum else functional.avg_pool2d(image, 2)
        np.testing.assert_allclose(run(engine, x), image.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_fast_convolution_against_the_stages(name: str) -> None:
    rng = np.random.default_rng(4)
    bt = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    at = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    u = rng.integers(-127, 128, (16, K, C)).astype(np.int8)
    mult = rng.integers(8000, 32768, (16, C)).astype(np.int32)
    scale = rng.uniform(0.001, 0.01, (16, K)).astype(np.float32)
    bias = rng.normal(size=K).astype(np.float32)
    fast = {
        "op": "fast", "name": "conv", "x": 0, "y": 1, "algorithm": "F2", "bt": bt.astype(np.float32), "at": at,
        "integer": True, "u": u, "mult": mult, "scale": scale, "v_limit": 127, "fraction_bits": 15, "bias": bias,
        "stride": 1, "dilation": 1, "padding": [1, 1, 1, 1],
    }  # fmt: skip
    engine, data = _native.Engine(file_of(TENSORS, IN, fast, OUT), threads=THREADS, kernel_set=name), images(3)
    q = np.ascontiguousarray((data * 4).astype(np.int16))
    stages = _native.winograd_conv2d(q, u.astype(np.int16), bt.astype(np.int32), mult, at, scale, bias, (1, 1), 127, 15)
    np.testing.assert_array_equal(run(engine, data), stages[3])
    profile = engine.profile([data], [np.empty_like(stages[3])], repeats=1)
    assert (profile[1]["op"], profile[1]["algorithm"]) == ("fast_int8", "F2")
