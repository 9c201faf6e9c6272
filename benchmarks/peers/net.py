"""A network as every peer can be given it: few operations on named tensors, batch norms folded, no torch inside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Op: TypeAlias = Literal["conv", "linear", "add", "max_pool", "mean", "flatten", "pad_channels"]
INPUT = "data"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operation; its output has its name.

    Parameters
    ----------
    op : str
        ``max_pool`` of kernel 1 is subsampling; ``mean`` is over the whole map; ``pad_channels`` adds zeros on both
        sides.
    name : str
        Letters, digits and underscores.
    inputs : tuple of str
        Names of nodes, or ``"data"``.
    weight, bias : arrays, optional
        (K, C, r, r) or (K, C), and (K,).
    kernel, stride, padding : int
        Of convolutions and pooling; of ``pad_channels`` the padding counts channels.
    relu : bool
        Whether a ReLU ends it.
    """

    op: Op
    name: str
    inputs: tuple[str, ...]
    weight: Floats | None = None
    bias: Floats | None = None
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    relu: bool = False

    @property
    def parameters(self) -> tuple[Floats, Floats]:
        """Weight and bias of an operation that has them."""
        assert self.weight is not None
        assert self.bias is not None
        return self.weight, self.bias

    def shape(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Return the output's shape without the batch, from those of the inputs."""
        first = shapes[self.inputs[0]]
        if self.op == "linear":
            return (len(self.parameters[0]),)
        if self.op == "flatten":
            return (math.prod(first),)
        if self.op == "mean":
            return first[:1]
        if self.op == "pad_channels":
            return (first[0] + 2 * self.padding, *first[1:])
        if self.op == "add":
            return first
        height, width = ((size + 2 * self.padding - self.kernel) // self.stride + 1 for size in first[1:])
        return (first[0] if self.op == "max_pool" else len(self.parameters[0]), height, width)


@dataclass(frozen=True)
class Net:
    """Operations in order; the last one's output is the network's.

    Parameters
    ----------
    nodes : tuple of Node
        Each after those that it reads.
    input_shape : tuple of int
        (C, H, W).
    """

    nodes: tuple[Node, ...]
    input_shape: tuple[int, ...]

    @property
    def output(self) -> str:
        """Name of the last tensor."""
        return self.nodes[-1].name

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor, without the batch."""
        shapes = {INPUT: self.input_shape}
        for node in self.nodes:
            shapes[node.name] = node.shape(shapes)
        return shapes

    @property
    def is_layer(self) -> bool:
        """Whether it is one convolution, which takes and gives 8-bit tensors where a peer allows that."""
        return len(self.nodes) == 1

    def readers(self, tensor: str) -> list[Node]:
        """Operations that read a tensor."""
        return [node for node in self.nodes for name in node.inputs if name == tensor]

    def operations(self, batch: int) -> int:
        """Count what direct convolutions and linear layers do: two for each multiply-add."""
        shapes = self.shapes
        weighted = [node for node in self.nodes if node.weight is not None]
        return 2 * batch * sum(node.parameters[0].size * math.prod(shapes[node.name][1:]) for node in weighted)

    def bytes(self, batch: int, element: int) -> int:
        """Count bytes of activations in and out and of direct weights, for a layer."""
        shapes = self.shapes
        elements = batch * (math.prod(self.input_shape) + math.prod(shapes[self.output]))
        return element * (elements + sum(node.weight.size for node in self.nodes if node.weight is not None))


@dataclass(frozen=True)
class Sample:
    """A network with input, right output, and the range of every tensor on that input.

    Parameters
    ----------
    net : Net
        What to run.
    x, y : arrays of shape (N, ...)
        Input, and what float32 makes of it.
    ranges : dict of str to pair of float
        Smallest (at most 0) and largest value by tensor.
    """

    net: Net
    x: Floats
    y: Floats
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def unsigned(self, tensor: str) -> tuple[float, int]:
        """Return step and zero point of a tensor on 0 .. 255."""
        low, high = self.ranges[tensor]
        step = float(np.float32(max(high - low, 1e-8) / 255))
        return step, round(-low / step)

    def symmetric(self, tensor: str) -> float:
        """Return the step of a tensor on -127 .. 127."""
        low, high = self.ranges[tensor]
        return max(-low, high, 1e-8) / 127

    def unsigned_input(self) -> NDArray[np.uint8]:
        """Quantize the input to its unsigned grid."""
        step, zero = self.unsigned(INPUT)
        q: NDArray[np.uint8] = np.clip(np.round(self.x / np.float32(step)) + zero, 0, 255).astype(np.uint8)
        return q

    def error(self, y: NDArray[np.generic]) -> float:
        """Return the relative error of an output, root mean square."""
        difference = np.asarray(y, np.float64).reshape(self.y.shape) - self.y
        return float(np.linalg.norm(difference) / np.linalg.norm(self.y))


def quantize_weight(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Quantize per output channel to -127 .. 127; gives the integers and the step of each channel."""
    steps = np.maximum(np.abs(weight).reshape(len(weight), -1).max(1), 1e-8) / 127
    scaled = weight / steps.reshape(-1, *[1] * (weight.ndim - 1))
    return np.clip(np.round(scaled), -127, 127).astype(np.int8), steps.astype(np.float32)


def quantize_bias(bias: Floats, steps: Floats, input_step: float) -> tuple[NDArray[np.int32], Floats]:
    """Quantize a bias with the steps of the sums, input step times weight step; gives integers and steps."""
    own = (steps * np.float32(input_step)).astype(np.float32)
    return np.round(bias / own).astype(np.int32), own


def with_relu(node: Node) -> Node:
    """Return the operation ended by a ReLU."""
    return replace(node, relu=True)
