"""The network between torch and the plan: nodes that make one tensor each, in the order in which they run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tilewise.nn import Affine, Grid, QuantizedConv

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]


class Chw(NamedTuple):
    """Channels, height and width of a tensor, as it lies in memory."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Input:
    """The images."""


@dataclass(frozen=True)
class Conv:
    """A convolution, or a linear layer as one."""

    layer: QuantizedConv


@dataclass(frozen=True)
class BatchNorm:
    """``y * alpha + beta`` per channel."""

    affine: Affine


@dataclass(frozen=True)
class Clamp:
    """An activation: ``min(max(y, low), high)``."""

    low: float
    high: float


@dataclass(frozen=True)
class Add:
    """The sum of two tensors."""


@dataclass(frozen=True)
class Quantization:
    """To the integers of a grid and back: the result lies in memory as these integers."""

    grid: Grid


@dataclass(frozen=True)
class Eltwise:
    """What has no other operation to be the end of: a node of this kind computes its epilogue only."""

    affine: Affine | None = None


@dataclass(frozen=True)
class Pool:
    """Maximum or mean over windows, ``rows[i]`` and ``cols[j]`` being (begin, end) within the image.

    ``divisor`` is 0 for the number of pixels, else that number.
    """

    maximum: bool
    rows: Ints
    cols: Ints
    divisor: int = 0


class Part(NamedTuple):
    """Where an input of a :class:`Gather` goes: its pixel ``rows[i], cols[j]`` to pixel i, j; -1 stands for zeros."""

    rows: Ints
    cols: Ints
    first: int


@dataclass(frozen=True)
class Gather:
    """Slices, zero padding, concatenation, nearest upsampling: pixels put elsewhere, one part for each input."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Shuffle:
    """Pixel shuffle."""

    factor: int


@dataclass(frozen=True)
class Resize:
    """Bilinear interpolation: (low, high) pixels of each row and column, and the weights of the high ones."""

    rows: Ints
    cols: Ints
    row_weights: Floats
    col_weights: Floats


Op: TypeAlias = Input | Conv | BatchNorm | Clamp | Add | Quantization | Eltwise | Pool | Gather | Shuffle | Resize


@dataclass(eq=False)
class Node:
    """One operation, and the tensor it makes.

    Parameters
    ----------
    name : str
        Where it stands in the model.
    op : Op
        What it does.
    inputs : list of Node
        What it reads.
    chw : Chw
        Size of its tensor.
    residual, clamp, grid
        What fusion (passes.py) has put at its end: a tensor to add, then an activation, then storage as integers.
    bf16 : bool
        Whether it is stored in bfloat16, for direct convolutions that read nothing else.
    """

    name: str
    op: Op
    inputs: list[Node]
    chw: Chw
    residual: Node | None = None
    clamp: Clamp | None = None
    grid: Grid | None = None
    bf16: bool = False

    @property
    def dtype(self) -> str:
        """As what its tensor lies in memory."""
        if self.bf16:
            return "bfloat16"
        return "float32" if self.grid is None else self.grid.dtype

    def reads(self) -> list[Node]:
        """Everything it reads."""
        return [*self.inputs, *([] if self.residual is None else [self.residual])]

    def replace(self, old: Node, new: Node) -> None:
        """Read ``new`` where it read ``old``."""
        self.inputs = [new if x is old else x for x in self.inputs]
        self.residual = new if self.residual is old else self.residual


@dataclass
class Graph:
    """Nodes in an order in which they can run; the first one is the input.

    Parameters
    ----------
    nodes : list of Node
        All of them.
    output : Node
        Makes the result.
    output_shape : tuple of int
        Of the result without its batch axis: its tensor's memory order is that of the result.
    batch : int
        Images of the example.
    """

    nodes: list[Node] = field(default_factory=list)
    output: Node = field(default=None)  # type: ignore[assignment]
    output_shape: tuple[int, ...] = ()
    batch: int = 1

    def readers(self) -> dict[Node, list[Node]]:
        """Who reads a node, once for each time; the end of the network is read by nobody."""
        found: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for x in node.reads():
                found[x].append(node)
        return found

    def is_read_only_by(self, node: Node, reader: Node, readers: dict[Node, list[Node]]) -> bool:
        """Whether ``reader`` alone, and once, needs the node."""
        return node is not self.output and readers[node] == [reader]

    def replace(self, old: Node, new: Node) -> None:
        """Have all readers of ``old``, and the end of the network, read ``new``."""
        for node in self.nodes:
            if node is not new:
                node.replace(old, new)
        if self.output is old:
            self.output = new

    def remove(self, node: Node) -> None:
        """Take out a node that nobody reads."""
        self.nodes.remove(node)

    def insert_before(self, place: Node, node: Node) -> None:
        """Let ``node`` run right before ``place``."""
        self.nodes.insert(self.nodes.index(place), node)

    def insert_after(self, place: Node, node: Node) -> None:
        """Let ``node`` run right after ``place``."""
        self.nodes.insert(self.nodes.index(place) + 1, node)
