"""Several requests in flight, copies, and engines that share weights: the results of plain calls, in order."""

from __future__ import annotations

import copy
import os
import pickle
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import tilewise as tw
from tilewise.common.limits import usable_threads
from tilewise.engine.streams import AHEAD, streams_of

CORES = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def engine() -> tw.Engine:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)).eval()
    return tw.compile(model, np.zeros((1, 3, 8, 8), np.float32), threads=usable_threads())


def images(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal((1 + i % 3, 3, 5 + i % 4, 6), np.float32) for i in range(count)]


@pytest.mark.parametrize("mode", ["latency", "throughput"])
@pytest.mark.parametrize("workers", [None, 1, 3])
def test_results_come_in_order(engine: tw.Engine, mode: Any, workers: int | None) -> None:
    items = images(30)
    found = list(engine.map(iter(items), mode=mode, workers=workers))
    assert [y.tobytes() for y in found] == [engine(x).tobytes() for x in items]


def test_layouts_and_inputs_by_name(engine: tw.Engine) -> None:
    x = images(1)[0]
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    name = engine.inputs[0].name
    for item in (last, (last,), {name: last}):
        (found,) = engine.map([item], layout="NHWC")
        assert found.transpose(0, 3, 1, 2).tobytes() == engine(x).tobytes()


def test_requests_are_in_flight_at_once(engine: tw.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three workers waits for the two others."""
    together, call = threading.Barrier(3, timeout=30), tw.Engine.__call__

    def waiting(self: tw.Engine, *x: Any, **options: Any) -> Any:
        together.wait()
        return call(self, *x, **options)

    items = images(6)
    expected = [engine(x).tobytes() for x in items]
    monkeypatch.setattr(tw.Engine, "__call__", waiting)
    assert [y.tobytes() for y in engine.map(items, workers=3)] == expected


def test_no_more_is_taken_than_workers_need(engine: tw.Engine) -> None:
    taken = 0

    def source() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield images(1)[0]

    results = engine.map(source(), workers=2)
    assert taken == 0
    for asked in range(1, 6):
        next(results)
        assert taken <= asked + 2 * AHEAD
    results.close()  # type: ignore[attr-defined]
    assert "tilewise-map" not in " ".join(thread.name for thread in threading.enumerate())


def test_an_error_stands_where_its_result_would(engine: tw.Engine) -> None:
    items: list[Any] = images(8)
    items[5] = np.zeros((1, 4, 8, 8), np.float32)
    results = engine.map(items, workers=2)
    for x in items[:5]:
        assert next(results).tobytes() == engine(x).tobytes()
    with pytest.raises(ValueError, match=r"x has shape \(1, 4, 8, 8\); allowed: \(N, 3, H, W\)"):
        next(results)
    assert list(results) == []

    def failing() -> Iterator[np.ndarray]:
        yield from items[:3]
        raise OSError("the camera is gone")

    results = engine.map(failing())
    assert len([next(results) for _ in range(3)]) == 3
    with pytest.raises(OSError, match="the camera is gone"):
        next(results)


def test_workers_stay_on_their_cores(engine: tw.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[frozenset[int]] = set()
    call = tw.Engine.__call__

    def looking(self: tw.Engine, *x: Any, **options: Any) -> Any:
        seen.add(frozenset(os.sched_getaffinity(0)))
        time.sleep(0.01)  # others take the next request
        return call(self, *x, **options)

    before = os.sched_getaffinity(0)
    monkeypatch.setattr(tw.Engine, "__call__", looking)
    assert len(list(engine.map(images(12), workers=min(2, CORES), pin=True))) == 12
    assert seen <= {frozenset({core}) for core in before}
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "mode is 'fast'; allowed: latency, throughput"),
        ({"workers": 0}, "workers is 0; allowed: 1 to 1024"),
        ({"workers": True}, "workers is True; allowed: 1 to 1024"),
        ({"layout": "CHWN"}, "layout is 'CHWN'"),
        ({"mode": "latency", "pin": True}, "pin is True, but in latency mode"),
        ({"workers": CORES + 1, "pin": True}, f"workers is {CORES + 1} and pin is True; allowed: 1 to {CORES}"),
    ],
)
def test_bad_options(engine: tw.Engine, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine.map([], **options)


def test_threads_are_shared_among_workers() -> None:
    assert streams_of("throughput", None, 4).threads == 1
    assert streams_of("throughput", 3, 8).threads == 2
    assert streams_of("throughput", 9, 8).threads == 1
    assert streams_of("latency", None, 8).threads == 0


def test_an_engine_that_shares_weights_is_its_own(engine: tw.Engine) -> None:
    x = images(1)[0]
    shared = engine.share(threads=1)
    assert (shared.threads, shared.kernel_set, shared.activation_bytes) == (1, engine.kernel_set, 0)
    expected = engine(x).tobytes()
    origin = copy.copy(engine)
    assert origin.share()(x).tobytes() == expected
    shared_by_gone = origin.share()
    del origin
    assert shared_by_gone(x).tobytes() == expected
    with pytest.raises(ValueError, match=f"threads is {CORES + 1}"):
        engine.share(CORES + 1)


def test_copies_keep_kernel_set_threads_and_batch(engine: tw.Engine, tmp_path: Path) -> None:
    engine.save(tmp_path / "net.tilewise")
    forced = tw.Engine(engine.content(), threads=usable_threads(), batch=3, kernel_set="portable")
    x = images(1)[0]
    for origin in (forced, tw.load(tmp_path / "net.tilewise", batch=5)):
        for another in (copy.deepcopy(origin), copy.copy(origin), pickle.loads(pickle.dumps(origin))):
            assert another is not origin
            assert (another.threads, another.kernel_set, another.batch, another.content()) == (
                origin.threads, origin.kernel_set, origin.batch, origin.content(),
            )  # fmt: skip
            assert another(x).tobytes() == origin(x).tobytes()
