"""The lists of pixels against torch's own operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tilewise.engine import windows


@given(st.integers(1, 30), st.integers(1, 30))
def test_adaptive_spans(size: int, out: int) -> None:
    x = torch.randn(1, 1, size)
    spans = windows.adaptive_spans(size, out)
    expected = F.adaptive_max_pool1d(x, out)[0, 0]
    assert [x[0, 0, begin:end].max() for begin, end in spans] == expected.tolist()


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.booleans())
def test_pool_spans(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> None:
    padding = min(padding, kernel // 2)
    if size + 2 * padding < kernel:
        return
    x = torch.randn(1, 1, size)
    expected = F.max_pool1d(x, kernel, stride, padding, ceil_mode=ceil)[0, 0]
    spans = windows.pool_spans(size, len(expected), kernel, stride, padding)
    assert [x[0, 0, begin:end].max() for begin, end in spans] == expected.tolist()


@pytest.mark.parametrize("align_corners", [True, False])
@given(st.integers(1, 20), st.integers(1, 50), st.booleans())
def test_interpolation(align_corners: bool, size: int, out: int, by_factor: bool) -> None:
    if size == out:
        return  # torch copies, whatever the factor
    x = torch.randn(1, 1, 1, size)
    scale = (out + 0.3) / size if by_factor else None
    mode = {"mode": "bilinear", "align_corners": align_corners}
    if scale is None:
        expected = F.interpolate(x, size=(1, out), **mode)  # type: ignore[arg-type]
    else:
        expected = F.interpolate(x, scale_factor=(1.0, scale), **mode)  # type: ignore[arg-type]
        assert expected.shape[3] == out
    pixels, weight = windows.interpolated(size, out, scale, align_corners=align_corners)
    low, high = pixels.T
    values = x[0, 0, 0].numpy()
    np.testing.assert_allclose((1 - weight) * values[low] + weight * values[high], expected[0, 0, 0], atol=1e-5)


@given(st.integers(1, 9), st.integers(1, 4))
def test_repetition_and_padding(size: int, factor: int) -> None:
    x = torch.arange(size, dtype=torch.float32)
    expected = F.interpolate(x[None, None], scale_factor=factor)[0, 0]
    assert windows.repeated(size, factor).tolist() == expected.tolist()
    assert windows.padded(size, 1, 2).tolist() == [-1, *range(size), -1, -1]
