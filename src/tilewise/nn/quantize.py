"""Quantization of a tensor for all its readers."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from tilewise.nn.ranges import BatchRange
from tilewise.quant import FLOAT_BITS, QUANTIZERS, QuantGrid
from tilewise.quant.fake import FixedRange, Range
from tilewise.quant.quantizer import check_bits


class Quantize(nn.Module):
    """Fake quantization by a running range: what reads the result reads the same integers.

    Convolutions in front of which it stands share its range, so that they see the grid that their input is on
    already: the engine stores the tensor once, in 8 bits, for them and for a skip connection.

    Parameters
    ----------
    bits : int
        2 to 16.
    quantizer : {"tap", "paper"}
        Whose rules to go by.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    def __init__(self, bits: int = 8, *, quantizer: str = "tap") -> None:
        super().__init__()
        check_bits(bits)
        if bits == FLOAT_BITS:
            raise ValueError(f"bits is {bits}; allowed: 2 to 16")
        if quantizer not in QUANTIZERS:
            raise ValueError(f"quantizer is {quantizer!r}; allowed: {', '.join(QUANTIZERS)}")
        self.bits = bits
        self.rules = QUANTIZERS[quantizer]
        self.range: Range = Range((), self.rules, bits)
        self.calibrating = False

    @classmethod
    def on(cls, grid: QuantGrid) -> Self:
        """Return one whose grid is given, and stays."""
        made = cls(8 if grid.dtype == "uint8" else 16)
        made.range = FixedRange(grid, made.rules, made.bits)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Round ``x``, of any shape, to the grid.

        Raises
        ------
        RuntimeError
            If no range was ever observed, and none is being learned now.
        """
        if not (self.range.ready or self.training or self.calibrating):
            raise RuntimeError("Quantize has no range yet; calibrate(model, batches) or train it first")
        batch = BatchRange.learning(self.range, x, training=self.training, calibrating=self.calibrating)
        if self.training:
            self.range.taken = batch.grid()
        return batch.quantize(x, real=True)[0]

    def train(self, mode: bool = True) -> Self:
        """As every module's; what a batch was given is forgotten."""
        self.range.taken = None
        return super().train(mode)

    def reset_ranges(self) -> None:
        """Forget what was observed."""
        self.range.reset()

    def extra_repr(self) -> str:
        """Name the width."""
        return f"{self.bits} bits"
