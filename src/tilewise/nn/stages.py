"""The stages of a fast convolution on tensors, under the names they have everywhere.

``input_transform, requantize, weight_transform, multiply, output_transform``. Tiles are kept tap first: V is
``(taps, C, P)`` and M ``(taps, K, P)`` with P all tiles of the batch, so that ``multiply`` is one matrix product per
tap. Transforms are matrices for rows and columns, of ``n*n`` taps, or matrices of a planar algorithm for whole tiles.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.algebra import Algorithm, algorithm
from tilewise.algebra.planar import Planar
from tilewise.algebra.program import MAX_PRODUCTS, PLANAR, UNROLLED, Program, output_program, program
from tilewise.common.integers import FLOAT16_INTEGERS
from tilewise.common.padding import padding_of
from tilewise.quant.rounding import round_half_up_


@dataclass(frozen=True)
class Tiling:
    """How an image is cut into tiles: ``m`` outputs, ``t`` inputs, ``r`` filter taps per dimension, and a stride.

    With a dilation, the pixels that lie so far apart are images of their own, phases, each cut into tiles.
    """

    batch: int
    height: int
    width: int
    padding: tuple[int, int]
    m: int
    r: int
    stride: int = 1
    dilation: int = 1

    @property
    def t(self) -> int:
        """Inputs per tile and dimension."""
        return self.stride * (self.m - 1) + self.r

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the output."""
        reach = self.dilation * (self.r - 1) + 1
        beyond = self.height + 2 * self.padding[0] - reach, self.width + 2 * self.padding[1] - reach
        return beyond[0] // self.stride + 1, beyond[1] // self.stride + 1

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles, of a phase."""
        h, w = self.out
        return -(-h // (self.m * self.dilation)), -(-w // (self.m * self.dilation))

    @property
    def tiles(self) -> int:
        """Tiles of an image."""
        rows, columns = self.grid
        return rows * columns * self.dilation**2

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the input with all padding that whole tiles need, and the pixels that none reads."""
        (rows, cols), (ph, pw) = self.grid, self.padding
        needed = [self.dilation * (self.stride * (tiles * self.m - 1) + self.r) for tiles in (rows, cols)]
        return max(needed[0], self.height + ph), max(needed[1], self.width + pw)

    @property
    def step(self) -> int:
        """Inputs from one tile of a phase to the next."""
        return self.stride * self.m * self.dilation


def tiling_of(conv: nn.Conv2d, x: Tensor, m: int) -> Tiling:
    """How the input of a convolution is cut into tiles of ``m`` outputs.

    Raises
    ------
    ValueError
        If the padded input is smaller than the kernel.
    """
    r, padding = conv.kernel_size[0], padding_of(conv)
    tiling = Tiling(len(x), x.shape[2], x.shape[3], padding, m, r, conv.stride[0], conv.dilation[0])
    if min(tiling.out) < 1:
        raise ValueError(
            f"input of {x.shape[2]}x{x.shape[3]} with padding {padding} is smaller than the {r}x{r} kernel"
        )
    return tiling


def extract_tiles(x: Tensor, tiling: Tiling) -> Tensor:
    """Cut ``x`` of shape (N, C, H, W) into overlapping tiles, shape (t, t, C * P) with P = phases * rows * cols * N.

    The batch goes last first, one matrix transposition: every later copy then moves runs of N values.
    """
    n, c, h, w = x.shape
    (ph, pw), (padded_h, padded_w), t, step = tiling.padding, tiling.padded, tiling.t, tiling.step
    last = x.reshape(n, c * h * w).t().contiguous().view(c, h, w, n)
    last = F.pad(last, (0, 0, pw, padded_w - w - pw, ph, padded_h - h - ph))
    (sc, sh, sw, sn), d = last.stride(), tiling.dilation
    strides = (d * sh, d * sw, sc, sh, sw, step * sh, step * sw, sn)
    return last.as_strided((t, t, c, d, d, *tiling.grid, n), strides).reshape(t, t, -1)


def scatter_tiles(tiles: Tensor, channels: int, tiling: Tiling) -> Tensor:
    """Adjoint of :func:`extract_tiles`: add overlapping tiles up to an image of shape (N, C, H, W)."""
    t, step, n, (ph, pw), (rows, cols) = tiling.t, tiling.step, tiling.batch, tiling.padding, tiling.grid
    d = tiling.dilation
    tiles = tiles.view(t, t, channels, d, d, rows, cols, n)
    image = tiles.new_zeros(channels, *tiling.padded, n)
    for i, j, row, col in itertools.product(range(t), range(t), range(d), range(d)):
        top, left = i * d + row, j * d + col
        places = slice(top, top + (rows - 1) * step + 1, step), slice(left, left + (cols - 1) * step + 1, step)
        image[:, places[0], places[1]] += tiles[i, j, :, row, col]
    return _batch_first(image[:, ph : ph + tiling.height, pw : pw + tiling.width])


def join_tiles(tiles: Tensor, channels: int, tiling: Tiling) -> Tensor:
    """Lay ``(m, m, K * P)`` output tiles side by side and crop, shape (N, K, H_out, W_out)."""
    m, n, (rows, cols), (h, w), d = tiling.m, tiling.batch, tiling.grid, tiling.out, tiling.dilation
    image = tiles.view(m, m, channels, d, d, rows, cols, n).permute(2, 5, 0, 3, 6, 1, 4, 7)
    return _batch_first(image.reshape(channels, rows * m * d, cols * m * d, n)[:, :h, :w])


def split_tiles(y: Tensor, tiling: Tiling) -> Tensor:
    """Adjoint of :func:`join_tiles`: zeros where it cropped, shape (m, m, K * P)."""
    m, n, (rows, cols), (h, w), d = tiling.m, tiling.batch, tiling.grid, tiling.out, tiling.dilation
    k = y.shape[1]
    last = y.reshape(n, k * h * w).t().contiguous().view(k, h, w, n)
    last = F.pad(last, (0, 0, 0, cols * m * d - w, 0, rows * m * d - h)).view(k, rows, m, d, cols, m, d, n)
    return last.permute(2, 5, 0, 3, 6, 1, 4, 7).reshape(m, m, -1)


def _batch_first(image: Tensor) -> Tensor:
    """(C, H, W, N) -> (N, C, H, W), contiguous."""
    c, h, w, n = image.shape
    return image.reshape(c * h * w, n).t().contiguous().view(n, c, h, w)


def sandwich(matrix: Tensor, tiles: Tensor) -> Tensor:
    """``matrix @ tile @ matrix.T`` for tiles of shape (t, t, Q); gives (n, n, Q).

    Of a planar algorithm, whose tiles are vectors, ``matrix @ tile``: (t*t, Q) gives (n, Q).
    """
    if tiles.ndim == 2:
        return matrix @ tiles
    n, t = matrix.shape
    left = matrix @ tiles.reshape(t, -1)
    # bmm, because matmul would fold the batch by copying the tiles twice.
    return torch.bmm(matrix.expand(n, n, t), left.view(n, t, -1))


def ordered_sandwich(matrix: Tensor, tiles: Tensor) -> Tensor:
    """:func:`sandwich` with every product and sum rounded on its own, in the order of docs/contracts/numbers.md.

    A matrix product rounds as its library and machine like. This gives the same bits everywhere, the engine included:
    first ``T[:, j] = matrix @ tile[:, j]``, then ``matrix @ T[a, :]``. Named output transforms run their program
    (:func:`tilewise.algebra.program`), other matrices add their rows from left to right.
    """
    steps, outputs = _order(tuple(map(tuple, matrix.tolist())))
    half = torch.stack(_run_steps(steps, outputs, list(tiles)))
    if tiles.ndim == 2:
        return half
    return torch.stack(_run_steps(steps, outputs, list(half.transpose(0, 1))), dim=1)


@functools.cache
def _order(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[tuple[tuple[float, int], ...], ...], tuple[int, ...]]:
    """Steps and outputs of a matrix, as a :class:`tilewise.algebra.program.Program` has them."""
    for unrolled in PLANAR if len(matrix[0]) > MAX_PRODUCTS else UNROLLED:
        named = algorithm(*unrolled)
        if matrix == named.AT:
            found = _program(named)
            return found.steps, found.outputs
    rows = tuple(tuple((x, j) for j, x in enumerate(row) if x != 0) for row in matrix)
    return rows, tuple(range(len(rows)))


def _program(named: Algorithm) -> Program:
    """Return the program of a named algorithm's ``A^T``."""
    if isinstance(named, Planar):
        assert named.factors is not None
        return output_program(named.factors)
    return program([[int(x) for x in row] for row in named.AT])


def _run_steps(
    steps: Sequence[Sequence[tuple[float, int]]], outputs: Sequence[int], values: list[Tensor]
) -> list[Tensor]:
    """Run a program on ``values``, one tensor for each input."""
    inputs = len(values)
    term = torch.empty_like(values[0], memory_format=torch.contiguous_format)
    for step in steps:
        total = torch.zeros_like(term)
        for place, (factor, number) in enumerate(step):
            if place == 0:
                torch.mul(values[number], factor, out=total)
            elif factor == 1:
                total.add_(values[number])
            elif factor == -1:
                total.sub_(values[number])
            else:  # not addcmul, not add(alpha=): those may round once instead of twice
                total.add_(torch.mul(values[number], factor, out=term))
        values.append(total)
    return [values[inputs + k] for k in outputs]


def sandwich_backward(
    matrix: Tensor, tiles: Tensor | None, grad: Tensor, *, need_tiles: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of :func:`sandwich`: of its matrix (if ``tiles`` is given) and of its tiles (if needed).

    Parameters
    ----------
    matrix : Tensor of shape (n, t)
        As given to :func:`sandwich`.
    tiles : Tensor of shape (t, t, Q) or (t*t, Q), optional
        As given to :func:`sandwich`.
    grad : Tensor of shape (n, n, Q) or (n, Q)
        Gradient of the result.
    need_tiles : bool
        Whether the tiles' gradient is wanted.
    """
    n, t = matrix.shape
    dmatrix = dtiles = None
    if tiles is not None and tiles.ndim == 2:
        dmatrix = grad @ tiles.T
    elif tiles is not None:
        # Of the Kronecker product first: one matrix product over all tiles, then small sums.
        kron = (grad.reshape(n * n, -1) @ tiles.reshape(t * t, -1).T).view(n, n, t, t)
        dmatrix = torch.einsum("abij,bj->ai", kron, matrix) + torch.einsum("abij,ai->bj", kron, matrix)
    if need_tiles:
        dtiles = sandwich(matrix.T, grad)
    return dmatrix, dtiles


def input_transform(x: Tensor, bt: Tensor, tiling: Tiling, *, ordered: bool = False) -> Tensor:
    """``V = B^T d B`` for every tile: (N, C, H, W) -> (taps, C, P); ``ordered`` as the engine rounds."""
    v = (ordered_sandwich if ordered else sandwich)(bt, input_tiles(x, bt, tiling))
    taps = v.flatten(0, -2)
    return taps.view(len(taps), x.shape[1], taps.shape[1] // x.shape[1])


def input_tiles(x: Tensor, bt: Tensor, tiling: Tiling) -> Tensor:
    """Cut an image into tiles in the shape that ``bt`` takes: (t, t, C * P), or vectors (t*t, C * P)."""
    tiles = extract_tiles(x, tiling)
    return tiles if bt.shape[1] == tiling.t else tiles.flatten(0, 1)


def as_products(m: Tensor, at: Tensor, tiling: Tiling) -> Tensor:
    """Return M (taps, K, P) in the shape that ``at`` takes: (n, n, K * P), or (taps, K * P)."""
    return m.flatten(1) if len(at) != tiling.m else m.reshape(at.shape[1], at.shape[1], -1)


def requantize_(v: Tensor, mult: Tensor, low: float, high: float) -> Tensor:
    """``clamp(round_half_up(V * mult))`` in place; ``mult`` has shape (taps or 1, C or 1, 1)."""
    return round_half_up_(v.mul_(mult)).clamp_(low, high)


def weight_transform(g: Tensor, matrix: Tensor) -> Tensor:
    """``U = G g G^T``: (K, C, r, r) -> (taps, K, C), ``G g`` first. Differentiable in both arguments.

    Of a planar algorithm ``U = G g``, filter taps row by row.
    """
    filter_taps = range(matrix.shape[1])
    if len(filter_taps) != g.shape[2]:
        flat = g.flatten(2)
        return _ordered_sum(matrix[:, k, None, None] * flat[:, :, k] for k in filter_taps)
    rows = _ordered_sum(matrix[:, x, None, None, None] * g[:, :, x] for x in filter_taps)  # (n, K, C, r)
    u = _ordered_sum(matrix[:, y, None, None] * rows[:, None, :, :, y] for y in filter_taps)
    return u.reshape(-1, *g.shape[:2])


def _ordered_sum(terms: Iterable[Tensor]) -> Tensor:
    """Add up from left to right, each sum rounded on its own, as the kernels do."""
    return functools.reduce(torch.add, terms)


def multiply(u: Tensor, v: Tensor, largest: int | None = None) -> Tensor:
    """``M = sum_c U V``, one matrix product per tap: (taps, K, C) x (taps, C, P) -> (taps, K, P).

    ``largest`` is the largest absolute value of integers U and V; None where they are no integers. A GPU multiplies
    integers up to 2048 as half-precision numbers, which hold them, and adds up in float32, as if they had been that.
    """
    if u.is_cuda and u.dtype == torch.float32 and largest is not None and largest <= FLOAT16_INTEGERS:
        return torch.bmm(u.half(), v.half(), out_dtype=torch.float32)
    return torch.bmm(u, v)


def output_transform(product: Tensor, at: Tensor, tiling: Tiling, *, ordered: bool = False) -> Tensor:
    """``Y = A^T M A``, tiles joined and cropped: (taps, K, P) -> (N, K, H_out, W_out)."""
    y = (ordered_sandwich if ordered else sandwich)(at, as_products(product, at, tiling))
    return join_tiles(y, product.shape[1], tiling)
