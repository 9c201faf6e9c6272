"""Which image a report shows."""

from __future__ import annotations

import torch

from tilewise.optimization.pictures import liveliest


def test_the_image_that_varies_most_is_shown() -> None:
    dark, plain, lively = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    assert torch.equal(liveliest([torch.cat([dark, lively]), plain]), lively)
