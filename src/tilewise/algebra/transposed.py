"""Transposed convolutions as convolutions of stride 1, one for each phase of the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Phases:
    """A transposed convolution along one axis: ``y[stride * u + phase] = sum_j x[u + j - before] * w[taps[phase][j]]``.

    It adds ``x[i] * w[k]`` to ``y[i * stride + k * dilation - padding]``. The outputs of one phase, those that are
    equal modulo the stride, meet filter taps of their own, at samples that move on by one: a convolution of stride 1.
    Its window is the same for all phases, so that they are the output channels of one convolution, and the pixels of
    their results shuffled are the result.

    Parameters
    ----------
    kernel, stride, padding, dilation : int
        Of the transposed convolution.
    before : int
        Samples that the window of output ``u`` begins before ``x[u]``.
    taps : tuple of tuple of int
        For each phase, the filter tap at each place of its window; -1 where there is none, that is, a weight of 0.
    """

    kernel: int
    stride: int
    padding: int
    dilation: int
    before: int
    taps: tuple[tuple[int, ...], ...]

    @property
    def window(self) -> int:
        """Samples of the window."""
        return len(self.taps[0])

    def after(self, extent: int, out: int) -> int:
        """Return the samples that the windows of ``out`` outputs reach beyond an image of ``extent``; at least 0."""
        units = -(-out // self.stride)
        return max(0, units - 1 - self.before + self.window - extent)

    def verify(self) -> Self:
        """Prove the identity, and return the phases.

        Both sides are sums of products of one sample and one filter tap, and stay what they are where the output moves
        on by a stride and the sample by one. So they are equal if the outputs 0 .. stride - 1 have the same products.

        Raises
        ------
        ValueError
            If they have not.
        """
        for phase, row in enumerate(self.taps):
            got = [(j - self.before, tap) for j, tap in enumerate(row) if tap >= 0]
            wanted = []
            for tap in range(self.kernel):
                sample, rest = divmod(phase + self.padding - tap * self.dilation, self.stride)
                wanted += [(sample, tap)] if rest == 0 else []
            if sorted(got) != sorted(wanted) or len(row) != self.window or len(self.taps) != self.stride:
                raise ValueError(f"phase {phase} of {self} multiplies {got}; it must be {wanted}")
        return self


def phases(kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Phases:
    """Cut a transposed convolution into phases.

    Parameters
    ----------
    kernel, stride, dilation : int
        At least 1.
    padding : int
        At least 0, as in ``torch.nn.ConvTranspose2d``.

    Returns
    -------
    Phases
        Proved before they are returned.

    Raises
    ------
    ValueError
        If a number is not allowed.

    Examples
    --------
    >>> phases(4, stride=2, padding=1).taps
    ((3, 1, -1), (-1, 2, 0))
    >>> phases(2, stride=2).taps
    ((0,), (1,))
    """
    for name, value, least in (
        ("kernel", kernel, 1), ("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1),
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    found: list[dict[int, int]] = [{} for _ in range(stride)]
    for tap in range(kernel):
        phase = (tap * dilation - padding) % stride
        found[phase][(phase + padding - tap * dilation) // stride] = tap
    samples = [sample for row in found for sample in row]
    first, last = min(0, *samples), max(0, *samples)  # a window that begins at x[u], or before it
    taps = tuple(tuple(row.get(sample, -1) for sample in range(first, last + 1)) for row in found)
    return Phases(kernel, stride, padding, dilation, -first, taps).verify()
