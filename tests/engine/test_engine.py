"""How an engine is called."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import _native
from tilewise.engine import Engine

F32 = np.float32


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 3))
    return tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), [torch.randn(4, 3, 8, 9)])


@pytest.fixture
def engine(model: nn.Module) -> Engine:
    return tw.compile(model, torch.zeros(4, 3, 8, 9), batch=4)


def images(n: int) -> Any:
    return np.random.default_rng(n).normal(size=(n, 3, 8, 9)).astype(F32)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 11])
def test_any_number_of_images(engine: Engine, n: int) -> None:
    x = images(n)
    y = engine(x)
    assert y.shape == (n, 5, 6, 7)
    for i in range(n):
        np.testing.assert_array_equal(engine(x[i : i + 1])[0], y[i])


def test_the_model_itself_gives_the_same_bits(engine: Engine, model: nn.Module) -> None:
    """Without a batch norm to fold there is nothing between evaluation in torch and the engine."""
    x = torch.from_numpy(images(6))
    with torch.no_grad():
        np.testing.assert_array_equal(engine(x), model(x))


def test_arrays_give_arrays_and_tensors_tensors(engine: Engine) -> None:
    x = images(2)
    from_array, from_tensor = engine(x), engine(torch.from_numpy(x).requires_grad_())
    assert isinstance(from_array, np.ndarray)
    assert isinstance(from_tensor, torch.Tensor)
    assert not from_tensor.requires_grad
    np.testing.assert_array_equal(from_array, from_tensor)


def test_any_layout(engine: Engine) -> None:
    x = images(4)
    expected = engine(x)
    np.testing.assert_array_equal(engine(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(engine(np.repeat(x, 2, 0)[::2]), expected)
    np.testing.assert_array_equal(engine(torch.from_numpy(x).to(memory_format=torch.channels_last)), expected)


def test_the_input_is_kept(engine: Engine) -> None:
    x = images(3)
    before = x.copy()
    engine(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (images(1)[0], ValueError, r"x has shape \(3, 8, 9\); allowed: \(N, 3, H, W\)"),
        (images(2)[:0], ValueError, "x holds no images; allowed: at least 1"),
        (images(1).astype(np.float64), TypeError, "x is float64; allowed: float32"),
        (torch.zeros(1, 3, 8, 9, dtype=torch.float16), TypeError, "x is float16; allowed: float32"),
        (torch.zeros(1, 3, 8, 9, device="meta"), TypeError, "x is on meta; allowed: cpu"),
        ([[1.0]], TypeError, "x is list; allowed: a numpy array or a torch Tensor"),
    ],
)
def test_bad_input(engine: Engine, x: Any, error: type[Exception], message: str) -> None:
    for call in (engine, engine.profile):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_number(engine: Engine, value: float) -> None:
    x = images(2)
    x[1, 2, 3, 4] = value
    with pytest.raises(ValueError, match="x contains NaN or infinity"):
        engine(x)
    engine(np.full((2, 3, 8, 9), 3e38, F32))  # a sum that is infinite says nothing


def test_threads(model: nn.Module, engine: Engine) -> None:
    cores = len(os.sched_getaffinity(0))
    x = images(9)
    expected = engine(x)
    for threads in range(1, cores + 1):
        many = tw.compile(model, images(4), threads=threads)
        assert many.threads == threads
        np.testing.assert_array_equal(many(x), expected)
    assert 1 <= tw.compile(model, images(4), threads=0).threads <= cores  # as a quota may allow
    for bad in (-1, cores + 1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=rf"threads is .*; allowed: 1 to {cores}, the cores"):
            tw.compile(model, images(4), threads=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [s["name"] for s in _native.kernel_sets() if s["supported"]])
def test_every_kernel_set(model: nn.Module, engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWISE_ISA", name)
    forced = tw.compile(model, images(4))
    assert forced.kernel_set == name
    np.testing.assert_array_equal(forced(images(5)), engine(images(5)))


def test_unknown_kernel_set(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWISE_ISA", "sse1")
    with pytest.raises(ValueError, match="sse1"):
        tw.compile(model, images(4))


def test_callers_take_turns(engine: Engine) -> None:
    inputs = [images(n) for n in range(1, 7)]
    expected = [engine(x) for x in inputs]
    results: list[Any] = [None] * len(inputs)

    def work(i: int) -> None:
        for _ in range(20):
            results[i] = engine(inputs[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_profile(engine: Engine) -> None:
    rows = engine.profile(images(4), repeats=3)
    assert [row["name"] for row in rows] == [operation["name"] for operation in engine.program.operations]
    assert all(row["seconds"] >= 0 for row in rows)
    fast = next(row for row in rows if row["name"] == "2")
    assert min(fast[stage] for stage in ("input_transform", "multiply", "output_transform")) > 0
    with pytest.raises(ValueError, match="repeats is 0; it must be at least 1"):
        engine.profile(images(1), repeats=0)
