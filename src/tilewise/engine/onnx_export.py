"""Networks as ONNX files: the integers of direct convolution, as QuantizeLinear and DequantizeLinear around layers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from tilewise.common.files import write_whole
from tilewise.conversion import convert, skips_of, specs_of
from tilewise.engine.compiler import Normalization, make_program
from tilewise.engine.onnx_nodes import Nodes, write_operation
from tilewise.engine.program import Program
from tilewise.quant import FLOAT_BITS, Direct

OPSET = 20
IR_VERSION = 9


def to_onnx(
    model: nn.Module,
    example: Any,
    path: str | Path,
    *,
    normalization: Normalization | Mapping[str, Normalization] | None = None,
) -> None:
    """Write a converted network as an ONNX file that any runtime computes in int8: nobody is locked in.

    Every quantized convolution is a direct one in the file, with the integer weights and the grids of this network, as
    ``QuantizeLinear`` and ``DequantizeLinear`` around it. Lossless and direct layers keep their numbers. A layer that a
    fast algorithm computes keeps its weights and the range of its input, and gets direct's numbers.

    Parameters
    ----------
    model : torch.nn.Module
        Converted and calibrated or trained, as for :func:`tilewise.compile`; or plain, for a float file.
    example : Tensor or array of shape (N, C, H, W), float32; or a tuple or dict of them
        As for :func:`tilewise.compile`; images in the file have any number and size that the model allows.
    path : path
        Such as ``"net.onnx"``; an existing file is replaced atomically.
    normalization : Normalization, or dict of str to Normalization
        As for :func:`tilewise.compile`.

    Raises
    ------
    ImportError
        If onnx is not installed (``pip install 'tilewise[onnx]'``).
    ValueError
        If the engine does not serve the model, or the file can not say what an operation does; it lists all of them.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs onnx: pip install 'tilewise[onnx]'") from error
    program = make_program(_direct(model), example, normalization=normalization)
    write_whole(Path(path), _file(onnx, program).SerializeToString())


def _direct(model: nn.Module) -> nn.Module:
    """Return the model with direct layers in the place of fast ones, of the same weights and ranges."""
    specs = specs_of(model)
    quantized = {
        name: Direct(bits=spec.bits, quantizer=spec.quantizer)
        for name, spec in specs.items() if spec.bits < FLOAT_BITS
    }  # fmt: skip
    return convert(model, quantized, skips=skips_of(model)) if quantized else model


def _file(onnx: Any, program: Program) -> Any:
    nodes = Nodes(program)
    lacking = [
        f"{operation['name']}: {reason}"
        for i, operation in enumerate(program.operations)
        if (reason := write_operation(nodes, operation["op"], program.fields(i)))
    ]
    if lacking:
        raise ValueError(f"an ONNX file can not say what {len(lacking)} operations do:\n" + "\n".join(lacking))
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output], name=output, **how) for kind, inputs, output, how in nodes.all],
        "tilewise",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in nodes.inputs.items()],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in nodes.outputs.items()],
        [onnx.numpy_helper.from_array(values, name) for name, values in nodes.constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tilewise"
    )
    onnx.checker.check_model(model)
    return model
