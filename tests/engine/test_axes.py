"""Tensors whose axes are others than (N, C, H, W): permuted, flattened, split; with the channels last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.axes import Axes, of_image, reshaped, shape_of
from tilewise.engine.compiler import Simulation


class Net(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.stem, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.wide, self.narrow, self.last = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(12, 5)
        self.flat, self.norm = nn.Linear(12 * 30, 5), nn.BatchNorm2d(8)
        self.vectors = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, F.relu(self.stem(x)))


def block(n: Any, x: Tensor) -> Tensor:
    y = n.narrow(F.relu(n.wide(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
    return n.head(x + n.norm(y))


def heads(n: Any, x: Tensor) -> Any:
    boxes = n.head(x).permute(0, 2, 3, 1).contiguous()
    return {"boxes": boxes.view(len(boxes), -1, 4), "map": boxes, "5d": n.head(x).view(len(x), 3, 4, *x.shape[2:])}


def tokens(n: Any, x: Tensor) -> Any:
    y = n.narrow(F.relu(n.wide(x.flatten(2).transpose(1, 2)))).mT
    return n.head(n.vectors(y).view(x.shape)), y


def vectors(n: Any, x: Tensor) -> Any:
    mean = n.head(x).mean((2, 3))
    return mean, n.last(mean), n.last(mean).unsqueeze(1), n.last(mean)[:, None, :, None], x.flatten(2), x.movedim(1, 3)


CASES = {"block": block, "heads": heads, "tokens": tokens, "vectors": vectors}


def outputs(found: Any) -> dict[str, Tensor]:
    return found if isinstance(found, dict) else {"output": found}


def calibrated(function: Callable[[Any, Tensor], Any]) -> nn.Module:
    torch.manual_seed(0)
    return tw.calibrate(tw.convert(Net(function).eval(), {"*": tw.Direct()}), [torch.randn(2, 3, 6, 5)])


@pytest.mark.parametrize("name", CASES)
def test_the_engine_is_the_simulation_at_any_size(name: str, interpret: Any) -> None:
    model = calibrated(CASES[name])
    engine = tw.compile(model, torch.zeros(1, 3, 6, 5))
    for size in ((6, 5), (4, 7)):
        x = torch.randn(2, 3, *size)
        expected, found, slow = (
            outputs(Simulation(model, x)(x)),
            outputs(engine(x)),
            interpret(engine.program)(x.numpy()),
        )
        shapes = engine.prepare(tuple(x.shape))
        for output, y in outputs(slow).items():
            np.testing.assert_array_equal(found[output], expected[output])
            np.testing.assert_array_equal(found[output], y)
            assert shapes[output] == tuple(expected[output].shape)


def test_a_layer_reads_a_flattened_map_with_the_channels_last() -> None:
    model = calibrated(lambda n, x: n.flat(n.head(x).permute(0, 2, 3, 1).flatten(1)))
    x = torch.randn(2, 3, 6, 5)
    np.testing.assert_array_equal(tw.compile(model, x)(x), Simulation(model, x)(x))
    assert torch.allclose(model(x), tw.compile(model, x)(x), atol=1e-5)


def test_views_cost_nothing() -> None:
    program = tw.compile(calibrated(block), torch.zeros(1, 3, 6, 5)).program
    assert [operation["op"] for operation in program.operations].count("eltwise") <= 1
    assert {operation["op"] for operation in program.operations} <= {"input", "direct", "eltwise", "output"}


def test_the_callers_layout_leaves_the_models_axes_alone() -> None:
    engine = tw.compile(calibrated(heads), torch.zeros(1, 3, 6, 5))
    x = torch.randn(2, 3, 6, 5)
    last, first = engine(x.permute(0, 2, 3, 1), layout="NHWC"), engine(x)
    for name, y in first.items():
        np.testing.assert_array_equal(last[name], y)


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, int, int], list[Any]]:
    """An image, and what is done to it: a shape, or an order of the axes."""
    chw = draw(st.tuples(*[st.sampled_from([1, 2, 3, 4, 6, 12])] * 3))
    shape, steps = list(chw), []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            order = draw(st.permutations(range(len(shape))))
            steps.append(("permute", order))
            shape = [shape[axis] for axis in order]
        elif draw(st.booleans()) and len(shape) > 1:
            first = draw(st.integers(0, len(shape) - 2))
            shape[first : first + 2] = [shape[first] * shape[first + 1]]
            steps.append(("reshape", list(shape)))
        else:
            axis = draw(st.integers(0, len(shape) - 1))
            factor = draw(st.sampled_from([f for f in range(1, shape[axis] + 1) if shape[axis] % f == 0]))
            shape[axis : axis + 1] = [factor, shape[axis] // factor]
            steps.append(("reshape", list(shape)))
    return chw, steps


def numbers(chw: tuple[int, int, int], axes: Axes) -> Tensor:
    """The flat position in the image of each entry of a tensor with these axes."""
    worth = (chw[1] * chw[2], chw[2], 1)
    found = torch.zeros(1, dtype=torch.long)
    for digit in (digit for axis in axes for digit in axis):
        found = found[..., None] + torch.arange(digit.size) * digit.step * worth[digit.base]
    return found.reshape(shape_of(axes))


@given(views())
def test_digits_say_where_each_number_lies(view: Any) -> None:
    chw, steps = view
    axes, expected = of_image(chw), torch.arange(chw[0] * chw[1] * chw[2]).view(chw)
    for kind, numbers_of in steps:
        if kind == "permute":
            axes, expected = tuple(axes[axis] for axis in numbers_of), expected.permute(numbers_of)
            continue
        found = reshaped(axes, numbers_of)
        if found is None:  # an axis would cut through a digit, as 6 = 3 * 2 viewed as (2, 3)
            return
        axes, expected = found, expected.reshape(numbers_of)
        assert torch.equal(numbers(chw, axes), expected)
