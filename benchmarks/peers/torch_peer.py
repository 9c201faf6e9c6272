"""torch: float32 channels last or frozen with prepacked weights; 8 bits by its quantized operations (engine x86)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from peers.net import INPUT, Floats, Node, Sample, quantize_weight
from peers.runner import Runner, Slot, Variant
from peers.torch_net import NetModule

FORCED_BY = "ATEN_CPU_CAPABILITY"
VARIANTS = (Variant("channels last", "fp32"), Variant("frozen", "fp32"), Variant("x86", "int8"))


def version() -> str:
    """Return the library's version."""
    return str(torch.__version__)


def build(variant: Variant, sample: Sample, threads: int) -> Runner:
    """Build a variant."""
    torch.set_num_threads(threads)
    x = torch.from_numpy(sample.x)
    slot = Slot()
    forward: Callable[[Any], Any]
    if variant.dtype == "int8":
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)  # deprecated, not gone
        x = x.contiguous(memory_format=torch.channels_last)
        forward = _Quantized(sample)
        x = forward.quantized(x) if sample.net.is_layer else x
    elif variant.name == "frozen":
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch.jit says that torch.compile takes its place; that needs a compiler
            traced = torch.jit.trace(NetModule(sample.net), x)  # type: ignore[no-untyped-call]
            forward = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    else:
        forward = NetModule(sample.net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)

    def call() -> None:
        with torch.no_grad():
            slot.value = forward(x)

    def output() -> Floats:
        y = slot.value.dequantize() if slot.value.is_quantized else slot.value
        found: Floats = y.contiguous().numpy()
        return found

    return Runner(call, output)


class _Quantized:
    """The network on quint8 tensors; it takes floats, a layer quantized ones."""

    def __init__(self, sample: Sample) -> None:
        torch.backends.quantized.engine = "x86"
        self.sample = sample
        self.packed = {node.name: _packed(node) for node in sample.net.nodes if node.weight is not None}

    def quantized(self, x: torch.Tensor) -> torch.Tensor:
        return torch.quantize_per_tensor(x, *self.sample.unsigned(INPUT), torch.quint8)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        found = {INPUT: x if x.is_quantized else self.quantized(x)}
        for node in self.sample.net.nodes:
            found[node.name] = self._run(node, [found[name] for name in node.inputs])
        y = found[self.sample.net.output]
        return y if self.sample.net.is_layer else y.dequantize()

    def _run(self, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        ops: Any = torch.ops.quantized
        x, grid = inputs[0], self.sample.unsigned(node.name)
        y: torch.Tensor
        if node.op == "conv":
            y = (ops.conv2d_relu if node.relu else ops.conv2d)(x, self.packed[node.name], *grid)
        elif node.op == "linear":
            y = (ops.linear_relu if node.relu else ops.linear)(x, self.packed[node.name], *grid)
        elif node.op == "add":
            y = (ops.add_relu if node.relu else ops.add)(x, inputs[1], *grid)
        elif node.op == "max_pool":
            y = F.max_pool2d(x, node.kernel, node.stride, node.padding)
        elif node.op == "mean":
            y = F.adaptive_avg_pool2d(x, 1).flatten(1)
        elif node.op == "flatten":
            y = x.flatten(1)
        else:
            n, _, height, width = x.shape
            zeros = torch.zeros(n, node.padding, height, width)
            zeros = torch.quantize_per_tensor(zeros, *grid, torch.quint8)
            y = torch.cat([zeros, x, zeros], 1).contiguous(memory_format=torch.channels_last)
        return y


def _packed(node: Node) -> Any:
    weight, bias = node.parameters
    steps = quantize_weight(weight)[1]
    zeros = torch.zeros(len(steps), dtype=torch.int64)
    q = torch.quantize_per_channel(
        torch.from_numpy(weight), torch.from_numpy(steps.astype(np.float64)), zeros, 0, torch.qint8
    )
    ops: Any = torch.ops.quantized
    if node.op == "linear":
        return ops.linear_prepack(q, torch.from_numpy(bias))
    q = q.contiguous(memory_format=torch.channels_last)
    return ops.conv2d_prepack(q, torch.from_numpy(bias), [node.stride] * 2, [node.padding] * 2, [1, 1], 1)
