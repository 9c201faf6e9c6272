from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tilewise.quant import QUANTIZERS, QuantGrid
from tilewise.quant.fake import Range, multiplier, quantize
from tilewise.quant.grid import float32
from tilewise.quant.quantizer import MULTIPLIER_BITS, fraction_bits
from tilewise.quant.rounding import round_half_up, round_half_up_

TAP, PAPER = QUANTIZERS["tap"], QUANTIZERS["paper"]


def test_the_rounding_rule() -> None:
    x = torch.tensor([-1.5, -0.5, -0.49, 0.49, 0.5, 1.5, 2.5])
    assert round_half_up(x.numpy()).tolist() == round_half_up_(x).tolist() == [-1, 0, 0, 0, 1, 2, 3]


@given(st.integers(-(2**20), 2**20), st.integers(1, 2**15 - 1))
def test_float32_requantization_equals_integer_arithmetic(v: int, mult: int) -> None:
    """Wherever the result lies on the 8-bit grid, V * mult / 2**15 and its rounding are exact in float32."""
    check_requantization(v, mult)


def check_requantization(v: int, mult: int) -> None:
    rounded = round_half_up_(torch.tensor(float(v)) * (torch.tensor(float(mult)) / 2**15)).clamp(-127, 127)
    assert int(rounded) == max(-127, min(127, (v * mult + 2**14) >> 15))


@given(st.integers(-256, 255), st.integers(0, 2**15 - 1), st.integers(1, 2**15 - 1))
def test_ties_are_exact(whole: int, part: int, mult: int) -> None:
    """The same on values built to lie next to a tie."""
    v = ((whole << 15) + (1 << 14) + part % 3 - 1) // mult
    check_requantization(v, mult)


@given(st.floats(1e-9, 1e3), st.sampled_from([15, 18, 24]))
def test_multiplier_is_the_largest_fixed_point_number_below(ratio: float, bits: int) -> None:
    value = float(multiplier(torch.tensor(ratio, dtype=torch.float64), bits))
    mult = value * 2**bits
    assert mult == int(mult)
    assert 1 <= mult <= 2**MULTIPLIER_BITS - 1
    wanted = math.floor(Fraction(ratio) * 2**bits)
    assert mult == min(max(wanted, 1), 2**MULTIPLIER_BITS - 1)


def test_fraction_bits_keep_small_growth_at_15() -> None:
    assert fraction_bits(98 * 255) == 15
    assert fraction_bits(1412 * 255) == 15
    assert fraction_bits(1201250 * 255) > 15


@given(st.integers(2, 16), st.sampled_from([TAP, PAPER]), st.booleans())
def test_grid_covers_the_range(bits: int, quantizer: object, negative: bool) -> None:
    r = Range((), quantizer, bits)  # type: ignore[arg-type]
    low = -2.0 if negative else 0.0
    r.observe(torch.tensor([low, 3.0]), running=True)
    step, smallest, largest = r.grid()
    assert float(step) * (float(largest) + 0.5) * (1 + 1e-6) >= 3.0
    unsigned = quantizer is TAP and not negative
    assert (float(smallest), float(largest)) == ((0, 2**bits - 1) if unsigned else r.quantizer.limits(bits))


@given(st.integers(2, 16), st.floats(-4, 1, width=32), st.floats(2**-10, 4, width=32))
def test_grid_of_one_side_begins_at_the_smallest_value(bits: int, low: float, high: float) -> None:
    r = Range((), TAP, bits)
    r.observe(torch.tensor([low, high]), running=True)
    step, smallest, largest = (float(number) for number in r.grid())
    assert (step, smallest, largest) == (r.numbers().step, r.numbers().low, r.numbers().high)
    assert smallest <= 0 <= largest
    if -high / 2 <= low < 0 and bits <= 8:  # both ends are on it, and one step more at most
        assert largest - smallest == 2**bits - 1
        assert step * smallest * (1 + 1e-6) <= low
        assert high <= step * largest * (1 + 1e-6)
        assert step == pytest.approx((high - low) / (2**bits - 2))
    elif low < 0:
        assert (smallest, largest) == TAP.limits(bits)
    else:
        assert (smallest, largest) == (0, 2**bits - 1)


def test_the_smallest_value_runs_as_the_largest_does() -> None:
    r = Range((), TAP, 8)
    r.observe(torch.tensor([-0.25, 4.0]), running=True)
    r.observe(torch.tensor([-0.5, 4.0]), running=True)
    torch.testing.assert_close(r.lowest, torch.tensor(-0.25 - 0.05 * 0.25))
    r.observe(torch.tensor([-1.0, 1.0]), running=False)
    assert (float(r.lowest), float(r.absmax)) == (-1, 4)


def test_a_range_saved_before_the_smallest_value_was_has_the_grid_that_it_had() -> None:
    old, new = Range((), TAP, 8), Range((), TAP, 8)
    old.observe(torch.tensor([-0.25, 4.0]), running=True)
    state = old.state_dict()
    del state["lowest"]
    new.load_state_dict(state)
    assert new.numbers() == QuantGrid.of_step(float32(4 / 127), -127, 127)


def test_running_range_starts_with_the_first_batch_and_moves_by_momentum() -> None:
    r = Range((), PAPER, 8)
    assert not r.ready
    r.observe(torch.tensor([-4.0, 1.0]), running=True)
    assert (float(r.absmax), r.ready) == (4, True)
    r.observe(torch.tensor([0.0, 14.0]), running=True)
    torch.testing.assert_close(r.absmax, torch.tensor(4 + 0.01 * 10))
    r.observe(torch.tensor([5.0]), running=False)
    assert float(r.absmax) == 5
    r.reset()
    assert (float(r.absmax), r.ready) == (0, False)


def test_ready_follows_a_loaded_state() -> None:
    seen, fresh = Range((), TAP, 8), Range((), TAP, 8)
    seen.observe(torch.ones(3), running=True)
    assert not fresh.ready
    fresh.load_state_dict(seen.state_dict())
    assert fresh.ready


def test_an_empty_tensor_changes_no_range_and_zeros_give_a_usable_step() -> None:
    r = Range((), TAP, 8)
    r.observe(torch.empty(0), running=True)
    assert not r.ready
    r.observe(torch.zeros(3), running=True)
    step, low, high = r.grid()
    q = quantize(torch.zeros(3), step, low, high, clip_gradient=True)
    assert q.tolist() == [0, 0, 0]


def test_gradient_passes_straight_through_and_stops_at_the_ends_if_clipping() -> None:
    limits = torch.tensor(-127.0), torch.tensor(127.0)
    for clip, beyond in ((True, 0.0), (False, 2.0)):
        x = torch.tensor([-9999.0, -3.2, 0.0, 5.7, 9999.0], requires_grad=True)
        q = quantize(x, torch.tensor(0.5), *limits, clip_gradient=clip)
        assert q.tolist() == [-127, -6, 0, 11, 127]
        q.sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [beyond, 2, 2, 2, beyond]
