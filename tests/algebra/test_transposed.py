"""Transposed convolutions in phases: the identity is proved, and is that of torch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from tilewise.algebra.transposed import phases


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 6), st.integers(1, 3))
def test_proved(kernel: int, stride: int, padding: int, dilation: int) -> None:
    found = phases(kernel, stride, padding, dilation)
    assert sorted(tap for row in found.taps for tap in row if tap >= 0) == list(range(kernel))
    assert found.before >= 0


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 4), st.integers(1, 2), st.integers(1, 6))
def test_one_axis_against_torch(kernel: int, stride: int, padding: int, dilation: int, extent: int) -> None:
    out = (extent - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
    assume(out > 0)
    x, w = torch.randn(extent).double(), torch.randn(kernel).double()
    expected = F.conv_transpose1d(x[None, None], w[None, None], None, stride, padding, dilation=dilation)[0, 0]
    form = phases(kernel, stride, padding, dilation)
    padded = F.pad(x, (form.before, form.after(extent, out)))
    weights = torch.tensor([[0.0 if tap < 0 else w[tap] for tap in row] for row in form.taps]).double()
    found = F.conv1d(padded[None, None], weights[:, None])[0].T.reshape(-1)[:out]
    torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-6, atol=1e-6)


def test_what_is_no_identity_is_refused() -> None:
    right = phases(4, 2, 1)
    for wrong in (
        dataclasses.replace(right, padding=0),
        dataclasses.replace(right, before=0),
        dataclasses.replace(right, taps=((3, 1, -1), (-1, 0, 2))),
        dataclasses.replace(right, taps=((3, 1, -1), (-1, 2))),
    ):
        with pytest.raises(ValueError, match="it must be"):
            wrong.verify()
    with pytest.raises(ValueError, match="stride is 0; it must be at least 1"):
        phases(3, 0)
