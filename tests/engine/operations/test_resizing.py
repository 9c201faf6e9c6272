"""The pixels and weights of interpolation against torch's own operation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tilewise.engine.operations.resizing import interpolated


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
    pixels, weight = interpolated(size, out, scale, align_corners=align_corners)
    low, high = pixels.T
    values = x[0, 0, 0].numpy()
    np.testing.assert_allclose((1 - weight) * values[low] + weight * values[high], expected[0, 0, 0], atol=1e-5)
