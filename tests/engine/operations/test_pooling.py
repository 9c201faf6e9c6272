"""The windows of pooling against torch's own operations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tilewise.engine.operations.pooling import Pool, adaptive_spans, window_spans


@given(st.integers(1, 30), st.integers(1, 30))
def test_adaptive_spans(size: int, out: int) -> None:
    x = torch.randn(1, 1, size)
    spans = adaptive_spans(size, out)
    expected = F.adaptive_max_pool1d(x, out)[0, 0]
    assert [x[0, 0, begin:end].max() for begin, end, _ in spans] == expected.tolist()
    assert all(counted == end - begin for begin, end, counted in spans)


@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 2),
    ceil=st.booleans(),
    counts=st.booleans(),
)
def test_window_spans(size: int, kernel: int, stride: int, padding: int, *, ceil: bool, counts: bool) -> None:
    padding = min(padding, kernel // 2)
    if size + 2 * padding < kernel:
        return
    x = torch.randn(1, 1, size)
    expected = F.max_pool1d(x, kernel, stride, padding, ceil_mode=ceil)[0, 0]
    pool = Pool(False, (kernel, kernel), (stride, stride), (padding, padding), ceil, counts)
    spans = window_spans(size, len(expected), pool, 0)
    assert [x[0, 0, begin:end].max() for begin, end, _ in spans] == expected.tolist()
    means = F.avg_pool1d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=counts)[0, 0]
    ours = torch.stack([x[0, 0, begin:end].sum() / counted for begin, end, counted in spans])
    torch.testing.assert_close(ours, means, rtol=1e-5, atol=1e-6)
