"""Layers of made-up numbers: programs of single convolutions, and models whose ranges have seen noise."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import nn

from tilewise.calibration import calibrate
from tilewise.conversion import convert
from tilewise.engine.capture import check_tensor
from tilewise.engine.compiler import make_program
from tilewise.engine.lossless import by_itself, in_order, tiles
from tilewise.engine.program import Program
from tilewise.latency.candidates import Candidate
from tilewise.latency.records import Convolution, convolution
from tilewise.latency.shapes import LayerShape
from tilewise.nn import Quantize, QuantizedConv, WinogradConv2d, unsuitable
from tilewise.quant import FLOAT_BITS, Direct, Exact, Residue, Spec

GRIDS = {"uint8": {"low": 0, "high": 255}, "int16": {"low": 0, "high": 1023}}


def served(shape: LayerShape, candidate: Candidate) -> Candidate:
    """Return what a layer becomes: the candidate, or direct at its width where that serves no layer of this shape."""
    spec = candidate.spec()
    if not isinstance(spec, Direct) and unsuitable(_conv(shape, "meta"), spec):
        return Candidate("direct", candidate.dtype)
    return candidate


def run_as(shape: LayerShape, spec: Spec) -> Spec:
    """Return what the engine runs a layer as whose spec leaves the lossless algorithm open; any other spec as it is."""
    if isinstance(spec, Exact | Residue) and unsuitable(_conv(shape, "meta"), spec):
        return Direct()
    r, (rows, cols) = shape.kernel[0], shape.out
    if isinstance(spec, Exact):
        channels = min(shape.in_channels, shape.out_channels)
        spec = next(iter(by_itself(spec, r, channels, rows * cols)), Direct())
    if isinstance(spec, Residue):
        served = tiles(spec, r, shape.out)
        words = spec.residue_bits == 13 if spec.moduli == "auto" else max(spec.moduli) > 255
        return Residue(tile=served[0], residue_bits=13 if words else 8) if served else Direct()
    return Exact(in_order(spec, r, shape.out)[0]) if isinstance(spec, Exact) else spec


def layer_program(shape: LayerShape, candidate: Candidate, *, ordered: bool = False) -> Program:
    """Return the program of a single convolution as it stands within a network, with random weights and dummy ranges.

    Parameters
    ----------
    shape : LayerShape
        Its sizes; the program's input is images of ``in_channels`` channels.
    candidate : Candidate
        How it shall be computed; what it does not serve is direct (:func:`served`).
    ordered : bool
        Whether float sums of a direct convolution have the one order of networks with quantized layers.

    Returns
    -------
    Program
        Three operations: input, the convolution, output. The convolution writes what a next layer of its own type
        would read. Its record's work is :func:`layer_work`.

    Raises
    ------
    ValueError
        If a lossless kernel has so many channels that random weights do not prove its sums.
    """
    work = layer_work(shape, candidate, ordered=ordered)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = convert(nn.Sequential(_conv(shape)), {"*": work.candidate.spec()}).eval()
        x = torch.randn(shape.batch, shape.in_channels, shape.height, shape.width)
        calibrate(move_transforms(model), [x])
        program = make_program(model, x, work.candidate.precision)
    conv = program.operations[1]
    if work.candidate.lossless and conv["op"] not in ("wrapping", "residue"):
        raise ValueError(f"{work} can not be measured: with random weights its sums may leave what is lossless")
    conv = conv | ({"ordered": work.ordered} if conv["op"] == "direct" else {})
    y = {"name": "y", "channels": shape.out_channels, "dtype": work.output}
    if work.output in GRIDS:
        y |= {**GRIDS[work.output], "step": 0.05, "factor": 20.0}
    return dataclasses.replace(
        program,
        operations=(program.operations[0], conv, program.operations[2]),
        tensors=(program.tensors[0], y, *program.tensors[2:]),
    )


def layer_work(shape: LayerShape, candidate: Candidate, *, ordered: bool = False) -> Convolution:
    """Return what :func:`layer_program` computes, for a record."""
    return convolution(shape, served(shape, candidate), ordered=ordered)


def move_transforms(model: nn.Module) -> nn.Module:
    """Move learned transforms, in place, off the zeros of their algorithms, as training would."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, WinogradConv2d) and module.spec.transforms == "learned":
                for matrix in (module.AT, module.G, module.BT):
                    matrix.add_(torch.rand_like(matrix), alpha=0.1)
    return model


def with_ranges(model: nn.Module, example: Any) -> nn.Module:
    """Return a model in evaluation whose quantized layers have ranges: itself, or a copy that has seen noise."""
    ranges = [
        module.range if isinstance(module, Quantize) else module.get_range("input_range")
        for module in model.modules()
        if isinstance(module, Quantize) or (isinstance(module, QuantizedConv) and module.spec.bits != FLOAT_BITS)
    ]
    if all(found.ready for found in ranges):
        return model
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return calibrate(copy.deepcopy(model), [torch.randn(check_tensor("example", example).shape)])


def _conv(shape: LayerShape, device: str = "cpu") -> nn.Conv2d:
    return nn.Conv2d(
        shape.in_channels, shape.out_channels, shape.kernel, shape.stride, shape.padding, shape.dilation, shape.groups,
        device=device,
    )  # fmt: skip
