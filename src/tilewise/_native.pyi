# ruff: noqa: PYI021 - the docstrings of a compiled module have no other place where tools find them.
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Int16: TypeAlias = NDArray[np.int16]
_Int32: TypeAlias = NDArray[np.int32]
_Float32: TypeAlias = NDArray[np.float32]

def winograd_conv2d(
    x: _Int16,
    u: _Int16,
    bt: _Int32,
    mult: _Int32,
    at: _Float32,
    scale: _Float32,
    bias: _Float32 | None = None,
    padding: tuple[int, int] = (0, 0),
    v_limit: int = 127,
    fraction_bits: int = 15,
) -> tuple[_Int32, _Int16, _Int32, _Float32]:
    """Quantized Winograd convolution, the reference, with the result of every stage.

    This is the number contract in code (its equations are in ``native/kernels/winograd/reference.h``):
    integers are exact, floats are float32 in a fixed order, so every machine and implementation gives the
    same bits. It is written to be read, not to be fast. The GIL is released while it computes.

    Arrays must be C-contiguous and of exactly the given dtype; nothing is converted. The algorithm is
    bilinear with ``m`` outputs, ``n`` products and ``t`` inputs per dimension; its filters have
    ``r = t - m + 1`` taps.

    Parameters
    ----------
    x
        Image of shape (N, C, H, W), on any integer grid within int16.
    u
        Quantized transformed weights of shape (n*n, K, C).
    bt
        Input transform B^T of shape (n, t). The absolute values of a row sum to at most 2**23.
    mult
        Requantization multipliers of shape (n*n, 1) or (n*n, C); 1..32767 stand for
        ``mult / 2**fraction_bits``.
    at
        Output transform A^T of shape (m, n).
    scale
        Real value of one step of ``u * Vq``, of shape (n*n, 1) or (n*n, K).
    bias
        Of shape (K,).
    padding
        Rows of zeros above and below, columns of zeros left and right.
    v_limit
        ``Vq`` lies in ``[-v_limit, v_limit]``; 1..32767.
    fraction_bits
        Right shift after the multiplication by ``mult``; 15..31.

    Returns
    -------
    V
        Transformed image of shape (n*n, C, P), where P counts the tiles of m x m outputs: images,
        then rows, then columns.
    Vq
        ``V`` requantized: ``clip((V * mult + 2**(f - 1)) >> f, -v_limit, v_limit)`` with f = fraction_bits.
    M
        Sums over input channels of ``u * Vq``, of shape (n*n, K, P).
    Y
        Output of shape (N, K, H + 2*padding[0] - r + 1, W + 2*padding[1] - r + 1).

    Raises
    ------
    TypeError
        If an array has another dtype, number of dimensions or layout.
    ValueError
        If a size or value breaks the contract, or if a V or M does not fit int32.
    """
