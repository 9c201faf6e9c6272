"""Normalisation over processes, in one: the same as torch's. test_parallel.py has two."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tilewise.common.processes import ALONE
from tilewise.nn.synchronized import normalize_over


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm2d(5), (3, 5, 4, 6)),
        (nn.BatchNorm2d(5, affine=False, momentum=None), (3, 5, 1, 1)),
        (nn.BatchNorm1d(5, eps=0.1, momentum=0.3), (7, 5)),
        (nn.BatchNorm3d(2, track_running_stats=False), (2, 2, 3, 2, 2)),
    ],
)
def test_alone_it_is_torchs_batch_norm(norm: nn.Module, shape: tuple[int, ...]) -> None:
    norm = norm.double()
    for parameter in norm.parameters():
        nn.init.uniform_(parameter, 0.5, 2)
    ours, theirs = copy.deepcopy(norm), norm
    for _ in range(3):
        x = (torch.randn(shape, dtype=torch.float64) * 3 + 100).requires_grad_()
        again = x.detach().clone().requires_grad_()
        y, wanted = normalize_over(ALONE, ours, x), theirs(again)
        weights = torch.randn_like(y)
        (y * weights).sum().backward()
        (wanted * weights).sum().backward()
        torch.testing.assert_close(y, wanted)
        torch.testing.assert_close(x.grad, again.grad)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
