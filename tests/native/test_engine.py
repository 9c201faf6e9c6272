"""The plan builder and the engine as Python sees them: results against torch, shapes, types, errors, threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from tilewise import _native

torch = pytest.importorskip("torch")

SETS = [entry["name"] for entry in _native.kernel_sets() if entry["supported"]]
H, W, C, K = 9, 7, 3, 20


def weights(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.integers(-127, 128, (K, 3, 3, C)).astype(np.int8),
        "scale": rng.uniform(0.001, 0.01, K).astype(np.float32),
        "bias": rng.normal(size=K).astype(np.float32),
    }


def tensors(plan: Any) -> tuple[int, int]:
    x = plan.add_tensor(
        height=H, width=W, channels=C, stride=4, offset=0, dtype="uint8", step=0.25, factor=4.0, low=-127, high=127
    )
    y = plan.add_tensor(height=H, width=W, channels=K, stride=32, offset=4096, dtype="float32")
    return x, y


def plan_of(arrays: dict[str, Any], **options: Any) -> Any:
    """One direct convolution of an 8-bit image to floats, batches of two."""
    plan = _native.Plan(batch=2, arena_bytes=1 << 20)
    x, y = tensors(plan)
    plan.import_nchw(name="in", y=x)
    plan.direct(name="conv", x=x, y=y, **arrays, padding=(1, 1), **options)
    plan.export_nchw(name="out", x=y)
    return plan


def images(count: int, seed: int = 1) -> Any:
    return (np.random.default_rng(seed).integers(-127, 128, (count, C, H, W)) * 0.25).astype(np.float32)


def run(engine: Any, x: Any) -> Any:
    y = np.full((len(x), K, H, W), np.nan, np.float32)
    engine.run(x, y)
    return y


def expected(arrays: dict[str, Any], x: Any, low: float = -np.inf) -> Any:
    q = torch.from_numpy(x / 0.25)
    weight = torch.from_numpy(arrays["weight"].astype(np.float32)).permute(0, 3, 1, 2)
    y = torch.nn.functional.conv2d(q, weight, padding=1)  # integers, exact
    y = y * torch.from_numpy(arrays["scale"]).view(-1, 1, 1) + torch.from_numpy(arrays["bias"]).view(-1, 1, 1)
    return y.clamp(min=low).numpy()


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_against_torch(isa: str, count: int) -> None:
    arrays, x = weights(), images(count)
    engine = _native.Engine(plan_of(arrays, act_low=0.0), threads=2, isa=isa)
    assert (engine.isa, engine.threads) == (isa, 2)
    np.testing.assert_array_equal(run(engine, x), expected(arrays, x, low=0))


def test_the_best_set_is_the_default() -> None:
    assert _native.Engine(plan_of(weights()), threads=1).isa == SETS[0]
    assert SETS[-2:] == ["portable", "reference"]
    for entry in _native.kernel_sets():
        assert entry["description"]
        assert {"direct_int8", "fast_int8", "import_nchw"} <= set(entry["kernels"])


def test_arrays_are_copied() -> None:
    arrays = weights()
    plan = plan_of(arrays)
    first = _native.Engine(plan, threads=1)
    wanted = run(first, images(2))
    for array in arrays.values():
        array[:] = 0
    second = _native.Engine(plan, threads=1)
    del plan
    np.testing.assert_array_equal(run(second, images(2)), wanted)


def test_callers_take_turns() -> None:
    engine = _native.Engine(plan_of(weights()), threads=2)
    inputs = [images(6, seed) for seed in range(4)]
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
    engine = _native.Engine(plan_of(weights()), threads=1)
    x, y = images(3), np.empty((3, K, H, W), np.float32)
    rows = engine.profile(x, y, 2)
    assert [(row["name"], row["op"]) for row in rows] == [
        ("in", "import_nchw"),
        ("conv", "direct_int8"),
        ("out", "export_nchw"),
    ]
    assert all(row["seconds"] > 0 and row["multiply"] == 0 and row["algorithm"] == "" for row in rows)
    np.testing.assert_array_equal(y, run(engine, x))


def test_output_may_have_other_axes_after_the_first() -> None:
    engine, x = _native.Engine(plan_of(weights()), threads=1), images(2)
    flat = np.empty((2, K * H * W), np.float32)
    engine.run(x, flat)
    np.testing.assert_array_equal(flat.reshape(2, K, H, W), run(engine, x))


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def bad_runs() -> list[tuple[Any, Any, type[Exception], str]]:
    x, y = images(2), np.zeros((2, K, H, W), np.float32)
    return [
        (x[:0], y[:0], ValueError, "the number of images is 0, must be at least 1"),
        (images(2)[:, :, :-1].copy(), y, ValueError, rf"x has shape \(2, 3, 8, 7\), must be \(N, 3, {H}, {W}\)"),
        (x, y[:1].copy(), ValueError, rf"y has {K * H * W} values, must be of shape"),
        (x, y[:, :-1].copy(), ValueError, "y has .* values, must be of shape"),
        (x.astype(np.float64), y, TypeError, "incompatible"),
        (x, y.astype(np.float64), TypeError, "incompatible"),
        (x.transpose(0, 1, 3, 2), y, TypeError, "incompatible"),
        (x, y[:, ::2], TypeError, "incompatible"),
        (x, read_only(y.copy()), TypeError, "incompatible"),
    ]


@pytest.mark.parametrize(("x", "y", "error", "text"), bad_runs())
def test_refused_calls(x: Any, y: Any, error: type[Exception], text: str) -> None:
    engine = _native.Engine(plan_of(weights()), threads=1)
    with pytest.raises(error, match=text):
        engine.run(x, y)
    with pytest.raises(error, match=text):
        engine.profile(x, y, 1)


def test_shared_memory_is_refused() -> None:
    engine = _native.Engine(plan_of(weights()), threads=1)
    memory = np.zeros(2 * K * H * W, np.float32)
    with pytest.raises(ValueError, match="x and y share memory"):
        engine.run(memory[: 2 * C * H * W].reshape(2, C, H, W), memory.reshape(2, K, H, W))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (
            {"weight": np.zeros((K, 3, 3, C + 1), np.int8)},
            ValueError,
            "conv: the number of input channels of weight is 4",
        ),
        ({"weight": np.zeros((K, 3, 3, C))}, TypeError, "incompatible"),
        ({"weight": np.zeros((K, 3, 3, C), np.float32)}, ValueError, "conv: x is uint8, must be float32"),
        ({"weight": np.zeros((K, 3, 3 * C), np.int8)}, TypeError, "incompatible"),
        ({"scale": None}, ValueError, "conv: integer weights need a scale"),
        ({"bias": np.zeros(K + 1, np.float32)}, ValueError, "conv: the length of bias is 21, must be 20"),
        ({"bias": np.full(K, np.nan, np.float32)}, ValueError, "conv: bias holds nan at position 0, must be finite"),
        ({"stride": (0, 1)}, ValueError, "conv: the vertical stride is 0, must be 1..1024"),
        ({"residual": 0}, ValueError, "conv: the residual has height"),
        ({"act_low": 1.0, "act_high": 0.0}, ValueError, r"conv: the activation is limited to 1\.\.0"),
    ],
)
def test_refused_convolutions(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        plan_of(weights() | change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dtype": "int8"}, "dtype is int8, must be uint8, int16, bfloat16 or float32"),
        ({"offset": 1}, "tensor 0: offset is 1, must be a multiple of 64"),
        ({"height": 0}, "tensor 0: height is 0, must be 1..65536"),
        ({"low": -(2**40)}, "low is -1099511627776, must fit int32"),
        ({"step": float("nan")}, "tensor 0: step is nan, must be finite and above 0"),
    ],
)
def test_refused_tensors(change: dict[str, Any], text: str) -> None:
    plan = _native.Plan(batch=2, arena_bytes=1 << 20)
    good = {"height": H, "width": W, "channels": C, "stride": 16, "offset": 0, "dtype": "uint8"}
    with pytest.raises(ValueError, match=text):
        plan.add_tensor(**(good | change))


def test_refused_engines() -> None:
    unfinished = _native.Plan(batch=1, arena_bytes=64)
    with pytest.raises(ValueError, match="the plan has no export_nchw at its end"):
        _native.Engine(unfinished, threads=1)
    plan = plan_of(weights())
    with pytest.raises(ValueError, match=r"threads is 0, must be 1\.\.256"):
        _native.Engine(plan, threads=0)
    with pytest.raises(ValueError, match="unknown kernel set z80; allowed: "):
        _native.Engine(plan, threads=1, isa="z80")
    with pytest.raises(ValueError, match="the plan ended with export_nchw and accepts no more"):
        tensors(plan)


SHORT_OF_MEMORY = """
import resource
from tilewise import _native
resource.setrlimit(resource.RLIMIT_AS, (1 << 36, 1 << 36))
plan = _native.Plan(batch=65536, arena_bytes=1 << 40)
plan.add_tensor(height=1024, width=1024, channels=4, stride=4, offset=0, dtype="float32")
plan.import_nchw(name="in", y=0)
plan.export_nchw(name="out", x=0)
try:
    _native.Engine(plan, threads=1)
except MemoryError as error:
    print(error)
"""


def test_short_of_memory() -> None:
    # In a process of its own, with a limit: some systems promise any amount.
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], check=True, capture_output=True, text=True)
    assert done.stdout == "no memory for the 1099511627776 bytes of activations\n"


def block(**options: Any) -> Any:
    """Every other operation, so that each method of the builder is called once from Python."""
    plan = _native.Plan(batch=1, arena_bytes=1 << 20)
    offset = 0

    def tensor(height: int, width: int, channels: int) -> int:
        nonlocal offset
        stride = -(-channels // 16) * 16
        here, offset = offset, offset + height * width * stride * 4
        return plan.add_tensor(
            height=height, width=width, channels=channels, stride=stride, offset=here, dtype="float32"
        )

    x, scaled, joined, shuffled = tensor(4, 6, 4), tensor(4, 6, 4), tensor(4, 6, 8), tensor(8, 12, 2)
    resized, pooled = tensor(4, 6, 2), tensor(2, 3, 2)
    rows, cols = np.arange(4), np.arange(6)
    plan.import_nchw(name="in", y=x)
    scale, bias = np.full(4, 2, np.float32), np.ones(4, np.float32)
    plan.eltwise(name="affine", x=x, y=scaled, scale=scale, bias=bias, residual=x, act_low=0.0, act_high=np.inf)
    plan.gather(name="first", x=x, y=joined, rows=rows, cols=cols, first=0, clear=True)
    plan.gather(name="second", x=scaled, y=joined, rows=rows, cols=cols, first=4, clear=False)
    plan.pixel_shuffle(name="shuffle", x=joined, y=shuffled, factor=2)
    half = np.full(6, 0.5, np.float32)
    pairs = np.stack([2 * cols, 2 * cols + 1], axis=1)
    plan.resize(name="half", x=shuffled, y=resized, rows=pairs[:4], row_weights=half[:4], cols=pairs, col_weights=half)
    windows = np.stack([2 * rows, 2 * rows + 2], axis=1)
    plan.pool(name="pool", x=resized, y=pooled, rows=windows[:2], cols=windows[:3], **options)
    plan.export_nchw(name="out", x=pooled)
    return plan


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("maximum", [True, False])
def test_light_operations_against_torch(isa: str, maximum: bool) -> None:
    x = np.random.default_rng(3).normal(size=(2, 4, 4, 6)).astype(np.float32)
    y = np.empty((2, 2, 2, 3), np.float32)
    _native.Engine(block(maximum=maximum, divisor=0), threads=2, isa=isa).run(x, y)
    functional, image = torch.nn.functional, torch.from_numpy(x)
    image = torch.cat([image, (image * 2 + 1 + image).relu()], 1)
    image = functional.interpolate(functional.pixel_shuffle(image, 2), scale_factor=0.5, mode="bilinear")
    image = functional.max_pool2d(image, 2) if maximum else functional.avg_pool2d(image, 2)
    np.testing.assert_allclose(y, image.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("isa", SETS)
def test_fast_convolution_against_the_stages(isa: str) -> None:
    rng = np.random.default_rng(4)
    bt = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    at = np.array([[1, 1, 1, 0], [0, 1, -1, -1]], np.float32)
    u = rng.integers(-127, 128, (16, K, C)).astype(np.int8)
    mult = rng.integers(8000, 32768, (16, C)).astype(np.int32)
    scale = rng.uniform(0.001, 0.01, (16, K)).astype(np.float32)
    bias = rng.normal(size=K).astype(np.float32)
    plan = _native.Plan(batch=2, arena_bytes=1 << 20)
    x, y = tensors(plan)
    plan.import_nchw(name="in", y=x)
    plan.fast(
        name="conv", x=x, y=y, algorithm="F2", bt=bt.astype(np.float32), at=at, integer=True, u=u, mult=mult,
        scale=scale, v_limit=127, fraction_bits=15, bias=bias, padding=(1, 1), residual=None,
    )  # fmt: skip
    plan.export_nchw(name="out", x=y)
    engine, data = _native.Engine(plan, threads=2, isa=isa), images(3)
    q = np.ascontiguousarray((data * 4).astype(np.int16))
    stages = _native.winograd_conv2d(q, u.astype(np.int16), bt.astype(np.int32), mult, at, scale, bias, (1, 1), 127, 15)
    np.testing.assert_array_equal(run(engine, data), stages[3])
    profile = engine.profile(data, np.empty_like(stages[3]), 1)
    assert (profile[1]["op"], profile[1]["algorithm"]) == ("fast_int8", "F2")
