from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tilewise.common.processes import ALONE, Processes


@given(images=st.integers(0, 40), world=st.integers(1, 9))
def test_parts_are_the_batch_in_order_and_differ_by_one_at_most(images: int, world: int) -> None:
    batch = torch.arange(images)
    parts = [Processes(rank, world).part(batch) for rank in range(world)]
    assert torch.equal(torch.cat(parts), batch)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_alone_everything_is_as_it_was() -> None:
    x = torch.randn(3, requires_grad=True)
    x.grad = torch.ones(3)
    ALONE.sum_gradients([x])
    assert Processes.here() == ALONE
    assert ALONE.first
    assert (x.grad == 1).all()
    assert all(same is x for same in (ALONE.part(x), ALONE.sum(x), ALONE.maximum(x), ALONE.from_first(lambda: x)))
    assert ALONE.gather(x).shape == (1, 3)
