"""The one rounding rule: to the nearest integer, halves towards plus infinity; and a root that is rounded once.

The kernels write it ``floor_to_int(v + 0.5F)`` (native/kernels/sets) and, where the result stays float,
``rounded_down(v + 0.5F)``; the reference writes ``std::floor(v + 0.5F)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

F = TypeVar("F", bound=np.floating[Any])


def round_half_up(x: NDArray[F]) -> NDArray[F]:
    """Return an array rounded."""
    rounded: NDArray[F] = np.floor(x + 0.5)
    return rounded


def round_half_up_(x: Tensor) -> Tensor:
    """Round a tensor in place, and return it."""
    return x.add_(0.5).floor_()


def root(x: Tensor) -> Tensor:
    """Return the nearest float32 to the square root, on every processor.

    Torch's own function of float32 is a last bit off for one number in six on AMD's. The root of a float32 lies further
    from every tie than a float64 root is off.
    """
    return x.double().sqrt().to(x.dtype)
