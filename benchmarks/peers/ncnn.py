"""ncnn: with its choice of Winograd kernels, with the smallest only, and without. Images go one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from peers.ncnn_file import write_ncnn
from peers.net import INPUT, Floats, Sample
from peers.runner import Runner, Slot, Variant

FORCED_BY = ""
SETTINGS = {"default": True, "no Winograd": False, "F2 only": True}
VARIANTS = tuple(Variant(name, dtype, fast=fast) for dtype in ("fp32", "int8") for name, fast in SETTINGS.items())


def version() -> str:
    """Return the library's version."""
    import ncnn

    return str(ncnn.__version__)


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Load the network."""
    import ncnn

    quantized = variant.dtype == "int8"
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.openmp_blocktime = 20
    net.opt.use_winograd_convolution = variant.fast
    if variant.name == "F2 only":
        net.opt.use_winograd43_convolution = net.opt.use_winograd63_convolution = False
    with tempfile.TemporaryDirectory() as folder:
        text, data = write_ncnn(sample, Path(folder), quantized=quantized)
        net.load_param(str(text))
        net.load_model(str(data))
    as_bytes = quantized and sample.net.is_layer
    x = sample.x
    if as_bytes:
        x = np.clip(np.round(x / sample.symmetric(INPUT)), -127, 127).astype(np.int8)
    images = [ncnn.Mat(np.ascontiguousarray(image)).clone() for image in x]
    slot, name = Slot(), sample.net.output

    def call() -> None:
        results = []
        for image in images:
            extractor = net.create_extractor()
            extractor.input(INPUT, image)
            results.append(extractor.extract(name)[1])
        slot.value = results

    def output() -> Floats:
        y = np.stack([np.array(result) for result in slot.value]).astype(np.float32)
        return y * np.float32(sample.symmetric(name)) if as_bytes else y

    return Runner(call, output)
