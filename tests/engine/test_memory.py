from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from tilewise.engine.memory import ALIGNMENT, Lifetime, arrange

lifetimes = st.builds(
    lambda size, first, length: Lifetime(size, first, first + length),
    st.integers(1, 5000), st.integers(0, 30), st.integers(0, 8),
)  # fmt: skip


@given(st.lists(lifetimes, max_size=40))
def test_no_two_live_tensors_overlap(tensors: list[Lifetime]) -> None:
    offsets, total = arrange(tensors)
    assert all(offset % ALIGNMENT == 0 and offset >= 0 for offset in offsets)
    assert all(offset + t.size <= total for offset, t in zip(offsets, tensors, strict=True))
    for (a, x), (b, y) in itertools.combinations(zip(offsets, tensors, strict=True), 2):
        assert not x.meets(y) or a + x.size <= b or b + y.size <= a


@given(st.lists(lifetimes, min_size=1, max_size=40))
def test_memory_is_used_again(tensors: list[Lifetime]) -> None:
    """Never more than all together, never less than what one step needs."""
    _, total = arrange(tensors)
    whole = [t._replace(size=-(-t.size // ALIGNMENT) * ALIGNMENT) for t in tensors]
    steps = range(max(t.last for t in tensors) + 1)
    assert total <= sum(t.size for t in whole)
    assert total >= max(sum(t.size for t in whole if t.first <= step <= t.last) for step in steps)


def test_a_chain_needs_two_tensors_at_a_time() -> None:
    chain = [Lifetime(640, i, i + 1) for i in range(20)]
    assert arrange(chain)[1] == 1280


def test_the_smallest_gap_that_holds_it_is_taken() -> None:
    tensors = [Lifetime(1024, 0, 9), Lifetime(512, 0, 1), Lifetime(448, 0, 9), Lifetime(192, 0, 1), Lifetime(128, 0, 9)]
    offsets, total = arrange([*tensors, Lifetime(120, 5, 6)])
    assert offsets == [0, 1024, 1536, 1984, 2176, 1984]
    assert total == 2304
    assert arrange([]) == ([], 0)
