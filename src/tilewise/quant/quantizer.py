"""The two quantizers as data: what the 2020 paper's code does, and what works best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tilewise.algebra import Algorithm

FLOAT_BITS = 32
"""The bit width that means: not quantized."""

SPEC_VERSION = 1
"""Version of the JSON form of specs."""

MULTIPLIER_BITS = 15
"""Requantization multiplies by an integer ``1 <= mult <= 2**15 - 1`` and shifts right by ``fraction_bits``."""


def largest_v(algorithm: Algorithm, bits: int) -> int:
    """Largest integer that V can take, by the algorithm's growth, for signed or unsigned inputs of ``bits``."""
    half: int = 2 ** (bits - 1)
    return math.ceil(max(algorithm.growth.input * half, algorithm.growth.non_negative_input * 2 * half))


def fraction_bits(v_max: int) -> int:
    """Right shift of the requantization of V, from the largest value that V can take.

    15 as long as V has at most 20 bits: one int16 multiply-high where V fits 16 bits, and exact in float32. Algorithms
    of larger growth shift further, so that the multiplier keeps at least about 10 significant bits.
    """
    return max(MULTIPLIER_BITS, v_max.bit_length() - 5)


TRANSFORM_ROW_SUM = 255
"""The absolute integers of a row of a learned ``B^T`` sum to at most this: see :func:`transform_bits`."""

TRANSFORM_ENTRY = 127
"""Largest absolute integer of a learned ``B^T``."""


def transform_bits(bt: Sequence[Sequence[Fraction]]) -> int | None:
    """Fraction bits of the grid that a learned ``B^T`` lies on, from the algorithm's own integers.

    As many as keep V exact: one half of the transform of 8-bit images in int16, all of it within 24 bits. None if even
    the algorithm's own integers leave that bound; then learned transforms stay float.
    """
    row_sum = max(sum(abs(x) for x in row) for row in bt)
    entry = max(abs(x) for row in bt for x in row)
    room = TRANSFORM_ROW_SUM - Fraction(len(bt[0]), 2)  # rounding moves each entry by up to one half
    fitting = [f for f in range(7) if row_sum * 2**f <= room and entry * 2**f <= TRANSFORM_ENTRY]
    return max(fitting, default=None)


@dataclass(frozen=True, kw_only=True)
class Quantizer:
    """Rules by which a layer turns real numbers into integers.

    Parameters
    ----------
    name : str
        As specs call it.
    asymmetric_limits : bool
        Whether the grid uses ``-2**(b-1)`` too, with the step ``max / (2**(b-1) - 0.5)``; else it is
        ``+-(2**(b-1) - 1)``, unsigned for inputs that were never negative, and lopsided for bytes that mostly were not.
    clip_gradient : bool
        Whether values beyond the grid get no gradient (else straight through everywhere).
    momentum : float
        Weight of the newest batch in a running range.
    measures_first : bool
        Whether a training batch is measured before it is quantized; else its range is that of the batches before.
    quantizes_all_stages : bool
        Whether weights before their transform, the transform matrices, ``M`` and the layer's output are quantized
        too, all per tensor (:class:`tilewise.nn.policy.AllStagesPolicy`).
    """

    name: str
    asymmetric_limits: bool
    clip_gradient: bool
    momentum: float
    measures_first: bool
    quantizes_all_stages: bool

    def limits(self, bits: int) -> tuple[int, int]:
        """Smallest and largest integer of the signed grid."""
        half = 2 ** (bits - 1)
        return (-half if self.asymmetric_limits else 1 - half), half - 1

    def steps(self, bits: int) -> float:
        """Number of steps from zero to the end of the range."""
        half: int = 2 ** (bits - 1)
        return half - (0.5 if self.asymmetric_limits else 1)


QUANTIZERS = {
    # The code released with Fernandez-Marques et al., MLSys 2020 (docs/contracts/numbers.md lists each tensor).
    "paper": Quantizer(
        name="paper", asymmetric_limits=True, clip_gradient=False, momentum=0.01, measures_first=True,
        quantizes_all_stages=True,
    ),
    "tap": Quantizer(
        name="tap", asymmetric_limits=False, clip_gradient=True, momentum=0.05, measures_first=False,
        quantizes_all_stages=False,
    ),
}  # fmt: skip


def check_bits(bits: int, field: str = "bits") -> None:
    """Refuse bit widths outside 2..16 and 32.

    Raises
    ------
    ValueError
        Naming the field, the value and what is allowed.
    """
    whole = isinstance(bits, int) and not isinstance(bits, bool)
    if not whole or (bits != FLOAT_BITS and not 2 <= bits <= 16):
        raise ValueError(f"{field} is {bits}; allowed: 2 to 16, or {FLOAT_BITS} for float")
