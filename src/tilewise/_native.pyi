# ruff: noqa: PYI021 - the docstrings of a compiled module have no other place where tools find them.
from typing import Literal, TypeAlias, TypedDict, final

import numpy as np
from numpy.typing import NDArray

_Int8: TypeAlias = NDArray[np.int8]
_UInt8: TypeAlias = NDArray[np.uint8]
_Int16: TypeAlias = NDArray[np.int16]
_Bf16: TypeAlias = NDArray[np.uint16]  # its bits
_Int32: TypeAlias = NDArray[np.int32]
_Int64: TypeAlias = NDArray[np.int64]
_Float32: TypeAlias = NDArray[np.float32]
_Pair: TypeAlias = tuple[int, int]

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

@final
class Plan:
    """A network as the engine runs it: tensors at places of one block of memory, and operations in order.

    All arguments are keywords, all arrays C-contiguous and of exactly the given dtype; they are copied. Everything
    is checked as it is added, and an error leaves the plan as it was. What the operations compute is written in
    ``native/kernels/op.h``.

    Tensors lie in memory as (image, row, column, stride), ``stride`` being the channels rounded up to 16 (to 4 is
    enough for what ``import_nchw`` writes). An 8-bit tensor stores ``q + zero``, where zero is 0 if ``low`` is 0 and
    else 128; its real numbers are ``q * step``, and ``q = clamp(floor(x * factor + 0.5), low, high)``. Every tensor is
    written once, before it is read, and tensors that share memory take turns.

    Parameters
    ----------
    batch
        Images that go through at once, 1..65536.
    arena_bytes
        Bytes in which all tensors lie, 1..2**40.

    Raises
    ------
    TypeError
        From all methods, if an array has another dtype, number of dimensions or layout.
    ValueError
        From all methods, naming the operation, the value and what is allowed.
    """

    def __init__(self, *, batch: int, arena_bytes: int) -> None: ...
    def add_tensor(
        self,
        *,
        height: int,
        width: int,
        channels: int,
        stride: int,
        offset: int,
        dtype: Literal["uint8", "int16", "bfloat16", "float32"],
        step: float = 1.0,
        factor: float = 1.0,
        low: int = 0,
        high: int = 255,
    ) -> int:
        """Add a tensor ``offset`` bytes into the arena, a multiple of 64; gives its number, counting from 0."""

    def import_nchw(self, *, name: str, y: int) -> None:
        """Add the first operation: the network's input, (N, C, H, W) in float32, becomes tensor ``y``."""

    def export_nchw(self, *, name: str, x: int) -> None:
        """Add the last operation: tensor ``x`` becomes the network's output. Nothing can be added after it."""

    def direct(
        self,
        *,
        name: str,
        x: int,
        y: int,
        weight: _Int8 | _Int16 | _Bf16 | _Float32,
        scale: _Float32 | None = None,
        bias: _Float32,
        stride: _Pair = (1, 1),
        padding: _Pair = (0, 0),
        dilation: _Pair = (1, 1),
        residual: int | None = None,
        act_low: float = ...,
        act_high: float = ...,
        unfused: bool = False,
    ) -> None:
        """Add a direct convolution.

        ``weight`` is (K, height, width, C): int8 for a uint8 x, int16 for an int16 one, both with ``scale`` (K,), or
        for a float x float32 (bits of bfloat16 for a bfloat16 one).
        ``bias`` is (K,), pairs are (vertical, horizontal). The padding is that above and to the left; what the
        windows need below and to the right follows from y's size.
        """

    def fast(
        self,
        *,
        name: str,
        x: int,
        y: int,
        algorithm: str,
        bt: _Float32,
        at: _Float32,
        integer: bool,
        u: _Int8 | _Int16 | _Bf16 | _Float32,
        mult: _Int32 | None = None,
        scale: _Float32 | None = None,
        v_limit: int = 127,
        fraction_bits: int = 15,
        bias: _Float32,
        stride: int = 1,
        padding: _Pair = (0, 0),
        residual: int | None = None,
        act_low: float = ...,
        act_high: float = ...,
        block: int = 0,
    ) -> None:
        """Add a convolution by a bilinear algorithm; ``algorithm`` is its name in profiles.

        ``bt`` is (n, t), ``at`` (m, n), ``u`` (n*n, K, C). For integer ``u``, ``mult`` is (n*n, 1) or (n*n, C) and
        ``scale`` (n*n, K); ``integer`` says that bt holds integers, so that V is exact. The stride is that of both
        axes, the padding that on both sides.
        """

    def exact(
        self,
        *,
        name: str,
        x: int,
        y: int,
        algorithm: str,
        at: _Int32,
        g: _Int32,
        bt: _Int32,
        weight: _Int8,
        scale: _Float32,
        bias: _Float32,
        padding: _Pair = (0, 0),
        residual: int | None = None,
        act_low: float = ...,
        act_high: float = ...,
        block: int = 0,
    ) -> None:
        """Add the int8 convolution of ``weight`` (K, r, r, C) with stride 1, by sums that wrap around in 32 bits.

        ``at`` (m, n), ``g`` (n, r) and ``bt`` (n, m + r - 1) are a convolution times an integer. Refused unless these
        weights and any bytes give the sums of ``direct``.
        """

    def residue(
        self,
        *,
        name: str,
        x: int,
        y: int,
        algorithm: str,
        m: int,
        moduli: _Int64,
        weight: _Int8,
        scale: _Float32,
        bias: _Float32,
        padding: _Pair = (0, 0),
        residual: int | None = None,
        act_low: float = ...,
        act_high: float = ...,
        block: int = 0,
    ) -> None:
        """Add the same by residues: F(m, r) modulo each of the ``moduli``, at the points 0, +-1, +-2, ...

        Tiles have up to 18 inputs, an even number; moduli are two to four coprime odd numbers, 63..8191.
        """

    def pool(self, *, name: str, x: int, y: int, maximum: bool, rows: _Int64, cols: _Int64, divisor: int = 0) -> None:
        """Add a maximum or mean over windows.

        ``rows`` (height of y, 2) and ``cols`` (width of y, 2) hold begin and end of each output's window, within the
        image and not empty. ``divisor`` 0 means the number of pixels in the window.
        """

    def eltwise(
        self,
        *,
        name: str,
        x: int,
        y: int,
        scale: _Float32 | None = None,
        bias: _Float32 | None = None,
        residual: int | None = None,
        act_low: float = ...,
        act_high: float = ...,
    ) -> None:
        """Add ``clamp(x * scale + bias + residual)``, each part optional; also changes the grid or dtype."""

    def gather(
        self, *, name: str, x: int, y: int, rows: _Int64, cols: _Int64, first: int = 0, clear: bool = True
    ) -> None:
        """Add ``y[i, j, first + c] = x[rows[i], cols[j], c]``, zero where an index is -1.

        ``clear`` writes zero to y's other channels. A concatenation is several gathers in ascending order of
        ``first``, of which the first one clears.
        """

    def pixel_shuffle(self, *, name: str, x: int, y: int, factor: int) -> None:
        """Add a pixel shuffle by ``factor`` as in torch; y has the dtype and grid of x."""

    def resize(
        self, *, name: str, x: int, y: int, rows: _Int64, row_weights: _Float32, cols: _Int64, col_weights: _Float32
    ) -> None:
        """Add bilinear interpolation.

        ``rows`` (height of y, 2) and ``cols`` (width of y, 2) hold the two neighbours, the weights are those of the
        second one, 0..1.
        """

@final
class Engine:
    """Runs a finished plan. Keeps nothing of the plan itself; several engines may be made of one.

    Parameters
    ----------
    plan
        Ends with ``export_nchw``.
    threads
        1..256, the calling one included.
    isa
        Name of a kernel set as in :func:`kernel_sets`; empty for the best that this machine supports.

    Raises
    ------
    ValueError
        If an argument is not allowed, or this machine lacks the kernel set's instructions.
    MemoryError
        If the activations or weights do not fit memory.
    """

    def __init__(self, plan: Plan, *, threads: int, isa: str = "") -> None: ...
    @property
    def isa(self) -> str:
        """Name of the kernel set that computes."""

    @property
    def threads(self) -> int:
        """Number of threads, the calling one included."""

    def run(self, x: _Float32, y: _Float32) -> None:
        """Run the network on ``x`` (N, C, H, W), N >= 1, and write its output to ``y`` (N, ...), float32.

        The GIL is released, and threads that call at the same time take turns.

        Raises
        ------
        TypeError
            If an array has another dtype or layout.
        ValueError
            If a shape does not fit the network, or the arrays share memory.
        """

    def profile(self, x: _Float32, y: _Float32, repeats: int) -> list[OpProfile]:
        """Run ``repeats`` times, 1..10000, and give the time of every operation.

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
