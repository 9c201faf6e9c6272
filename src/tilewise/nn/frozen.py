"""A trained layer's numbers as arrays: what the engine is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from tilewise.quant import QuantGrid


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """What a layer computes with.

    Parameters
    ----------
    weight : array of int8, int16 (above 8 bits) or float32
        (K, kh, kw, C) of a direct convolution; U, (n*n, K, C), of a fast one.
    bias : float32 array of shape (K,)
        Zeros where the layer has none.
    grid : QuantGrid, optional
        Of the input; None for a float layer, which has no scale and no multiplier either.
    scale : float32 array of shape (K,) or (n*n, K), optional
        Real value of one step of the sums.
    mult : int32 array of shape (n*n, 1 or C), optional
        Multipliers of V, in units of ``2**-fraction_bits``.
    at, bt : float32 arrays, optional
        Transforms of a fast convolution.
    integer : bool
        Whether ``bt`` holds integers and V is computed exactly.
    v_limit, fraction_bits : int
        Largest requantized V; right shift after the multiplication by ``mult``.
    """

    weight: NDArray[Any]
    bias: NDArray[np.float32]
    grid: QuantGrid | None = None
    scale: NDArray[np.float32] | None = None
    mult: NDArray[np.int32] | None = None
    at: NDArray[np.float32] | None = None
    bt: NDArray[np.float32] | None = None
    integer: bool = False
    v_limit: int = 127
    fraction_bits: int = 15


def integer_type(bits: int) -> str:
    """Type of quantized weights."""
    return "int8" if bits <= 8 else "int16"


def array(x: Tensor | None, size: int = 0, dtype: DTypeLike = "float32") -> NDArray[Any]:
    """Return a tensor's values as a contiguous array; ``size`` zeros if there is none."""
    if x is None:
        return np.zeros(size, dtype)
    with torch.no_grad():
        return np.ascontiguousarray(x.detach().cpu().numpy().astype(dtype))
