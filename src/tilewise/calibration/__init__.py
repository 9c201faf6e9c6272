"""What post-training quantization knows of the data: ranges, refinement layer by layer, and what each layer bears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise.calibration.config import CalibrationConfig
    from tilewise.calibration.ranges import calibrate

__all__ = ["CalibrationConfig", "calibrate"]

__getattr__ = loader(
    __name__,
    {
        "CalibrationConfig": "config",
        "calibrate": "ranges",
    },
)
