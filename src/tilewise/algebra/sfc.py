"""Symbolic Fourier convolution: a short cyclic DFT in small integers, plus correction products."""

from __future__ import annotations

from fractions import Fraction

from tilewise.algebra.bilinear import Bilinear

# A DFT of length N stays in integers when it is written with a root of unity w as a symbol and reduced by its
# minimal polynomial. For these lengths w is 1, -1 or quadratic, so a number is a pair p + q*w at most:
# frequency -> (order of w). The conjugate frequencies N - f follow from f and cost nothing.
FREQUENCIES = {
    3: {0: 1, 1: 3},
    4: {0: 1, 1: 4, 2: 2},
    6: {0: 1, 1: 6, 2: 3, 3: 2},
}

# order of w -> w**2 = a + b*w
SQUARE = {3: (-1, -1), 4: (-1, 0), 6: (-1, 1)}

# order of w -> 2 * real part of w**e, for e = 0 .. order - 1
DOUBLE_COSINE = {3: (2, -1, -1), 4: (2, 0, -2, 0), 6: (2, 1, -1, -2, -1, 1)}


def sfc(order: int, m: int, r: int) -> Bilinear:
    """Build the symbolic Fourier convolution SFC-order(m, r).

    A cyclic correlation of length N = ``order`` over N neighbouring inputs of the tile is computed in the Fourier
    domain: one product per real frequency, three per complex one (Karatsuba). Output i of the tile differs
    from the cyclic one where tap k meets an input outside that window; each such pair costs one correction product
    ``g_k * (d_{i+k} - d_{wrapped})``. All transforms are small integers over the common denominator N.
    The window is placed where it needs the fewest corrections.

    Parameters
    ----------
    order : {3, 4, 6}
        DFT length.
    m, r : int
        Outputs and taps per dimension; ``order <= m + r - 1``.

    Returns
    -------
    Bilinear
        For example ``sfc(6, 7, 3)``: 12 products for 7 outputs (144 for 7x7, where direct needs 441), with
        ``|V| <= 36 |d|``. Proved before it is returned.

    Raises
    ------
    ValueError
        If the order is not served or exceeds the tile.

    References
    ----------
    He et al., "SFC: Achieve Accurate Fast Convolution under Low-precision Arithmetic", ICML 2024,
    arXiv 2407.02913, sections 4.1 and 4.2. The growth printed there for SFC-6 is 64; multiplying out
    ``(p + q)(u + v)`` instead of ``(p - q)(v - u)`` at the sixth root of unity brings it to 36.
    """
    if order not in FREQUENCIES:
        raise ValueError(f"order is {order}; symbolic Fourier convolution serves {', '.join(map(str, FREQUENCIES))}")
    if m < 1 or r < 1:
        raise ValueError(f"F({m}, {r}): m and r must be at least 1")
    tile = m + r - 1
    if order > tile:
        raise ValueError(f"order {order} exceeds the tile of {tile} inputs of F({m}, {r})")
    start = min(range(tile - order + 1), key=lambda s: (len(_outside(s, order, m, r)), abs(2 * s + order - tile)))

    rows = [row for f, w in FREQUENCIES[order].items() for row in _frequency(f, w, order, start, m, r)]
    rows += [_correction(i, k, order, start, m, r) for i, k in _outside(start, order, m, r)]
    at_columns, g, bt = zip(*rows, strict=True)
    at = tuple(zip(*at_columns, strict=True))
    return Bilinear(f"SFC{order}({m}, {r})", m, r, at, g, bt).normalized().verify()


Row = tuple[tuple[Fraction, ...], tuple[Fraction, ...], tuple[Fraction, ...]]


def _row(at: list[Fraction], g: list[int], bt: list[int]) -> Row:
    return tuple(at), tuple(map(Fraction, g)), tuple(map(Fraction, bt))


def _outside(start: int, order: int, m: int, r: int) -> list[tuple[int, int]]:
    """Pairs (output, tap) whose input lies outside the window ``start .. start + order - 1``."""
    return [(i, k) for i in range(m) for k in range(r) if not start <= i + k < start + order]


def _correction(i: int, k: int, order: int, start: int, m: int, r: int) -> Row:
    bt = [0] * (m + r - 1)
    bt[i + k] = 1
    bt[start + (i + k - start) % order] = -1
    return _row([Fraction(o == i) for o in range(m)], [int(tap == k) for tap in range(r)], bt)


def _power(exponent: int, w: int) -> tuple[int, int]:
    """``w**exponent`` as ``p + q*w``."""
    p, q = 1, 0
    a, b = SQUARE[w]
    for _ in range(exponent % w):
        p, q = q * a, p + q * b
    return p, q


def _frequency(f: int, w: int, order: int, start: int, m: int, r: int) -> list[Row]:
    """Products of one frequency: ``c_i = 1/N sum_f D_f conj(G)_f w^{-f i}``, with w the root of unity of its order."""
    window = [j - start if start <= j < start + order else None for j in range(m + r - 1)]
    # Exponent of the frequency's own root: w_N**f is w_w**step.
    step = f * w // order
    outputs = [step * (i - start) for i in range(m)]
    if w <= 2:
        sign = (1, -1) if w == 2 else (1, 1)
        column = [Fraction(sign[e % 2], order) for e in outputs]
        return [
            _row(
                column,
                [sign[step * k % 2] for k in range(r)],
                [0 if j is None else sign[step * j % 2] for j in window],
            )
        ]

    d = [(0, 0) if j is None else _power(step * j, w) for j in window]
    g = [_power(-step * k, w) for k in range(r)]
    # D*G = (p + q w)(u + v w) = pu + (pv + qu) w + qv w^2 with three products pu, qv and the mixed one,
    # (p + s q)(u + s v) = pu + qv + s (pv + qu). The sign s is the one that keeps the mixed transforms smallest.
    s = min((1, -1), key=lambda sign: sum(abs(p + sign * q) for p, q in d))
    a, b = SQUARE[w]
    # Twice the real part of (x + y w) w^{-e}, as factors of x and y; then collected per product.
    at: tuple[list[Fraction], list[Fraction], list[Fraction]] = ([], [], [])
    for e in outputs:
        x = Fraction(DOUBLE_COSINE[w][-e % w], order)
        y = Fraction(DOUBLE_COSINE[w][(1 - e) % w], order)
        at[0].append(x - s * y)
        at[1].append(a * x + (b - s) * y)
        at[2].append(s * y)
    return [
        _row(at[0], [u for u, _ in g], [p for p, _ in d]),
        _row(at[1], [v for _, v in g], [q for _, q in d]),
        _row(at[2], [u + s * v for u, v in g], [p + s * q for p, q in d]),
    ]
