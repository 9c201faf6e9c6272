"""Many calls, many engines, many threads: the same results, and no memory that is not given back."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import tilewise as tw
from tilewise.common.limits import usable_threads

SLACK = 2**20
"""Bytes that the process may grow by, whatever the number of calls."""


@pytest.fixture(scope="module")
def content() -> bytes:
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1)).eval()
    return tw.compile(model, np.zeros((1, 3, 8, 8), np.float32)).content()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3, 8, 8), np.float32)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def calls_keep_memory(content: bytes, images: np.ndarray, count: int) -> None:
    engine = tw.Engine(content, threads=usable_threads())
    wanted = engine(images).tobytes()
    for _ in range(200):
        engine(images)
    before = resident()
    assert all(engine(images).tobytes() == wanted for _ in range(count))
    assert resident() - before < SLACK


def test_calls_keep_memory(content: bytes, images: np.ndarray) -> None:
    calls_keep_memory(content, images, 5000)


@pytest.mark.long(reason="a million calls")
def test_a_million_calls_keep_memory(content: bytes, images: np.ndarray) -> None:
    calls_keep_memory(content, images, 1_000_000)


def test_a_hundred_engines_give_their_memory_back(content: bytes, images: np.ndarray) -> None:
    for _ in range(10):
        tw.Engine(content, threads=usable_threads())(images)
    before = resident()
    for _ in range(100):
        tw.Engine(content, threads=usable_threads())(images)
    assert resident() - before < SLACK


def test_engines_and_callers_at_once(content: bytes, images: np.ndarray) -> None:
    """Four threads call one engine and another of their own."""
    shared = tw.Engine(content, threads=usable_threads())
    wanted = shared(images).tobytes()

    def call(_: int) -> bool:
        own = tw.Engine(content, threads=usable_threads())
        return all(engine(images).tobytes() == wanted for _ in range(100) for engine in (shared, own))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(call, range(8)))
