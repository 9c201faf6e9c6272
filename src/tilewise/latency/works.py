"""The operations of a plan as what latencies are kept of."""

from __future__ import annotations

from typing import Any

from torch import nn

from tilewise.algebra import algorithm
from tilewise.engine.plan import ITEM_BYTES, Plan
from tilewise.latency.candidates import Candidate, Dtype
from tilewise.latency.records import Convolution, Operation, Work
from tilewise.latency.shapes import LayerShape
from tilewise.nn import QuantizedConv, WinogradConv2d
from tilewise.quant import Exact

_DTYPES: dict[str, Dtype] = {"float32": "float32", "uint16": "bf16", "int16": "int16", "int8": "int8"}
"""By the type of a plan's weights."""


CONVOLUTIONS = ("direct", "fast", "exact", "residue")
"""Operations of a plan that are kept as convolutions."""


def works_of(plan: Plan, model: nn.Module) -> list[Work]:
    """Give what each operation of a plan is, in its order.

    Parameters
    ----------
    plan : Plan
        Of the model.
    model : torch.nn.Module
        Its layers tell the algorithms.

    """
    return [
        _convolution(plan, i, node, model) if node["op"] in CONVOLUTIONS else operation_of(plan, i)
        for i, node in enumerate(plan.nodes)
    ]


def call_of(plan: Plan) -> Operation:
    """Give what a call of a plan's engine is, around its operations."""
    return Operation(
        op="call", inputs=(("float32", *_chw(plan.input_shape)),), output=("float32", *_chw(plan.output_chw)),
        batch=plan.batch,
    )  # fmt: skip


def ends_bytes(work: Work) -> int:
    """Bytes of activations that an operation reads and writes."""
    if isinstance(work, Operation):
        return work.batch * sum(ITEM_BYTES[dtype] * c * h * w for dtype, c, h, w in (*work.inputs, work.output))
    shape = work.shape
    pixels = shape.out[0] * shape.out[1] * shape.out_channels
    written = sum(ITEM_BYTES[dtype] for dtype in (work.output, work.residual) if dtype)
    read = shape.height * shape.width * shape.in_channels * ITEM_BYTES[work.candidate.stored]
    return shape.batch * (pixels * written + read)


def operation_of(plan: Plan, i: int) -> Operation:
    """Give what an operation of a plan is that is no convolution."""
    node = plan.nodes[i]
    roles = [node[role] for role in ("x", "residual") if node.get(role) is not None]
    inputs = tuple(_tensor(plan, number) for number in roles) or (("float32", *_chw(plan.input_shape)),)
    output = _tensor(plan, node["y"]) if "y" in node else ("float32", *_chw(plan.output_chw))
    return Operation(op=node["op"], inputs=inputs, output=output, batch=plan.batch)


def _convolution(plan: Plan, i: int, node: dict[str, Any], model: nn.Module) -> Convolution:
    x, y = plan.tensors[node["x"]], plan.tensors[node["y"]]
    weight = plan.arrays[f"{i}.u" if node["op"] == "fast" else f"{i}.weight"]
    dtype = _DTYPES[str(weight.dtype)]
    candidate = Candidate("direct", dtype)
    kernel, stride = weight.shape[1:3], node.get("stride", (1, 1))
    if node["op"] == "exact":
        candidate = Candidate(_exact_name(node, model), dtype, exact=True)
    if node["op"] == "residue":
        bits = 8 if plan.arrays[f"{i}.moduli"].max() < 2**8 else 13
        candidate = Candidate(f"residue-{node['m']}-{bits}", dtype, exact=True)
    if node["op"] == "fast":
        layer = model.get_submodule(node["name"])
        assert isinstance(layer, WinogradConv2d)
        candidate = Candidate.of(layer.spec, "bf16" if dtype == "bf16" else "float32")
        kernel, stride = layer.kernel_size, (node["stride"], node["stride"])
    residual = node["residual"]
    return Convolution(
        shape=LayerShape(
            batch=plan.batch,
            in_channels=x["channels"],
            out_channels=y["channels"],
            kernel=(int(kernel[0]), int(kernel[1])),
            stride=stride,
            padding=node["padding"],
            dilation=node.get("dilation", (1, 1)),
            height=x["height"],
            width=x["width"],
        ),
        candidate=candidate,
        output=y["dtype"],
        residual=None if residual is None else plan.tensors[residual]["dtype"],
        unfused=node.get("unfused", False),
    )


def _exact_name(node: dict[str, Any], model: nn.Module) -> str:
    """Give the name that specs have for the algorithm of an exact operation, whose own one names its tile too."""
    layer = model.get_submodule(node["name"])
    assert isinstance(layer, QuantizedConv)
    r = layer.kernel_size[0]
    spec = layer.spec if isinstance(layer.spec, Exact) else Exact()  # tuning makes direct layers exact
    return next(name for name in spec.resolve(r) if algorithm(name, r).name == node["algorithm"])


def _tensor(plan: Plan, number: int) -> tuple[str, int, int, int]:
    t = plan.tensors[number]
    return t["dtype"], t["channels"], t["height"], t["width"]


def _chw(shape: tuple[int, ...]) -> tuple[int, int, int]:
    channels, height, width = shape
    return channels, height, width
