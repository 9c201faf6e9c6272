"""Programs compute their matrices, with fewer additions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewise.algebra import Planar, algorithm
from tilewise.algebra.program import PLANAR, UNROLLED, output_program, program

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


@pytest.mark.parametrize(("name", "r"), PLANAR)
def test_factors_of_planar_transforms_take_fewer_additions(name: str, r: int) -> None:
    a = algorithm(name, r)
    assert isinstance(a, Planar)
    assert a.factors is not None
    found = output_program(a.factors)
    assert found.matrix() == [list(row) for row in a.AT]
    assert found.additions < {"SFC6-planar": 380, "SFC6-planar(7)": 470}[name]  # of the matrix as it is: 502 and 646


def test_points_of_opposite_sign_share_half_of_their_work() -> None:
    bt = [[int(x) for x in row] for row in algorithm("F6", 3).BT]
    assert program(bt).additions == 24
    assert sum(sum(map(bool, row)) - 1 for row in bt) == 36


@pytest.mark.parametrize("matrix", [[], [[0, 0]], [[1, 2], [0, 0]]])
def test_nothing_to_add_is_refused(matrix: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="row of zeros"):
        program(matrix)
