"""Transposed convolution as a convolution of stride 1 and a pixel shuffle, so that all algorithms serve it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.algebra.transposed import Phases, phases


class Geometry(NamedTuple):
    """How a transposed convolution is made of a convolution of stride 1.

    Parameters
    ----------
    axes : (Phases, Phases)
        Of rows and columns.
    beyond : (int, int)
        Height and width of the output, less the strides times those of the input.
    """

    axes: tuple[Phases, Phases]
    beyond: tuple[int, int]

    @property
    def factors(self) -> tuple[int, int]:
        """By which rows and columns are shuffled."""
        rows, columns = self.axes
        return rows.stride, columns.stride

    @property
    def phases(self) -> int:
        """Output channels of the convolution for each of the result."""
        return math.prod(self.factors)

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Zeros to the left, to the right, above and below the image, as ``torch.nn.functional.pad`` takes them."""
        (top, bottom), (left, right) = (
            # What is beyond the last whole unit does not depend on the extent, as long as there is a pixel.
            (axis.before, axis.after(1, axis.stride + more))
            for axis, more in zip(self.axes, self.beyond, strict=True)
        )
        return left, right, top, bottom

    @property
    def surplus(self) -> tuple[int, int]:
        """Rows and columns at the end of the shuffled image that are no outputs."""
        left, right, top, bottom = self.sides
        rows, columns = (
            axis.stride * (before + after - axis.window + 1) - more
            for axis, more, before, after in zip(self.axes, self.beyond, (top, left), (bottom, right), strict=True)
        )
        return rows, columns

    def weight(self, weight: Tensor) -> Tensor:
        """Rearrange weights (C, K / groups, kh, kw) to (K / groups * phases, C, rows, columns)."""
        rows, columns = self.axes
        padded = F.pad(weight, (0, 1, 0, 1))  # the tap -1 is a zero
        i, j = torch.tensor(rows.taps), torch.tensor(columns.taps)
        picked = padded[:, :, i[:, None, :, None], j[None, :, None, :]]  # (C, K, phase, phase, row, column)
        return picked.permute(1, 2, 3, 0, 4, 5).flatten(0, 2).contiguous()

    def shuffle(self, y: Tensor) -> Tensor:
        """Make the result of what the convolution of stride 1 gives."""
        high, wide = self.factors
        if high == wide:
            y = F.pixel_shuffle(y, high) if high > 1 else y
        else:
            n, channels, rows, columns = y.shape
            y = y.view(n, channels // self.phases, high, wide, rows, columns).permute(0, 1, 4, 2, 5, 3)
            y = y.reshape(n, channels // self.phases, rows * high, columns * wide)
        rows, columns = self.surplus
        y = y[:, :, :-rows] if rows else y
        return y[:, :, :, :-columns] if columns else y


def geometry(kernel: Sequence[int], stride: Any, padding: Any, output_padding: Any, dilation: Any) -> Geometry:
    """Return how a transposed convolution is made; numbers by axis, as in ``torch.nn.ConvTranspose2d``."""
    numbers = list(zip(kernel, stride, padding, dilation, strict=True))
    rows, columns = (phases(*axis) for axis in numbers)
    height, width = (
        d * (k - 1) + 1 - 2 * p - s + more for (k, s, p, d), more in zip(numbers, output_padding, strict=True)
    )
    return Geometry((rows, columns), (height, width))


def pieces(weight: Tensor, bias: Tensor | None, groups: int, form: Geometry) -> tuple[Tensor, Tensor | None]:
    """Return weights and bias of the convolution of stride 1: output channels by channel, then by phase."""
    each = [form.weight(part) for part in weight.chunk(groups)]
    return torch.cat(each), None if bias is None else bias.repeat_interleave(form.phases)


class Transposed(nn.Module):
    """A transposed convolution, as a convolution of stride 1 and a pixel shuffle.

    Every phase of the output is a convolution of stride 1 with filter taps of its own, as
    :mod:`tilewise.algebra.transposed` proves. The convolution's output channels are those of all phases, so it is
    quantized, trained and computed as any other. Where phases have fewer taps than its window, its weights begin as 0;
    training is free to move them.

    Parameters
    ----------
    pieces : torch.nn.Conv2d
        The convolution, without padding.
    form : Geometry
        What to do around it.
    """

    def __init__(self, pieces: nn.Conv2d, form: Geometry) -> None:
        super().__init__()
        pieces.phases = form.phases  # type: ignore[assignment]
        self.pieces = pieces
        self.form = form

    @classmethod
    def from_conv(cls, conv: nn.ConvTranspose2d) -> Transposed:
        """Build it around the weights of a transposed convolution."""
        form = form_of(conv)
        with torch.no_grad():
            weight, bias = pieces(conv.weight, conv.bias, conv.groups, form)
        plain = nn.Conv2d(
            conv.in_channels, len(weight), (weight.shape[2], weight.shape[3]), groups=conv.groups,
            bias=bias is not None, device="meta",
        )  # fmt: skip
        plain.weight = nn.Parameter(weight, requires_grad=conv.weight.requires_grad)
        plain.bias = None if bias is None else nn.Parameter(bias, requires_grad=conv.weight.requires_grad)
        return cls(plain, form).train(conv.training)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape (N, C, H, W)."""
        if any(self.form.sides):
            x = F.pad(x, self.form.sides)
        return self.form.shuffle(self.pieces(x))


def form_of(conv: nn.ConvTranspose2d) -> Geometry:
    """Return how a layer's convolution is made of one of stride 1; see :func:`geometry`."""
    return geometry(conv.kernel_size, conv.stride, conv.padding, conv.output_padding, conv.dilation)
