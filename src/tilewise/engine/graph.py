"""The network between torch and the program: nodes that make one tensor each, in the order in which they run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from tilewise.engine.axes import COLUMN, ROW, Digit
from tilewise.engine.functions import FUNCTIONS
from tilewise.quant import QuantGrid

if TYPE_CHECKING:
    from tilewise.engine.lower import Writer


class Chw(NamedTuple):
    """Channels, height and width of a tensor for the example; height and width may differ from run to run."""

    channels: int
    height: int
    width: int


class Op:
    """What a node does. A file of ``operations/`` holds one kind.

    The properties tell the passes what they may do around it.
    """

    moves: ClassVar[bool] = False
    """Whether it makes no new numbers, except zeros."""
    adds_zeros: ClassVar[bool] = False
    """Whether it may make zeros."""
    compares: ClassVar[bool] = False
    """Whether which numbers it moves depends on the numbers, as in a maximum."""
    keeps_grid: ClassVar[bool] = False
    """Whether its result has the grid of what it reads, and can have no other."""
    has_ending: ClassVar[bool] = False
    """Whether it can add a residual and apply an activation at its end."""

    def emit(self, node: Node, writer: Writer) -> None:  # noqa: ARG002 - what operations need
        """Add the operations of a program that do the work of ``node``, which has this op."""
        raise AssertionError(f"{self} is still there after fusion")


@dataclass(frozen=True)
class Activation:
    """What happens to a number before it is stored: function, slope and limits, in this order.

    Parameters
    ----------
    low, high : float
        ``min(max(y, low), high)``.
    slope : tuple of float
        ``y > 0 ? y : y * slope``: one number for each channel, or one for all, or none, which stands for 1.
    function : str
        One of ``engine/functions.py``, or empty for none.
    """

    low: float = -math.inf
    high: float = math.inf
    slope: tuple[float, ...] = ()
    function: str = ""

    def commutes(self, mover: Op) -> bool:
        """Whether moving numbers first and activating them then is the same as the other way round."""
        # The approximation of a rising function may fall by a last bit.
        rises = not self.function and all(slope >= 0 for slope in self.slope)
        same_in_all = len(self.slope) <= 1
        return (
            mover.moves and same_in_all and (rises or not mover.compares) and (self.keeps_zero or not mover.adds_zeros)
        )

    @property
    def keeps_zero(self) -> bool:
        """Whether 0 stays 0."""
        return self.low <= 0 <= self.high and (not self.function or FUNCTIONS[self.function].keeps_zero)

    def fields(self, channels: int) -> dict[str, Any]:
        """Return what a program's operation says of it; null stands for no limit."""
        low, high = (None if math.isinf(limit) else limit for limit in (self.low, self.high))
        slope = np.array(self.slope * (channels // len(self.slope)), np.float32) if self.slope else None
        return {"act_low": low, "act_high": high, "slope": slope, "function": self.function}


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
        Size of its tensor for the example.
    like : Node, optional
        The tensor whose height and width it takes.
    residual, activation, grid
        What fusion (passes.py) has put at its end: a tensor to add, then an activation, then storage as integers.
    bf16 : bool
        Whether it is stored in bfloat16, for direct convolutions that read nothing else.
    """

    name: str
    op: Op
    inputs: list[Node]
    chw: Chw
    like: Node | None = None
    residual: Node | None = None
    activation: Activation | None = None
    grid: QuantGrid | None = None
    bf16: bool = False

    @property
    def dtype(self) -> str:
        """As what its tensor lies in memory."""
        if self.bf16:
            return "bfloat16"
        return "float32" if self.grid is None else self.grid.dtype

    def reads(self) -> list[Node]:
        """Everything it needs."""
        return [*self.inputs, *(x for x in (self.like, self.residual) if x is not None)]

    def replace(self, old: Node, new: Node) -> None:
        """Read ``new`` where it read ``old``."""
        self.inputs = [new if x is old else x for x in self.inputs]
        self.like = new if self.like is old else self.like
        self.residual = new if self.residual is old else self.residual


class Extent(NamedTuple):
    """How long an axis of a result is: ``multiple * height ** rows * width ** columns / divisor`` of its tensor."""

    multiple: int
    divisor: int
    rows: int
    columns: int

    @classmethod
    def of(cls, axis: tuple[Digit, ...], chw: Chw) -> Extent:
        """Return how long an axis of such digits is."""
        bases = [digit.base for digit in axis if digit.free]
        size = math.prod(digit.size for digit in axis)
        grown = math.prod(chw[base] for base in bases)
        return cls(*Fraction(size, grown).as_integer_ratio(), bases.count(ROW), bases.count(COLUMN))

    @property
    def grows(self) -> bool:
        """Whether it follows from the image's size."""
        return self.rows + self.columns > 0


@dataclass
class Output:
    """A result of the network.

    Parameters
    ----------
    name : str
        What callers know it by.
    node : Node
        Makes it.
    channels_last : bool
        Whether its numbers come pixel by pixel, all channels of each, as callers see it.
    axes : tuple of Extent, optional
        Of what callers see, after the batch; None: (N, C, H, W).
    values : int
        C*H*W that it must have, whatever the images' size; 0: any number.
    """

    name: str
    node: Node
    channels_last: bool = False
    axes: tuple[Extent, ...] | None = None
    values: int = 0


@dataclass
class Graph:
    """Nodes in an order in which they can run; the inputs come first.

    Parameters
    ----------
    nodes : list of Node
        All of them.
    outputs : list of Output
        The results.
    """

    nodes: list[Node] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)

    def is_output(self, node: Node) -> bool:
        """Whether the node makes a result."""
        return any(output.node is node for output in self.outputs)

    def readers(self) -> dict[Node, list[Node]]:
        """Who reads a node, once for each time; the ends of the network are read by nobody."""
        found: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for x in node.reads():
                found[x].append(node)
        return found

    def is_read_only_by(self, node: Node, reader: Node, readers: dict[Node, list[Node]]) -> bool:
        """Whether ``reader`` alone, and once, needs the node."""
        return not self.is_output(node) and readers[node] == [reader]

    def replace(self, old: Node, new: Node) -> None:
        """Have all readers of ``old``, and the ends of the network, read ``new``."""
        for node in self.nodes:
            if node is not new:
                node.replace(old, new)
        for output in self.outputs:
            if output.node is old:
                output.node = new

    def remove(self, node: Node) -> None:
        """Take out a node that nobody reads."""
        self.nodes.remove(node)

    def insert_before(self, place: Node, node: Node) -> None:
        """Let ``node`` run right before ``place``."""
        self.nodes.insert(self.nodes.index(place), node)

    def insert_after(self, place: Node, node: Node) -> None:
        """Let ``node`` run right after ``place``."""
        self.nodes.insert(self.nodes.index(place) + 1, node)
