"""Between grid points: the cost model times a ratio, and nothing beyond the grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tilewise as tw
from tilewise.latency import CANDIDATES, Convolution, LatencyTable
from tilewise.latency.interpolation import coordinates, interpolate
from tilewise.latency.models import ConvolutionModel

from .conftest import record_of, shape_of, work_of

Make = Callable[[Callable[[Convolution], float]], LatencyTable]
F4 = tw.Winograd("F4")
MODEL = ConvolutionModel()


@given(st.tuples(*[st.floats(0, 1)] * 3), st.tuples(*[st.floats(-5, 5)] * 4))
def test_linear_functions_are_found_again(at: tuple[float, ...], weights: tuple[float, ...]) -> None:
    def value(point: tuple[float, ...]) -> float:
        return weights[3] + sum(w * x for w, x in zip(weights, point, strict=False))

    points = {(x, y, z): value((x, y, z)) for x in (0.0, 0.25, 1.0) for y in (0.0, 1.0) for z in (0.0, 0.5, 1.0)}
    assert interpolate(points, at) == pytest.approx(value(at), abs=1e-7)


def test_what_the_model_gives_is_found_everywhere(grid_table: Make) -> None:
    table = grid_table(lambda work: 1.5 * MODEL.seconds(work))
    for channels, size, ratio in ((16, 4, 1), (24, 9, 1.5), (64, 16, 2), (40, 5, 1)):
        work = work_of(shape_of(channels, size, ratio))
        assert table.seconds(work.shape, F4) == pytest.approx(1.5 * MODEL.seconds(work))
        assert table.seconds_of(work) == table.seconds(work.shape, F4)


def test_ratios_change_slowly(grid_table: Make) -> None:
    table = grid_table(lambda work: MODEL.seconds(work) * (1 + 0.1 * coordinates(work)[0]))
    work = work_of(shape_of(32, 16))
    assert table.seconds(work.shape, F4) == pytest.approx(1.5 * MODEL.seconds(work), rel=0.02)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (shape_of(8, 8), "the grid has input channels from 16 to 64"),
        (shape_of(32, 32), "the grid has heights and widths from 4 to 16"),
        (shape_of(32, 8, 0.5), "the grid has ratios of output to input channels from 1 to 2"),
        (shape_of(32, 8, kernel=(5, 5), padding=(2, 2)), "has no entry for F4 int8 of 32 -> 32 channels, 5x5"),
        (shape_of(32, 8, padding=(0, 0)), "has no entry"),
        (replace(shape_of(32, 8), batch=2), "has no entry"),
    ],
)
def test_nothing_beyond_the_grid(shape: Any, message: str, grid_table: Make) -> None:
    with pytest.raises(ValueError, match=message):
        grid_table(MODEL.seconds).seconds(shape, F4)


def test_a_missing_corner_is_named(grid_table: Make) -> None:
    records = [r for r in grid_table(MODEL.seconds) if r.work != work_of(shape_of(64, 16, 2))]
    table = LatencyTable(records)
    with pytest.raises(ValueError, match="the grid lacks 64 -> 128 channels at 16x16; measure it"):
        table.seconds(shape_of(32, 8, 1.5), F4)
    assert table.seconds(shape_of(32, 8), F4) > 0


def test_a_record_of_a_network_counts_more(grid_table: Make) -> None:
    table = grid_table(lambda _: 1.0)
    for seconds, ends in ((2.0, {}), (4.0, {"residual": "uint8"})):
        table.append(record_of(work_of(shape_of(16, 4), **ends), seconds))
    assert table.seconds(shape_of(16, 4), F4) == 3.0
    assert table.seconds(shape_of(16, 16), F4) == pytest.approx(1.0)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=str)
def test_the_model_grows_with_sizes(candidate: Any) -> None:
    small, wide, large = (
        MODEL.seconds(Convolution(shape=shape_of(c, s), candidate=candidate)) for c, s in ((32, 8), (64, 8), (64, 16))
    )
    assert 0 < small < wide < large


def test_tiles_at_the_edge_count_whole() -> None:
    exact, over = (MODEL.seconds(work_of(shape_of(64, size))) for size in (12, 13))
    assert over > 1.5 * exact


def test_float_sums_of_mixed_networks_come_first() -> None:
    shape, direct = shape_of(16, 8), tw.Direct(bits=32)
    fused, ordered = (work_of(shape, "direct float32", ordered=one) for one in (False, True))
    table = LatencyTable([record_of(fused, 1.0)])
    assert table.seconds(shape, direct) == 1.0
    with pytest.raises(ValueError, match="has no entry for direct float32"):
        table.seconds(shape, direct, ordered=True)
    table.append(record_of(ordered, 2.0))
    assert table.seconds(shape, direct) == 2.0
    assert table.seconds(shape, direct, ordered=False) == 1.0
    assert LatencyTable([record_of(fused, 1.0, "grid")]).seconds(shape, direct) == pytest.approx(1.0)
