"""What post-training quantization knows of the data: ranges, refinement layer by layer, and what each layer bears."""

from __future__ import annotations

from tilewise.calibration.config import CalibrationConfig
from tilewise.calibration.ranges import calibrate

__all__ = ["CalibrationConfig", "calibrate"]
