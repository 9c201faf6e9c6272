"""Fast quantized convolution: Winograd-aware training, search and a native int8 engine.

Public names are loaded when first used, so that what needs no torch does not import it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise import data, zoo
    from tilewise.algebra import Bilinear, algorithm, sfc, toom_cook
    from tilewise.calibration import CalibrationConfig, calibrate
    from tilewise.calibration.doctor import doctor
    from tilewise.conversion import convert
    from tilewise.doors import from_onnx, from_pt2
    from tilewise.engine import Engine, load
    from tilewise.engine.accelerate import accelerate
    from tilewise.engine.compiler import Normalization, compile  # noqa: A004 - what users call it
    from tilewise.engine.interface import onnx_runtime_library
    from tilewise.engine.module import to_module
    from tilewise.engine.onnx_export import to_onnx
    from tilewise.engine.onnx_programs import accelerate_onnx, to_onnx_runtime
    from tilewise.latency import LatencyTable, measure
    from tilewise.nn import describe
    from tilewise.optimization.run import optimize
    from tilewise.quant import Direct, Exact, Residue, Winograd
    from tilewise.train import Score, TrainConfig, evaluate, fit, load_weights, save_weights
    from tilewise.winas import SearchConfig, search

_HOME = {
    "Bilinear": "algebra",
    "CalibrationConfig": "calibration",
    "Direct": "quant",
    "Engine": "engine",
    "Exact": "quant",
    "LatencyTable": "latency",
    "Normalization": "engine.compiler",
    "Residue": "quant",
    "Score": "train",
    "SearchConfig": "winas",
    "TrainConfig": "train",
    "Winograd": "quant",
    "accelerate": "engine.accelerate",
    "accelerate_onnx": "engine.onnx_programs",
    "algorithm": "algebra",
    "calibrate": "calibration",
    "compile": "engine.compiler",
    "convert": "conversion",
    "describe": "nn",
    "doctor": "calibration.doctor",
    "evaluate": "train",
    "fit": "train",
    "from_onnx": "doors",
    "from_pt2": "doors",
    "load": "engine",
    "load_weights": "train",
    "measure": "latency",
    "onnx_runtime_library": "engine.interface",
    "optimize": "optimization.run",
    "save_weights": "train",
    "search": "winas",
    "sfc": "algebra",
    "to_module": "engine.module",
    "to_onnx": "engine.onnx_export",
    "to_onnx_runtime": "engine.onnx_programs",
    "toom_cook": "algebra",
}
_PACKAGES = ("data", "zoo")
_load = loader(__name__, _HOME)

__version__ = "0.1.0"
__all__ = [
    "Bilinear",
    "CalibrationConfig",
    "Direct",
    "Engine",
    "Exact",
    "LatencyTable",
    "Normalization",
    "Residue",
    "Score",
    "SearchConfig",
    "TrainConfig",
    "Winograd",
    "accelerate",
    "accelerate_onnx",
    "algorithm",
    "calibrate",
    "compile",
    "convert",
    "data",
    "describe",
    "doctor",
    "evaluate",
    "fit",
    "from_onnx",
    "from_pt2",
    "load",
    "load_weights",
    "measure",
    "onnx_runtime_library",
    "optimize",
    "save_weights",
    "search",
    "sfc",
    "to_module",
    "to_onnx",
    "to_onnx_runtime",
    "toom_cook",
    "zoo",
]


def __getattr__(name: str) -> Any:
    value = importlib.import_module(f"tilewise.{name}") if name in _PACKAGES else _load(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
