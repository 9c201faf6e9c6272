"""How networks of other tools come in: as torch modules, to be converted, trained and compiled like any other."""

from __future__ import annotations

from tilewise.doors.onnx_door import from_onnx
from tilewise.doors.pt2_door import from_pt2

__all__ = ["from_onnx", "from_pt2"]
