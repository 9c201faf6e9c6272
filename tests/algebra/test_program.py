"""Programs compute their matrices, with fewer additions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.algebra import algorithm
from tilewise.algebra.program import UNROLLED, program

ROWS = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(-9, 9), min_size=width, max_size=width).filter(any), min_size=1, max_size=6
    )
)


@given(ROWS)
def test_a_program_computes_its_matrix(matrix: list[list[int]]) -> None:
    found = program(matrix)
    assert found.matrix() == matrix
    assert found == program(matrix)
    assert found.additions <= sum(sum(map(bool, row)) - 1 for row in matrix)
    for k, step in enumerate(found.steps):
        assert step
        assert all(coefficient != 0 and number < found.inputs + k for coefficient, number in step)


@pytest.mark.parametrize(("name", "r", "stride"), UNROLLED)
def test_named_transforms_share_subexpressions(name: str, r: int, stride: int) -> None:
    found = algorithm(name, r, stride)
    for matrix in (found.BT, found.AT):
        assert program([[int(x) for x in row] for row in matrix]).matrix() == [list(row) for row in matrix]


def test_points_of_opposite_sign_share_half_of_their_work() -> None:
    bt = [[int(x) for x in row] for row in algorithm("F6", 3).BT]
    assert program(bt).additions == 24
    assert sum(sum(map(bool, row)) - 1 for row in bt) == 36


@pytest.mark.parametrize("matrix", [[], [[0, 0]], [[1, 2], [0, 0]]])
def test_nothing_to_add_is_refused(matrix: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="row of zeros"):
        program(matrix)
