"""The same network by others: torch, and ONNX Runtime and OpenVINO where they are installed."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FLOAT, INT8 = "float.onnx", "int8.onnx"
"""The network as others read it, in a folder."""
CALIBRATION_IMAGES = 32
"""That ONNX Runtime's own quantization is shown, at most."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A network by another library.

    Parameters
    ----------
    name : str
        Library, its version and the type of numbers.
    call : callable
        Takes images of the example's size; gives a Tensor, or a tuple of them.
    quantized : bool
        Whether it computes in 8 bits, and so loses something too.
    """

    name: str
    call: Callable[[Tensor], Any]
    quantized: bool = False


def peers(model: nn.Module, example: Tensor, images: Iterable[Tensor], threads: int, folder: Path) -> list[Peer]:
    """Return the network by torch, and by what else is installed and takes it.

    Parameters
    ----------
    model : torch.nn.Module
        In float, in evaluation mode.
    example : Tensor of shape (1, C, H, W)
        Of the size that networks are made for.
    images : iterable of Tensor
        What others calibrate on; those of another size are left out.
    threads : int
        How many all of them use.
    folder : Path
        For the ONNX files, which :func:`others` reads.
    """
    torch.set_num_threads(threads)
    found = [Peer(name=f"torch {torch.__version__.partition('+')[0]} float32", call=model)]
    if not _installed("onnxruntime") and not _installed("openvino"):
        return found
    try:
        _export(model, example, folder / FLOAT)
    except Exception:  # noqa: BLE001 - whatever torch says of what it can not export
        return found
    alike = [x for x in images if x.shape == example.shape][:CALIBRATION_IMAGES]
    if _installed("onnxruntime") and _installed("onnx") and alike:
        _quantize(folder / FLOAT, alike, folder / INT8)
    return [*found, *others(folder, threads)]


def others(folder: Path, threads: int) -> list[Peer]:
    """Return the networks that :func:`peers` wrote into a folder, by each library that is installed."""
    found = []
    runners = (("onnxruntime", "ONNX Runtime", _onnxruntime), ("openvino", "OpenVINO", _openvino))
    for name, title, runner in runners:
        if _installed(name):
            version = metadata.version(name)
            for file, numbers in ((FLOAT, "float32"), (INT8, "int8")):
                if (path := folder / file).exists():
                    call = runner(path, threads)
                    found.append(Peer(name=f"{title} {version} {numbers}", call=call, quantized=file == INT8))
    return found


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _export(model: nn.Module, example: Tensor, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no other package is the older one
        torch.onnx.export(model, (example,), str(path), dynamo=False, input_names=["x"], opset_version=17)


def _quantize(path: Path, images: list[Tensor], out: Path) -> None:
    """Quantize by ONNX Runtime's own tool as its documentation advises for x86: QDQ, U8S8, weights per channel."""
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            return next(({"x": x.numpy()} for x in self.rest), None)

    logging.disable(logging.WARNING)  # it advises to simplify the network first
    try:
        quantization.quantize_static(
            str(path), str(out), Reader(), per_channel=True, activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)


def _onnxruntime(path: Path, threads: int) -> Callable[[Tensor], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda x: _tensors(session.run(None, {"x": x.numpy()}))


def _openvino(path: Path, threads: int) -> Callable[[Tensor], Any]:
    import openvino

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda x: _tensors([np.array(value) for value in compiled([x.numpy()]).values()])


def _tensors(arrays: list[Any]) -> Any:
    tensors = tuple(torch.from_numpy(array) for array in arrays)
    return tensors[0] if len(tensors) == 1 else tensors
