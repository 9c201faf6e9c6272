# ruff: noqa: PYI021 - the docstrings of a compiled module have no other place where tools find them.
from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray

_UInt8: TypeAlias = NDArray[np.uint8]
_Int16: TypeAlias = NDArray[np.int16]
_Int32: TypeAlias = NDArray[np.int32]
_Float32: TypeAlias = NDArray[np.float32]
_Pair: TypeAlias = tuple[int, int]
_Extents: TypeAlias = tuple[int, int, int, int]  # N, C, H, W
_Images: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
_Results: TypeAlias = NDArray[np.float32] | NDArray[np.uint8] | NDArray[np.int16]

class OpProfile(TypedDict):
    """What one operation took; a type only, the module gives plain dictionaries."""

    name: str
    op: str
    algorithm: str
    seconds: float
    input_transform: float
    requantize: float
    multiply: float
    output_transform: float
    operations: int
    bytes: int

class Peaks(TypedDict):
    """What one core can do at most, per second; zeros for ``reference``. A type only."""

    int8_operations: float
    float_operations: float
    cache_bytes: float
    memory_bytes: float

class KernelSet(TypedDict):
    """One way to compute, for one kind of machine; a type only, the module gives plain dictionaries."""

    name: str
    description: str
    supported: bool
    kernels: list[str]

def kernel_sets() -> list[KernelSet]:
    """List what this build can compute with, the best first; ``supported`` says whether this machine can."""

def compiler() -> str:
    """Name what this module was compiled with."""

def cpu_name() -> str:
    """Name this machine's processor; on ARM the board and the core's numbers."""

def measure_peaks(isa: str = "") -> Peaks:
    """Measure operations (two for each multiply-add) and bytes read per second of one core; takes 0.3 seconds."""

class Port(TypedDict):
    """An input or output of a network; a type only, the module gives plain dictionaries.

    ``size`` (0: any) and ``multiple`` are what an input's height and width must be; ``flat`` and what follows
    describe an output: ``(stored - zero_point) * step`` is the real number.
    """

    name: str
    channels: int
    size: _Pair
    multiple: _Pair
    flat: bool
    stored: Literal["uint8", "int16", "float32"]
    step: float
    zero_point: int

def schema() -> str:
    """Return the version of the format and the operations with their fields, as JSON (docs/contracts/file.md)."""

def tensor_sizes(content: bytes, inputs: Sequence[_Extents]) -> list[_Pair]:
    """Return height and width of each tensor of a ``.tilewise`` file, for inputs of these N, C, H, W."""

def tensor_views(content: bytes) -> list[_Pair]:
    """Return in which tensor each one of a file lies, itself or a wider one, and from which of its channels on."""

@final
class Engine:
    """Runs a compiled network, as ``tilewise.h`` does; several threads may call, they take turns.

    Parameters
    ----------
    content
        A ``.tilewise`` file; nothing of it is kept.
    threads
        1..256, the calling one included, and no more than the cores that this process may use.
    kernel_set
        Name of a kernel set as in :func:`kernel_sets`; empty for what the environment variable ``TILEWISE_ISA``
        names, or else the best that this machine supports.
    batch
        Images that go through at once, at most, 1..65536; 0 for 16.

    Raises
    ------
    ValueError
        If the file is damaged or holds what is not possible, or an argument is not allowed.
    MemoryError
        If the weights do not fit memory.
    """

    def __init__(self, content: bytes, *, threads: int = 1, kernel_set: str = "", batch: int = 0) -> None: ...
    def share(self, threads: int) -> Engine:
        """Return another engine of the same network, which shares the packed weights and runs at the same time."""

    @property
    def kernel_set(self) -> str:
        """Name of the kernel set that computes."""

    @property
    def threads(self) -> int:
        """Number of threads, the calling one included."""

    @property
    def activation_bytes(self) -> int:
        """Bytes that activations take for the sizes prepared so far."""

    def memory(self, inputs: Sequence[_Extents]) -> int:
        """Return the bytes that activations of inputs of these extents (N, C, H, W) take, without taking them."""

    @property
    def inputs(self) -> list[Port]:
        """What goes in, in the order of calls."""

    @property
    def outputs(self) -> list[Port]:
        """What comes out, in the order of calls."""

    def prepare(self, inputs: Sequence[_Extents]) -> list[_Extents]:
        """Get ready for images of these N, C, H, W, one for each input; return those of the outputs.

        Raises
        ------
        ValueError
            If the network does not allow them, naming the operation and what it needs.
        MemoryError
            If the activations do not fit memory.
        """

    def run(self, inputs: Sequence[_Images], outputs: Sequence[_Results], *, channels_last: bool = False) -> None:
        """Run the network on images, and write results to arrays of the shapes that :meth:`prepare` returns.

        Arrays are C-contiguous: inputs float32 or uint8, outputs float32 or what they are stored as; with
        ``channels_last`` inputs and those outputs that are not flat lie as (N, H, W, C). The GIL is released.

        Raises
        ------
        TypeError
            If something is no contiguous array, or an output is read-only.
        ValueError
            If types or shapes do not fit the network, or arrays share memory.
        """

    def profile(
        self, inputs: Sequence[_Images], outputs: Sequence[_Results], *, channels_last: bool = False, repeats: int
    ) -> list[OpProfile]:
        """Run ``repeats`` times, 1..10000, and return the time of every operation.

        ``seconds`` is the median; the stages of fast convolutions are seconds summed over threads, zero elsewhere.
        """

@final
class TrainingStep:
    """One layer's numbers in one step of training, and its forward and backward pass.

    Arrays are C-contiguous, images channels last; ``weight`` and ``dweight`` lie in memory as torch's contiguous or
    channels-last tensors do. Results are written to the arrays given for them; the GIL is released meanwhile. What is
    computed is written in ``native/kernels/training.h``.

    Parameters
    ----------
    at, g, bt
        ``A^T`` (m, n), ``G`` (n, r) and ``B^T`` (n, t).
    v_range, balance
        Largest absolute V, in real numbers, and what V is divided by, (n*n, C).
    padding
        Rows and columns of zeros around the image.
    grid
        Smallest and largest integer of the input.
    step, factor
        Real value of one of its steps, and the reciprocal.
    fraction_bits
        Of the multipliers of V, 15..31.
    limit
        V and U lie in ``-limit .. limit``, 1..127.
    threads
        1..256.
    isa
        Name of a kernel set as in :func:`kernel_sets`; empty for the best that this machine supports.

    Raises
    ------
    ValueError
        If a shape or value is not allowed.
    """

    def __init__(
        self, *, at: _Float32, g: _Float32, bt: _Float32, v_range: _Float32, balance: _Float32, padding: _Pair,
        grid: _Pair, step: float, factor: float, fraction_bits: int, limit: int, threads: int, isa: str = "",
    ) -> None: ...  # fmt: skip
    def u_bytes(self, filters: int) -> int:
        """Bytes of ``u`` for that many filters."""

    def forward(
        self, *, x: _Float32, weight: _Float32, bias: _Float32 | None = None, u: _UInt8, scale: _Float32, y: _Float32,
        v_absmax: _Float32,
    ) -> tuple[float, float]:  # fmt: skip
        """Write U, its scale (n*n, K), the output and the largest absolute V (n*n, C); give the range of ``x``."""

    def backward(
        self, *, x: _Float32, weight: _Float32, u: _UInt8, scale: _Float32, dy: _Float32, dx: _Float32 | None = None,
        dweight: _Float32 | None = None, dat: _Float32 | None = None, dg: _Float32 | None = None,
        dbt: _Float32 | None = None,
    ) -> None:  # fmt: skip
        """Write the gradients that are wanted; those of the matrices all or none, and with ``dweight`` only."""

def trains(m: int, r: int, n: int, isa: str = "") -> bool:
    """Whether a kernel set trains algorithms of these sizes."""

def quantize(
    *, x: _Float32, q: _Float32, grid: _Pair, factor: float, step: float, threads: int, isa: str = ""
) -> tuple[float, float]:
    """Write ``clamp(floor(x * factor + 0.5)) * step`` to ``q``, both of one dimension; give the range of ``x``."""

def quantize_backward(
    *, x: _Float32, dq: _Float32, dx: _Float32, grid: _Pair, factor: float, gradient: float, threads: int, isa: str = ""
) -> None:
    """Write ``dq * gradient`` to ``dx`` where quantizing ``x`` clipped nothing, else zero."""

def winograd_conv2d(
    x: _Int16,
    u: _Int16,
    bt: _Int32,
    mult: _Int32,
    at: _Float32,
    scale: _Float32,
    bias: _Float32 | None = None,
    padding: tuple[int, int] = (0, 0),
    v_limit: int = 127,
    fraction_bits: int = 15,
    stride: int = 1,
) -> tuple[_Int32, _Int16, _Int32, _Float32]:
    """Quantized Winograd convolution, the reference, with the result of every stage.

    This is the number contract in code (its equations are in ``native/kernels/winograd/reference.h``):
    integers are exact, floats are float32 in a fixed order, so every machine and implementation gives the
    same bits. It is written to be read, not to be fast. The GIL is released while it computes.

    Arrays must be C-contiguous and of exactly the given dtype; nothing is converted. The algorithm is
    bilinear with ``m`` outputs, ``n`` products and ``t`` inputs per dimension; its filters have
    ``r = t - stride * (m - 1)`` taps.

    Parameters
    ----------
    x
        Image of shape (N, C, H, W), on any integer grid within int16.
    u
        Quantized transformed weights of shape (n*n, K, C).
    bt
        Input transform B^T of shape (n, t). The absolute values of a row sum to at most 2**23.
    mult
        Requantization multipliers of shape (n*n, 1) or (n*n, C); 1..32767 stand for
        ``mult / 2**fraction_bits``.
    at
        Output transform A^T of shape (m, n).
    scale
        Real value of one step of ``u * Vq``, of shape (n*n, 1) or (n*n, K).
    bias
        Of shape (K,).
    padding
        Rows of zeros above and below, columns of zeros left and right.
    v_limit
        ``Vq`` lies in ``[-v_limit, v_limit]``; 1..32767.
    fraction_bits
        Right shift after the multiplication by ``mult``; 15..31.
    stride
        Rows and columns from one output to the next.

    Returns
    -------
    V
        Transformed image of shape (n*n, C, P), where P counts the tiles of m x m outputs: images,
        then rows, then columns.
    Vq
        ``V`` requantized: ``clip((V * mult + 2**(f - 1)) >> f, -v_limit, v_limit)`` with f = fraction_bits.
    M
        Sums over input channels of ``u * Vq``, of shape (n*n, K, P).
    Y
        Output of shape (N, K, (H + 2*padding[0] - r) // stride + 1, (W + 2*padding[1] - r) // stride + 1).

    Raises
    ------
    TypeError
        If an array has another dtype, number of dimensions or layout.
    ValueError
        If a size or value breaks the contract, or if a V or M does not fit int32.
    """
