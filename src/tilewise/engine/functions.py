"""Functions of one number that an operation can end with, as torch computes them to the engine's bits.

They are float32 arithmetic in one order, each step rounded on its own (docs/contracts/numbers.md); the native side has
the same in ``native/kernels/functions.h``, and the names in ``functions.inc``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from tilewise.quant.rounding import root

ONE, ROOT_OF_HALF = 0x3F800000, 0x3F3504F3
"""Bits of 1, and of 2^-0.5, in float32."""
SHIFT = 12582912.0
"""1.5 * 2^23: a sum with it is rounded to a whole number, which its lowest bits hold."""
EXPONENTIAL = (0.500000012, 0.166666655, 0.0416657959, 0.00833345205, 0.00139819994, 0.000198756912)
LOGARITHM = (0.333333343, 0.200000271, 0.14284198, 0.111507505, 0.0857392177, 0.108962052)
NORMAL = (
    5.7097041e-06, 0.11951226, 0.121746749, 0.0953563377, 0.14096719, -0.0742495805, 0.226697028, -0.168220103,
    0.0381844267,
)  # fmt: skip
ERROR = (1.12837911, -0.37612626, 0.112835981, -0.0268543363, 0.00518932054, -0.000801889459, 7.88252946e-05)
"""Coefficients of polynomials, the constant first."""


class Function(NamedTuple):
    """What a function computes, and whether 0 stays 0."""

    compute: Callable[[Tensor], Tensor]
    keeps_zero: bool


def polynomial(c: tuple[float, ...], x: Tensor) -> Tensor:
    """Return ``c[0] + c[1] x + ..``, from the last one on."""
    total = torch.full_like(x, c[-1])
    for coefficient in reversed(c[:-1]):
        total = total * x + coefficient
    return total


def exponential(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return 2^n and e^r - 1 of ``e^x = 2^n e^r``, where x is limited to -87 and 87."""
    x = x.clamp(-87, 87)
    shifted = x * 1.44269502 + SHIFT
    n = shifted - SHIFT
    r = (x - n * 0.693359375) - n * -0.000212194442
    power = ((shifted.view(torch.int32) + 127) << 23).view(torch.float32)
    return power, polynomial(EXPONENTIAL, r) * r * r + r


def exp(x: Tensor) -> Tensor:
    """Return e^x."""
    power, rest = exponential(x)
    return power * rest + power


def exp_less_one(x: Tensor) -> Tensor:
    """Return e^x - 1."""
    power, rest = exponential(x)
    return power * rest + (power - 1)


def sigmoid(x: Tensor) -> Tensor:
    """Return 1 / (1 + e^-x)."""
    return 1 / (exp(-x) + 1)


def elu(x: Tensor) -> Tensor:
    """Return x above 0, else e^x - 1."""
    return torch.where(x > 0, x, exp_less_one(x.clamp(max=0)))


def tanh(x: Tensor) -> Tensor:
    """Return ``u / (u + 2)`` with ``u = e^(2|x|) - 1``, and the sign of x."""
    u = exp_less_one((x.abs() * 2).clamp(max=20))
    positive = u / (u + 2)
    return torch.where(x < 0, -positive, positive)


def gated(x: Tensor, share: Tensor) -> Tensor:
    """Return x times a share that vanishes far below 0, where x is limited to stay a small number."""
    return x.clamp(min=-87) * share


def mish(x: Tensor) -> Tensor:
    """Return x times ``n / (n + 2)`` with ``n = e^x (e^x + 2)``."""
    power = exp(x.clamp(max=20))
    n = power * (power + 2)
    return gated(x, n / (n + 2))


def log_beyond_one(z: Tensor) -> Tensor:
    """Return log(1 + z), for z up to 1: twice the artanh of ``z / (z + 2)``."""
    w = z / (z + 2)
    v = w * w
    return (polynomial(LOGARITHM, v) * v * w + w) * 2


def softplus(x: Tensor) -> Tensor:
    """Return ``max(x, 0) + log(1 + e^-|x|)``."""
    return x.clamp(min=0) + log_beyond_one(exp(-x.abs()))


def log(x: Tensor) -> Tensor:
    """Return n log(2) + log(m) of ``x = 2^n m`` with m from 2^-0.5 to 2^0.5, where x is limited to normal numbers."""
    x = x.clamp(torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max)
    shifted = x.view(torch.int32) + (ONE - ROOT_OF_HALF)
    m = ((shifted & 0x7FFFFF) + ROOT_OF_HALF).view(torch.float32)
    n = (shifted >> 23).float() - 127
    return n * 0.693359375 + (n * -0.000212194442 + log_beyond_one(m - 1)) + (x - x)


def normal_beyond(a: Tensor) -> Tensor:
    """Return the share of the normal distribution beyond a, which is at least 0."""
    t = 1 / (a * 0.3 + 1)
    return exp(a * a * -0.5) * polynomial(NORMAL, t)


def gelu(x: Tensor) -> Tensor:
    """Return x times the share of the normal distribution below x."""
    beyond = normal_beyond(x.abs().clamp(max=12.5))
    return gated(x, torch.where(x > 0, 1 - beyond, beyond))


def erf(x: Tensor) -> Tensor:
    """Return the error function: up to 1 a polynomial, beyond what is left of 1."""
    a = x.abs()
    small = a.clamp(max=1)
    outer = 1 - normal_beyond(a.clamp(max=8) * 1.41421354) * 2
    positive = torch.where(a < 1, polynomial(ERROR, small * small) * small, outer)
    return torch.where(x < 0, -positive, positive)


def gelu_tanh(x: Tensor) -> Tensor:
    """Return GELU with the tanh for the normal distribution."""
    return gated(x, sigmoid(x * (x * x * 0.0713548163 + 1.59576912)))


FUNCTIONS: dict[str, Function] = {
    "abs": Function(torch.abs, True),
    "elu": Function(elu, True),
    "erf": Function(erf, True),
    "exp": Function(exp, False),
    "gelu": Function(gelu, True),
    "gelu_tanh": Function(gelu_tanh, True),
    "hardsigmoid": Function(lambda x: (x + 3).clamp(0, 6) / 6, False),
    "hardswish": Function(lambda x: x * (x + 3).clamp(0, 6) / 6, True),
    "log": Function(log, False),
    "mish": Function(mish, True),
    "reciprocal": Function(lambda x: 1 / x, False),
    "sigmoid": Function(sigmoid, False),
    "silu": Function(lambda x: gated(x, sigmoid(x)), True),
    "softplus": Function(softplus, False),
    "sqrt": Function(root, True),
    "square": Function(lambda x: x * x, True),
    "tanh": Function(tanh, True),
}
"""By the names that files have for them."""
