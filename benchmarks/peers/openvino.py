"""OpenVINO: the model of `onnx_file`, float32 held to float32 (it would take bfloat16), one stream."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from peers.net import Floats, Sample
from peers.onnx_file import dequantized, onnx_model
from peers.runner import Runner, Variant

FORCED_BY = "ONEDNN_MAX_CPU_ISA"
# Channels last spares a single float layer its reorders; a quantized one falls back to float with it.
VARIANTS = (
    Variant("default", "fp32"),
    Variant("channels last", "fp32", networks=False),
    Variant("default", "int8"),
    Variant("default", "bf16"),
)


def version() -> str:
    """Return the library's version."""
    import onnx  # noqa: F401 - builds the models
    import openvino

    return str(openvino.__version__).split("-")[0]


def _channels_last(model: Any) -> Any:
    import openvino as ov

    both = ov.preprocess.PrePostProcessor(model)
    both.input().tensor().set_layout(ov.Layout("NHWC"))
    both.input().model().set_layout(ov.Layout("NCHW"))
    both.output().model().set_layout(ov.Layout("NCHW"))
    both.output().tensor().set_layout(ov.Layout("NHWC"))
    return both.build()


def _kernels(compiled: Any) -> str:
    """Return the kernels that run the convolutions and linear layers."""
    found: dict[str, int] = {}
    for op in compiled.get_runtime_model().get_ops():
        about = op.get_rt_info()
        if "layerType" in about and about["layerType"].astype(str) in ("Convolution", "FullyConnected"):
            kernel = about["primitiveType"].astype(str)
            found[kernel] = found.get(kernel, 0) + 1
    return ", ".join(f"{kernel} {count}" for kernel, count in found.items())


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Compile the model."""
    import openvino as ov

    quantized, last = variant.dtype == "int8", variant.name == "channels last"
    core = ov.Core()
    model = core.read_model(onnx_model(sample, quantized=quantized))
    if last:
        model = _channels_last(model)
    settings = {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False, "INFERENCE_PRECISION_HINT": "bf16" if variant.dtype == "bf16" else "f32",
    }  # fmt: skip
    as_bytes = quantized and sample.net.is_layer
    x = sample.unsigned_input() if as_bytes else sample.x
    tensor = ov.Tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if last else x)

    def request(**more: Any) -> tuple[Any, Any]:
        compiled = core.compile_model(model, "CPU", {**settings, **more})
        made = compiled.create_infer_request()
        made.set_input_tensor(tensor)
        return made, compiled

    plain, compiled = request()
    node = None
    if sample.net.is_layer:
        counting, _ = request(PERF_COUNT=True)

        def node(repeats: int) -> float:
            return statistics.median(_convolution_seconds(counting) for _ in range(repeats))

    def output() -> Floats:
        y = np.array(plain.get_output_tensor().data)
        y = y.transpose(0, 3, 1, 2) if last else y
        result: Floats = dequantized(sample, y) if as_bytes else y
        return result

    return Runner(plain.infer, output, node, _kernels(compiled))


def _convolution_seconds(request: Any) -> float:
    request.infer()
    rows = request.get_profiling_info()
    return float(sum(row.real_time.total_seconds() for row in rows if row.node_type == "Convolution"))
