"""Measured operations: what latencies are kept of, as they stand in a program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import nn

from tilewise.algebra import algorithm
from tilewise.engine.program import Program
from tilewise.latency.candidates import Candidate, Dtype
from tilewise.latency.records import Convolution, Operation, Work
from tilewise.latency.shapes import LayerShape
from tilewise.nn import QuantizedConv, WinogradConv2d
from tilewise.quant import Exact

_DTYPES: dict[str, Dtype] = {"float32": "float32", "uint16": "bf16", "int16": "int16", "int8": "int8"}
"""By the type of a program's weights."""
ITEM_BYTES = {"uint8": 1, "int16": 2, "bfloat16": 2, "float32": 4}
"""Of the types of tensors."""
CONVOLUTIONS = ("direct", "fast", "wrapping", "residue")
"""Operations of a program that are kept as convolutions."""

Shape: TypeAlias = tuple[int, int, int, int]
"""N, C, H, W of the images that a program is measured with."""


@dataclass(frozen=True)
class SizedProgram:
    """A program of one input and one output, the sizes of its tensors for images of some shape, and where they lie."""

    program: Program
    shape: Shape
    sizes: tuple[tuple[int, int], ...]
    wholes: tuple[int, ...]

    @classmethod
    def of(cls, program: Program, shape: Shape) -> SizedProgram:
        """Return a program with its sizes."""
        from tilewise import _native

        content = program.to_bytes()
        wholes = tuple(whole for whole, _ in _native.tensor_views(content))
        return cls(program, shape, tuple(_native.tensor_sizes(content, [shape])), wholes)

    def tensor(self, number: int) -> tuple[str, int, int, int]:
        """Return type, channels, height and width of a tensor."""
        t = self.program.tensors[number]
        return t["dtype"], t["channels"], *self.sizes[number]

    @property
    def output(self) -> tuple[int, int, int]:
        """Channels, height and width of the result."""
        return self.tensor(self.program.operations[-1]["x"])[1:]


def operations_of(sized: SizedProgram, model: nn.Module) -> list[Work]:
    """Return what each operation of a program is, in its order.

    Parameters
    ----------
    sized : SizedProgram
        Of the model.
    model : torch.nn.Module
        Its layers tell the algorithms.

    """
    return [
        _convolution(sized, i, operation, model) if operation["op"] in CONVOLUTIONS else operation_of(sized, i)
        for i, operation in enumerate(sized.program.operations)
    ]


def call_of(sized: SizedProgram) -> Operation:
    """Return what a call of a program's engine is, around its operations."""
    return Operation(
        op="call", inputs=(("float32", *sized.shape[1:]),), output=("float32", *sized.output), batch=sized.shape[0]
    )


def ends_bytes(work: Work) -> int:
    """Bytes of activations that an operation reads and writes."""
    if isinstance(work, Operation):
        return work.batch * sum(ITEM_BYTES[dtype] * c * h * w for dtype, c, h, w in (*work.inputs, work.output))
    shape = work.shape
    pixels = shape.out[0] * shape.out[1] * shape.out_channels
    written = sum(ITEM_BYTES[dtype] for dtype in (work.output, work.residual) if dtype)
    read = shape.height * shape.width * shape.in_channels * ITEM_BYTES[work.candidate.stored]
    return shape.batch * (pixels * written + read)


def operation_of(sized: SizedProgram, i: int) -> Operation:
    """Return what an operation of a program is that is no convolution."""
    operation = sized.program.operations[i]
    if operation["op"] == "gather":
        return _copies(sized, operation)
    x = operation.get("x", [])
    reads = [*(x if isinstance(x, list) else [x]), operation.get("residual")]
    inputs = tuple(sized.tensor(number) for number in reads if number is not None)
    output = sized.tensor(operation["y"]) if "y" in operation else ("float32", *sized.output)
    return Operation(
        op=operation["op"], inputs=inputs or (("float32", *sized.shape[1:]),), output=output, batch=sized.shape[0]
    )


def _copies(sized: SizedProgram, operation: dict[str, Any]) -> Operation:
    """Return what a gather really moves: channels that lie in its result, or it in them, stay where they are."""
    y = operation["y"]
    moved = [x for x in operation["x"] if sized.wholes[x] != sized.wholes[y]]
    dtype, channels, height, width = sized.tensor(y)
    if operation["axis"] == 0:
        channels -= sum(sized.tensor(x)[1] for x in operation["x"] if x not in moved)
    return Operation(
        op="gather", inputs=tuple(map(sized.tensor, moved)), output=(dtype, channels if moved else 0, height, width),
        batch=sized.shape[0],
    )  # fmt: skip


def _convolution(sized: SizedProgram, i: int, node: dict[str, Any], model: nn.Module) -> Convolution:
    arrays = sized.program.arrays
    _, in_channels, height, width = sized.tensor(node["x"])
    output, out_channels, *_ = sized.tensor(node["y"])
    weight = arrays[f"{i}.u" if node["op"] == "fast" else f"{i}.weight"]
    dtype = _DTYPES[str(weight.dtype)]
    candidate = Candidate("direct", dtype)
    kernel, stride, dilation = weight.shape[1:3], (1, 1), (1, 1)
    if node["op"] == "direct":
        stride, dilation = tuple(node["stride"]), tuple(node["dilation"])
    if node["op"] == "wrapping":
        candidate = Candidate(_lossless_name(node, model), dtype, lossless=True)
    if node["op"] == "residue":
        bits = 8 if arrays[f"{i}.moduli"].max() < 2**8 else 13
        candidate = Candidate(f"residue-{node['m']}-{bits}", dtype, lossless=True)
    if node["op"] == "fast":
        layer = model.get_submodule(node["name"])
        assert isinstance(layer, WinogradConv2d)
        candidate = Candidate.of(layer.spec, "bf16" if dtype == "bf16" else "float32")
        kernel, stride = layer.kernel_size, (node["stride"], node["stride"])
        dilation = (node["dilation"], node["dilation"])
    residual = node["residual"]
    top, _, left, _ = node["padding"]
    return Convolution(
        shape=LayerShape(
            batch=sized.shape[0],
            in_channels=in_channels,
            out_channels=out_channels,
            kernel=(int(kernel[0]), int(kernel[1])),
            stride=(stride[0], stride[1]),
            padding=(top, left),
            dilation=dilation,
            height=height,
            width=width,
            groups=in_channels // weight.shape[-1],
        ),
        candidate=candidate,
        output=output,
        residual=None if residual is None else sized.tensor(residual)[0],
        ordered=node.get("ordered", False),
    )


def _lossless_name(node: dict[str, Any], model: nn.Module) -> str:
    """Return the name that specs have for the algorithm of a lossless operation, whose own one names its tile too."""
    layer = model.get_submodule(node["name"])
    assert isinstance(layer, QuantizedConv)
    r = layer.kernel_size[0]
    spec = layer.spec if isinstance(layer.spec, Exact) else Exact()  # tuning makes direct layers lossless
    return next(name for name in spec.resolve(r) if algorithm(name, r).name == node["algorithm"])
