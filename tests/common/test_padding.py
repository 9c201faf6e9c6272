from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tilewise.common.padding import padding_of


@pytest.mark.parametrize("padding", ["same", "valid", 2, (0, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_padding_in_numbers_is_torchs(padding: Any, kernel: tuple[int, int], dilation: Any) -> None:
    conv = nn.Conv2d(1, 1, kernel, padding=padding, dilation=dilation)
    same = nn.Conv2d(1, 1, kernel, padding=padding_of(conv), dilation=dilation)
    same.load_state_dict(conv.state_dict())
    x = torch.randn(1, 1, 13, 14)
    assert torch.equal(conv(x), same(x))
