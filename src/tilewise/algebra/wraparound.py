"""Exact integer convolution from 16-bit factors and 32-bit sums that wrap around.

Sums of integers modulo ``2**32`` need no care for overflow: they are right modulo ``2**32`` however large the true
sums are, as long as both factors of every product are right. So a bilinear algorithm whose ``V`` and ``U`` fit 16 bits
gives ``D**2 * y mod 2**32`` with plain 16-bit dot products, ``D`` being the common denominator of its integer form. The
odd part of ``D**2`` is undone by its inverse modulo ``2**32``, its power of two ``2**shift`` by an arithmetic shift,
which is exact while ``y`` lies in an interval of ``2**(32 - shift)`` integers. No sum is ever reduced or too large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from tilewise.algebra.bilinear import rational_matrix
from tilewise.algebra.catalogue import Algorithm
from tilewise.algebra.planar import Planar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORD = 32
"""Bits of a sum."""
FACTOR = 16
"""Bits of a factor, V or U."""

Integers = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Wraparound:
    """Recipe of a two-dimensional exact convolution; made by :func:`wraparound`, which proves it.

    ``Z = A^T [ (G g G^T) * (B^T d B) ] A mod 2**32``, then
    ``y = (Z * inverse mod 2**32, as a signed number) >> shift``.

    Parameters
    ----------
    algorithm : Bilinear or Planar
        Where the matrices come from; those of a planar one stand for whole tiles.
    AT, G, BT : matrices of int
        ``A^T G B`` is ``D`` times the convolution's identity; ``B^T`` has primitive rows.
    denominator : int
        ``D``, per dimension; of a planar algorithm ``D**2``, which is all that it has.
    v_extremes, u_extreme : (int, int), int
        Smallest and largest V, and largest ``|U|``, that any input and any 8-bit weights can give.
    """

    algorithm: Algorithm
    AT: Integers
    G: Integers
    BT: Integers
    denominator: int
    v_extremes: tuple[int, int]
    u_extreme: int

    @property
    def whole_denominator(self) -> int:
        """``D**2``."""
        return self.denominator if isinstance(self.algorithm, Planar) else self.denominator**2

    @property
    def shift(self) -> int:
        """Power of two in ``D**2``."""
        return (self.whole_denominator & -self.whole_denominator).bit_length() - 1

    @property
    def inverse(self) -> int:
        """Inverse modulo ``2**32`` of the odd part of ``D**2``."""
        return pow(self.whole_denominator >> self.shift, -1, 1 << WORD)

    @property
    def capacity(self) -> int:
        """Largest ``highest - lowest`` of the sums of a layer that come back exactly (with the right bias)."""
        return (1 << WORD - self.shift) - 1

    def verify(self) -> Wraparound:
        """Prove the recipe in integers; return self.

        Raises
        ------
        ValueError
            With the first output, filter tap and input at which it fails.
        """
        if isinstance(self.algorithm, Planar):
            over = tuple(tuple(Fraction(x, self.denominator) for x in row) for row in self.G)
            at, bt = rational_matrix(self.AT), rational_matrix(self.BT)
            replace(self.algorithm, AT=at, G=over, BT=bt, factors=None).verify()
            return self
        for i, column in enumerate(self.AT):
            for k in range(self.algorithm.r):
                for j in range(self.algorithm.tile):
                    terms = zip(column, self.G, self.BT, strict=True)
                    value = sum(a * g[k] * b[j] for a, g, b in terms)
                    if value != self.denominator * (j == i + k):
                        raise ValueError(
                            f"{self.algorithm.name} modulo 2^{WORD} is not {self.denominator} times a convolution: "
                            f"output {i}, filter tap {k}, input {j} has the factor {value}"
                        )
        if self.whole_denominator * self.inverse % 2**WORD != 2**self.shift:
            raise ValueError(f"{self.inverse} does not undo the odd part of {self.whole_denominator}")
        return self

    def bias(self, lowest: int, highest: int) -> int:
        """Return what a sum from ``lowest`` to ``highest`` loses before the shift, and gets back after it.

        It is 0 where the sums fit as they are.

        Raises
        ------
        ValueError
            If no bias makes them fit, with the bound.
        """
        if highest - lowest > self.capacity:
            raise ValueError(
                f"sums from {lowest} to {highest} need {highest - lowest + 1} values; {self.algorithm.name} gives "
                f"{self.capacity + 1} (2^{WORD - self.shift}) exactly"
            )
        half = (self.capacity + 1) // 2
        return 0 if -half <= lowest and highest < half else (lowest + highest + 1) // 2

    @cached_property
    def parts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """``A^T``, ``G`` and ``B^T`` as arrays."""
        import numpy as np

        return np.array(self.AT), np.array(self.G), np.array(self.BT)

    def transform_weights(self, weight: NDArray[np.integer]) -> NDArray[np.int16]:
        """``U = G g G^T`` of integer weights (K, C, r, r), shape (n, n, K, C) or, of a planar algorithm, (n, K, C)."""
        import numpy as np

        _, g, _ = self.parts
        whole = weight.astype(np.int64)
        if isinstance(self.algorithm, Planar):
            u = np.einsum("nx,kcx->nkc", g, whole.reshape(*whole.shape[:2], -1))
        else:
            u = np.einsum("ax,kcxy,by->abkc", g, whole, g)
        if np.abs(u).max(initial=0) >= 2 ** (FACTOR - 1):
            raise ValueError(f"weights reach {np.abs(weight).max()}; {self.algorithm.name} allows 8 bits, -127 to 127")
        return np.asarray(u, np.int16)

    def simulate(self, tile: NDArray[np.integer], weight: NDArray[np.integer], bias: int = 0) -> NDArray[np.int64]:
        """Convolve one tile just as a kernel does: int16 factors, int32 sums that wrap around.

        Parameters
        ----------
        tile : integers of shape (C, t, t)
            Within the limits that the recipe was made for.
        weight : integers of shape (K, C, r, r)
            -127 to 127.
        bias : int
            Of :meth:`bias`.

        Returns
        -------
        int64 array of shape (K, m, m)
            The exact sums, if they keep to the interval that the bias was made for.
        """
        import numpy as np

        at, bt = (self._of_tiles(part) for part in self.parts[::2])
        v = np.einsum("nx,cx->nc", bt, tile.astype(np.int64).reshape(len(tile), -1))
        v16, u16 = v.astype(np.int16), self.transform_weights(weight)
        assert (v16 == v).all(), "V leaves 16 bits"
        u32 = u16.reshape(-1, *weight.shape[:2]).astype(np.int32)
        product = np.einsum("nkc,nc->nk", u32, v16.astype(np.int32))
        sums = np.einsum("in,nk->ki", at.astype(np.int32), product)
        z = sums.reshape(-1, self.algorithm.m, self.algorithm.m) * np.uint32(self.inverse).astype(np.int32)
        back = (z - np.uint32((bias << self.shift) % 2**WORD).astype(np.int32)) >> np.int32(self.shift)
        return np.asarray(back.astype(np.int64) + bias)

    def _of_tiles(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a matrix of rows and columns as one of whole tiles."""
        import numpy as np

        return matrix if isinstance(self.algorithm, Planar) else np.kron(matrix, matrix)


def wraparound(algorithm: Algorithm, low: int = -127, high: int = 127, weight: int = 127) -> Wraparound:
    """Turn an algorithm into an exact integer convolution by wrapping sums, and prove it.

    ``B^T`` takes its primitive integer rows. The factors that make up for it go into ``G`` as far as ``U`` keeps to
    16 bits for every possible weight, and into ``A^T`` otherwise.

    Parameters
    ----------
    algorithm : Bilinear or Planar
        Any; points of small growth serve best.
    low, high : int
        Smallest and largest input, ``low <= 0 <= high``.
    weight : int
        Largest absolute weight.

    Raises
    ------
    ValueError
        If V or U can leave 16 bits, with the bound and what is allowed.
    """
    if not low <= 0 <= high or weight < 1:
        raise ValueError(f"inputs from {low} to {high}, weights up to {weight}; 0 must lie within, weights be positive")
    form = algorithm.integer()
    power = 1 if isinstance(algorithm, Planar) else 2
    lowest, highest = _extremes(form.BT, low, high, power)
    if max(-lowest - 1, highest) >= 2 ** (FACTOR - 1):
        raise ValueError(
            f"V of {algorithm.name} reaches from {lowest} to {highest} on inputs from {low} to {high}; allowed: "
            f"{-(2 ** (FACTOR - 1))} to {2 ** (FACTOR - 1) - 1}, {FACTOR} bits"
        )
    norms = [sum(map(abs, row)) for row in form.G]
    limit = 2 ** (FACTOR - 1) - 1
    if max(norms) ** power * weight > limit:
        raise ValueError(
            f"U of {algorithm.name} grows by {max(norms) ** power}: weights up to {weight} leave {FACTOR} bits; "
            f"allowed: growth up to {limit // weight}"
        )
    denominator = form.denominator
    wanted = [int(s * denominator) for s in form.scale]
    absorbed = _absorbed(wanted, norms, limit // weight, power)
    at = tuple(tuple(a * w // u for a, w, u in zip(row, wanted, absorbed, strict=True)) for row in form.AT)
    g = tuple(tuple(u * x for x in row) for u, row in zip(absorbed, form.G, strict=True))
    reach = weight * max(sum(map(abs, row)) for row in g) ** power
    return Wraparound(algorithm, at, g, form.BT, denominator, (lowest, highest), reach).verify()


def _extremes(bt: Integers, low: int, high: int, power: int) -> tuple[int, int]:
    """Smallest and largest entry of ``B^T d B`` (``power`` 1: ``B^T d``) over all integer tiles between two limits."""
    signs = [(sum(x for x in row if x > 0), -sum(x for x in row if x < 0)) for row in bt]
    others = signs if power > 1 else [(1, 0)]
    positive = [(p * q + n * k, p * k + n * q) for p, n in signs for q, k in others]
    return min(p * low - n * high for p, n in positive), max(p * high - n * low for p, n in positive)


def _absorbed(wanted: Sequence[int], norms: Sequence[int], limit: int, power: int) -> list[int]:
    """Return the divisor of each wanted factor that ``G`` takes, as large as every pair of rows allows.

    ``|u_i u_j| norms[i] norms[j] <= limit`` for all i, j, so for the largest row with itself; ``power`` 1: for each row
    by itself. Where it is too large,
    that row's factor gives up its smallest prime: mostly a two, which is a shift in ``A^T``.
    """
    absorbed = list(wanted)
    while True:
        largest = max(range(len(wanted)), key=lambda i: abs(absorbed[i]) * norms[i])
        if (absorbed[largest] * norms[largest]) ** power <= limit:
            return absorbed
        absorbed[largest] //= _smallest_prime(abs(absorbed[largest]))


def _smallest_prime(number: int) -> int:
    return next((p for p in range(2, math.isqrt(number) + 1) if number % p == 0), number)
