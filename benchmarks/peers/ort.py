"""ONNX Runtime: bound inputs and outputs; 8-bit networks as quantize-dequantize models."""

from __future__ import annotations

import numpy as np

from peers.net import Floats, Sample
from peers.onnx_file import dequantized, onnx_model
from peers.runner import Runner, Variant

FORCED_BY = ""
VARIANTS = (Variant("default", "fp32"), Variant("default", "int8"))


def version() -> str:
    """Return the library's version."""
    import onnx  # noqa: F401 - builds the models
    import onnxruntime

    return str(onnxruntime.__version__)


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Open a session."""
    import onnxruntime as ort

    quantized = variant.dtype == "int8"
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")  # between calls, others are measured
    options.log_severity_level = 3
    model = onnx_model(sample, quantized=quantized)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    as_bytes = quantized and sample.net.is_layer
    source = ort.OrtValue.ortvalue_from_numpy(sample.unsigned_input() if as_bytes else sample.x)
    target = ort.OrtValue.ortvalue_from_numpy(np.empty(sample.y.shape, np.uint8 if as_bytes else np.float32))
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, source)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, target)

    def output() -> Floats:
        y: Floats = dequantized(sample, target.numpy()) if as_bytes else target.numpy()
        return y

    return Runner(lambda: session.run_with_iobinding(binding), output)
