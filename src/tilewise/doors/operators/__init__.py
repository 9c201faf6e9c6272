"""What ONNX's operators become, a file for each kind."""

from __future__ import annotations

from tilewise.doors.building import Handler
from tilewise.doors.operators import (
    arithmetic,
    convolution,
    integers,
    moving,
    normalization,
    pooling,
    quantization,
    resizing,
    sizes,
)

HANDLERS: dict[str, Handler] = {
    **arithmetic.HANDLERS, **convolution.HANDLERS, **moving.HANDLERS, **normalization.HANDLERS, **pooling.HANDLERS,
    **quantization.HANDLERS, **integers.HANDLERS, **resizing.HANDLERS, **sizes.HANDLERS,
}  # fmt: skip
