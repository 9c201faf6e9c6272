"""LiteRT, formerly TensorFlow Lite, with its XNNPACK kernels."""

from __future__ import annotations

import importlib.metadata

import numpy as np

from peers.net import Floats, Sample
from peers.runner import Runner, Variant
from peers.tflite_file import tflite_model

FORCED_BY = ""
VARIANTS = (Variant("default", "fp32"), Variant("default", "int8"))


def version() -> str:
    """Return the library's version."""
    from ai_edge_litert import interpreter  # noqa: F401 - must load

    return importlib.metadata.version("ai-edge-litert")


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Load the model."""
    from ai_edge_litert.interpreter import Interpreter

    quantized = variant.dtype == "int8"
    as_bytes = quantized and sample.net.is_layer
    interpreter = Interpreter(model_content=tflite_model(sample, quantized=quantized), num_threads=threads)
    interpreter.allocate_tensors()
    x = sample.x
    if as_bytes:
        x = (sample.unsigned_input().astype(np.int16) - 128).astype(np.int8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    result = interpreter.get_output_details()[0]["index"]

    def output() -> Floats:
        y = interpreter.get_tensor(result)
        if as_bytes:
            step, zero = sample.unsigned(sample.net.output)
            y = (y.astype(np.float32) - (zero - 128)) * np.float32(step)
        found: Floats = y.transpose(0, 3, 1, 2) if y.ndim == 4 else y
        return found

    return Runner(interpreter.invoke, output)
