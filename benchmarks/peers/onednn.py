"""oneDNN 2.6 (Debian's libdnnl-dev), through a shim that the system's compiler builds when it is first needed."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers.net import INPUT, Floats, Sample, quantize_weight
from peers.runner import Runner, Variant

FORCED_BY = "DNNL_MAX_CPU_ISA"
VARIANTS = tuple(
    Variant(name, dtype, fast=name == "Winograd", networks=False)
    for dtype in ("fp32", "int8")
    for name in ("direct", "Winograd")
)
SOURCE = Path(__file__).with_name("onednn.cpp")
TEXT = 256


class Problem(ctypes.Structure):
    """The struct of that name in onednn.cpp."""

    _fields_ = [
        *[(name, ctypes.c_int32) for name in ("batch", "inputs", "outputs", "size", "kernel", "int8", "winograd")],
        *[(name, ctypes.c_float) for name in ("input_step", "output_step")],
        *[(name, ctypes.c_void_p) for name in ("input", "weight", "float_weight", "weight_steps", "bias")],
    ]  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL:
    """Build and load the shim.

    Raises
    ------
    ImportError
        If there is no compiler, or it does not find oneDNN 2.6.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if not compiler:
        raise ImportError("no C++ compiler for the oneDNN shim")
    name = f"tilewise-onednn-{os.getuid()}-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    path = Path(tempfile.gettempdir()) / f"{name}.so"
    if not path.exists() or path.stat().st_uid != os.getuid():
        fresh = path.with_suffix(f".{os.getpid()}")
        command = [compiler, "-O2", "-std=c++17", "-shared", "-fPIC", str(SOURCE), "-o", str(fresh), "-ldnnl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or ["compiler failed"]
            raise ImportError(f"oneDNN 2.6 is not there (apt-get install libdnnl-dev): {lines[0]}")
        fresh.replace(path)
    loaded = ctypes.CDLL(str(path))
    loaded.layer_create.restype = ctypes.c_void_p
    for function in (loaded.layer_run, loaded.layer_output, loaded.layer_free):
        function.restype = None
    return loaded


def version() -> str:
    """Return the library's version."""
    text = ctypes.create_string_buffer(TEXT)
    library().library_version(text, TEXT)
    return text.value.decode()


def build(variant: Variant, sample: Sample, threads: int) -> Runner:  # noqa: ARG001 - OMP_NUM_THREADS says it
    """Create the layer."""
    loaded, int8 = library(), variant.dtype == "int8"
    node = sample.net.nodes[0]
    weight, bias = node.parameters
    q, steps = quantize_weight(weight)
    kept: dict[str, NDArray[Any]] = {
        "input": sample.unsigned_input() if int8 else sample.x,
        "weight": q if int8 else weight, "float_weight": weight, "weight_steps": steps, "bias": bias,
    }  # fmt: skip
    kept = {name: np.ascontiguousarray(array) for name, array in kept.items()}
    output_step = sample.unsigned(node.name)[0] if int8 else 1.0
    problem = Problem(
        batch=len(sample.x), inputs=weight.shape[1], outputs=len(weight), size=sample.x.shape[2], kernel=node.kernel,
        int8=int8, winograd=variant.fast, input_step=sample.unsigned(INPUT)[0], output_step=output_step,
        **{name: array.ctypes.data for name, array in kept.items()},
    )  # fmt: skip
    text = ctypes.create_string_buffer(TEXT)
    handle = ctypes.c_void_p(loaded.layer_create(ctypes.byref(problem), text, TEXT))
    if not handle:
        raise ValueError(text.value.decode())

    def output() -> Floats:
        y = np.empty(sample.y.shape, np.float32)
        loaded.layer_output(handle, ctypes.c_void_p(y.ctypes.data))
        return y * np.float32(output_step)

    return Runner(lambda: loaded.layer_run(handle), output, note=text.value.decode())
