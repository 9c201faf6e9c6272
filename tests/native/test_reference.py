"""The C++ reference against an independent NumPy one: integers and floats are compared with ``==``."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tilewise import _native

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A bilinear algorithm with G scaled to integers, so that ``u`` is ``g_scale**2`` times the real one."""

    bt: NDArray[np.int32]
    g: NDArray[np.int64]
    at: NDArray[np.float32]
    g_scale: int
    stride: int = 1

    @property
    def m(self) -> int:
        return len(self.at)

    @property
    def taps(self) -> int:
        return len(self.bt) ** 2

    def weights(self, weight: NDArray[Any]) -> NDArray[np.int16]:
        u: NDArray[np.int64] = np.einsum("ai,bj,kcij->abkc", self.g, self.g, weight.astype(np.int64))
        assert np.abs(u).max(initial=0) < 2**15
        return u.reshape(self.taps, *weight.shape[:2]).astype(np.int16)


def algorithm(bt: list[list[int]], g: list[list[int]], at: list[list[int]], g_scale: int) -> Algorithm:
    return Algorithm(bt=np.array(bt, np.int32), g=np.array(g, np.int64), at=np.array(at, np.float32), g_scale=g_scale)


# The points 0, 1, -1, 2, -2 and infinity serve F(4,3) and F(2,5).
BT6 = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
ALGORITHMS = {
    "F(2,3)": algorithm(
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        [[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]],
        [[1, 1, 1, 0], [0, 1, -1, -1]],
        2,
    ),
    "F(4,3)": algorithm(
        BT6,
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
        24,
    ),
    "F(2,5)": algorithm(
        BT6,
        [
            [6, 0, 0, 0, 0],
            [-4, -4, -4, -4, -4],
            [-4, 4, -4, 4, -4],
            [1, 2, 4, 8, 16],
            [1, -2, 4, -8, 16],
            [0, 0, 0, 0, 24],
        ],
        [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 1]],
        24,
    ),
    # m*r products, more than the t inputs.
    # F(2,2) on every other sample, and the tap between.
    "F(2,3)/2": replace(
        algorithm(
            [[1, 0, -1, 0, 0], [0, 0, -1, 0, 0], [0, 0, -1, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0]],
            [[1, 0, 0], [1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 1, 0]],
            [[1, -1, 0, 1, 0], [0, -1, 1, 0, 1]],
            1,
        ),
        stride=2,
    ),
    "direct(2,3)": algorithm(
        [[int(j == i + k) for j in range(4)] for i in range(2) for k in range(3)],
        [[int(j == k) for j in range(3)] for _ in range(2) for k in range(3)],
        [[int(row == i) for i in range(2) for _ in range(3)] for row in range(2)],
        1,
    ),
}
SHAPES = [(1, 1, 1, 1), (1, 2, 3, 3), (2, 3, 7, 5), (1, 1, 2, 9), (3, 5, 8, 8), (2, 1, 13, 1)]
FILLS: dict[str, Callable[[NDArray[Any]], Any]] = {
    "127": lambda _: 127,
    "-127": lambda _: -127,
    "255": lambda _: 255,
    "alternating": lambda i: 127 - 254 * (i % 2),
    "alternating-unsigned": lambda i: 255 * (i % 2),
    "alternating-16-bit": lambda i: 32767 - 65535 * (i % 2),
}
PADDINGS = [(2, 2), (3, 2), (4, 5)]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The arguments of ``winograd_conv2d``."""

    x: NDArray[Any]
    u: NDArray[Any]
    bt: NDArray[Any]
    mult: NDArray[Any]
    at: NDArray[Any]
    scale: NDArray[Any]
    bias: NDArray[Any] | None
    padding: tuple[int, int]
    v_limit: int
    fraction_bits: int = 15
    stride: int = 1


def run(problem: Problem) -> tuple[NDArray[Any], ...]:
    return _native.winograd_conv2d(**vars(problem))


def numpy_tiles(problem: Problem) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """All tiles (N, rows, cols, C, t, t) of the padded image, and (Ho, Wo)."""
    m, t, step = len(problem.at), problem.bt.shape[1], problem.stride * len(problem.at)
    n, c, *image = problem.x.shape
    beyond = [
        extent + 2 * pad - (t - step + problem.stride) for extent, pad in zip(image, problem.padding, strict=True)
    ]
    out = [extent // problem.stride + 1 for extent in beyond]
    rows, cols = (-(-extent // m) for extent in out)
    (ph, pw), (h, w) = problem.padding, image
    canvas = np.zeros((n, c, rows * step + t + ph + h, cols * step + t + pw + w), np.int64)  # more than enough
    canvas[:, :, ph : ph + h, pw : pw + w] = problem.x
    tiles = np.empty((n, rows, cols, c, t, t), np.int64)
    for i, j in itertools.product(range(rows), range(cols)):
        tiles[:, i, j] = canvas[:, :, i * step : i * step + t, j * step : j * step + t]
    return tiles, (out[0], out[1])


def numpy_reference(problem: Problem) -> tuple[NDArray[Any], ...]:
    """The number contract once more, by whole-array operations."""
    tiles, (ho, wo) = numpy_tiles(problem)
    images, rows, cols, channels = tiles.shape[:4]
    filters = problem.u.shape[1]
    m, n = problem.at.shape
    bt = problem.bt.astype(np.int64)

    v = bt @ tiles @ bt.T
    v = np.moveaxis(v.reshape(images * rows * cols, channels, n * n), (0, 1, 2), (2, 1, 0))
    rounded = np.floor_divide(v * problem.mult[:, :, None] + 2 ** (problem.fraction_bits - 1), 2**problem.fraction_bits)
    vq = np.clip(rounded, -problem.v_limit, problem.v_limit)
    products = problem.u.astype(np.int64) @ vq

    z = (products.astype(np.float32) * problem.scale[:, :, None]).reshape(n, n, *products.shape[1:])
    half = np.zeros((m, *z.shape[1:]), np.float32)
    for i, a in itertools.product(range(m), range(n)):
        half[i] += problem.at[i, a] * z[a]
    full = np.zeros((m, m, *z.shape[2:]), np.float32)
    for i, j, b in itertools.product(range(m), range(m), range(n)):
        full[i, j] += half[i, b] * problem.at[j, b]

    y = full.reshape(m, m, filters, images, rows, cols).transpose(3, 2, 4, 0, 5, 1)
    y = y.reshape(images, filters, rows * m, cols * m)[:, :, :ho, :wo]
    return v, vq, products, y if problem.bias is None else y + problem.bias[:, None, None]


def assert_equals_numpy(problem: Problem) -> None:
    expected = numpy_reference(problem)
    dtypes = [np.int32, np.int16, np.int32, np.float32]
    for name, mine, theirs, dtype in zip(["V", "Vq", "M", "Y"], run(problem), expected, dtypes, strict=True):
        assert mine.dtype == dtype, name
        assert mine.shape == theirs.shape, name
        assert (mine == theirs).all(), name
        assert mine.tobytes() == theirs.astype(dtype).tobytes(), f"sign of a zero in {name}"


def random_problem(
    alg: Algorithm, shape: tuple[int, int, int, int], padding: tuple[int, int], rng: np.random.Generator
) -> Problem:
    filters = int(rng.integers(1, 6))
    signed = bool(rng.integers(2))
    mult_columns = shape[1] if rng.integers(2) else 1
    scale_columns = filters if rng.integers(2) else 1
    return Problem(
        x=rng.integers(-127 if signed else 0, 128 if signed else 256, shape, dtype=np.int16),
        u=rng.integers(-127, 128, (alg.taps, filters, shape[1]), dtype=np.int16),
        bt=alg.bt,
        mult=rng.integers(1, 32768, (alg.taps, mult_columns), dtype=np.int32),
        at=alg.at,
        scale=rng.uniform(1e-4, 1e-2, (alg.taps, scale_columns)).astype(np.float32),
        bias=rng.normal(size=filters).astype(np.float32) if rng.integers(2) else None,
        padding=padding,
        v_limit=int(rng.choice([1, 7, 127, 32767])),
        fraction_bits=int(rng.choice([15, 15, 16, 20, 31])),
        stride=alg.stride,
    )


def exact_problem(alg: Algorithm, x: NDArray[Any], weight: NDArray[Any], padding: tuple[int, int]) -> Problem:
    """Multipliers leave -16383..16384 as it is, and scales are 1: every stage is exact."""
    return Problem(
        x=x.astype(np.int16),
        u=alg.weights(weight),
        bt=alg.bt,
        mult=np.full((alg.taps, 1), 32767, np.int32),
        at=alg.at,
        scale=np.ones((alg.taps, 1), np.float32),
        bias=None,
        padding=padding,
        v_limit=32767,
        stride=alg.stride,
    )


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("seed", range(3))
def test_random_problems_equal_numpy(
    name: str, shape: tuple[int, int, int, int], padding: tuple[int, int], seed: int
) -> None:
    assert_equals_numpy(random_problem(ALGORITHMS[name], shape, padding, np.random.default_rng(seed)))


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
@pytest.mark.parametrize("mult", [1, 16384, 32767])
@pytest.mark.parametrize("weight", [-32768, -127, 32767])
def test_adversarial_values_equal_numpy(name: str, fill: Callable[[NDArray[Any]], Any], mult: int, weight: int) -> None:
    problem = random_problem(ALGORITHMS[name], (1, 1, 7, 9), (2, 2), np.random.default_rng(0))
    index = np.indices(problem.x.shape).sum(axis=0)
    assert_equals_numpy(
        replace(
            problem,
            x=np.broadcast_to(fill(index), problem.x.shape).astype(np.int16),
            u=np.full_like(problem.u, weight),
            mult=np.full_like(problem.mult, mult),
            v_limit=32767,
        )
    )


def direct(x: NDArray[Any], weight: NDArray[Any], padding: tuple[int, int], stride: int) -> NDArray[np.int64]:
    ph, pw = padding
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2:], axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    y: NDArray[np.int64] = np.einsum("nchwij,kcij->nkhw", windows, weight.astype(np.int64))
    return y


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_without_loss_it_is_direct_convolution(
    name: str, shape: tuple[int, int, int, int], padding: tuple[int, int]
) -> None:
    alg = ALGORITHMS[name]
    rng = np.random.default_rng(11)
    limit = 127 if alg.m == 2 and alg.g_scale < 3 else 1  # the others would leave float32's 24 bits
    x = rng.integers(-limit, limit + 1, shape)
    r = alg.g.shape[1]
    weight = rng.integers(-2, 3, (3, shape[1], r, r))
    v, vq, _, y = run(exact_problem(alg, x, weight, padding))
    assert (v == vq).all()
    assert (y == alg.g_scale**2 * direct(x, weight, padding, alg.stride)).all()


@pytest.mark.parametrize(
    ("v", "mult", "v_limit", "expected"),
    [
        (1, 16384, 127, 1),  # halves go up
        (-1, 16384, 127, 0),
        (3, 16384, 127, 2),
        (-3, 16384, 127, -1),
        (1, 16383, 127, 0),
        (-1, 16385, 127, -1),
        (128, 32767, 127, 127),
        (-128, 32767, 127, -127),
        (32767, 32767, 32767, 32766),
        (-32768, 32767, 32767, -32767),
        (5, 32767, 1, 1),
    ],
)
def test_rounding_rule(v: int, mult: int, v_limit: int, expected: int) -> None:
    one = np.ones((1, 1), np.int32)
    stages = _native.winograd_conv2d(
        x=np.full((1, 1, 1, 1), v, np.int16),
        u=np.ones((1, 1, 1), np.int16),
        bt=one,
        mult=mult * one,
        at=one.astype(np.float32),
        scale=one.astype(np.float32),
        v_limit=v_limit,
    )
    assert [stage.item() for stage in stages] == [v, expected, expected, expected]


@pytest.mark.parametrize(
    ("shape", "filters"), [((0, 3, 5, 5), 2), ((2, 0, 5, 5), 2), ((2, 3, 5, 5), 0), ((1, 2, 0, 3), 2)]
)
def test_empty_dimensions(shape: tuple[int, int, int, int], filters: int) -> None:
    alg = ALGORITHMS["F(2,3)"]
    problem = exact_problem(alg, np.ones(shape), np.ones((filters, shape[1], 3, 3)), (2, 1))
    problem = replace(problem, bias=np.full(filters, 1.5, np.float32))
    assert_equals_numpy(problem)
    assert run(problem)[3].shape == (shape[0], filters, shape[2] + 2, shape[3])


def test_arguments_are_only_read_and_results_are_their_own() -> None:
    problem = random_problem(ALGORITHMS["F(4,3)"], (2, 3, 9, 5), (1, 1), np.random.default_rng(5))
    for array in vars(problem).values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    first = run(problem)
    copies = [stage.copy() for stage in first]
    second = run(problem)
    for stage in second:
        assert stage.flags.writeable
        stage[...] = 1
    for stage, copy in zip(first, copies, strict=True):
        assert (stage == copy).all()


def changed(name: str, value: Any) -> Problem:
    """A 3x3 problem with 3 channels, 2 filters and one changed argument."""
    alg = ALGORITHMS["F(2,3)"]
    problem = exact_problem(alg, np.ones((1, 3, 5, 4)), np.ones((2, 3, 3, 3)), (1, 1))
    return replace(problem, **{name: value})


def with_value(shape: tuple[int, ...], index: tuple[int, ...], value: int) -> NDArray[np.int32]:
    array = np.ones(shape, np.int32)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x", np.ones((1, 4, 5, 5), np.int16), "u has 3 input channels, must be 4, the channels of x"),
        ("u", np.ones((15, 2, 3), np.int16), "u has 15 taps, must be 16, the square of the 4 rows of bt"),
        ("mult", np.ones((12, 1), np.int32), "mult has 12 taps, must be 16, the square"),
        ("mult", np.ones((16, 2), np.int32), "mult has 2 columns, must be 1 or 3, the channels of x"),
        ("mult", with_value((16, 1), (3, 0), 0), r"mult\[3, 0\] is 0, must be 1..32767"),
        ("mult", with_value((16, 3), (15, 2), 32768), r"mult\[15, 2\] is 32768, must be 1..32767"),
        ("mult", with_value((16, 3), (7, 1), -1), r"mult\[7, 1\] is -1, must be 1..32767"),
        ("scale", np.ones((36, 1), np.float32), "scale has 36 taps, must be 16, the square"),
        ("scale", np.ones((16, 3), np.float32), "scale has 3 columns, must be 1 or 2, the output"),
        ("bias", np.ones(3, np.float32), "bias has 3 values, must be 2, the output channels of u"),
        ("at", np.ones((2, 6), np.float32), "at has 6 columns, must be 4, the rows of bt"),
        ("at", np.ones((5, 4), np.float32), "at has 5 rows, must be at most 4 as bt has 4 columns and the stride is 1"),
        ("stride", 4, "at has 2 rows, must be at most 1 as bt has 4 columns and the stride is 4"),
        ("stride", 0, "stride is 0, must be 1..1024"),
        ("at", np.ones((0, 4), np.float32), "at is 0 x 4: each must have at least one row and one column"),
        ("bt", with_value((4, 4), (2, 1), 2**23), "row 2 of bt sum to 8388611, must be at most 8388608"),
        ("padding", (-1, 0), "padding of the height is -1, must be 0..2147483647"),
        ("padding", (0, -7), "padding of the width is -7, must be 0..2147483647"),
        ("padding", (0, 2**31), "padding of the width is 2147483648, must be 0..2147483647"),
        ("x", np.ones((1, 3, 0, 5), np.int16), "the padded height is 2, must be at least 3, the size"),
        ("v_limit", 0, "v_limit is 0, must be 1..32767"),
        ("v_limit", 32768, "v_limit is 32768, must be 1..32767"),
        ("fraction_bits", 14, "fraction_bits is 14, must be 15..31"),
        ("fraction_bits", 32, "fraction_bits is 32, must be 15..31"),
        ("bt", np.full((4, 4), 2**14, np.int32), r"V\[0, 0, 0\] is 2415919104, must fit int32"),
    ],
)
def test_bad_values_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(changed(name, value))


def test_accumulator_overflow_is_refused() -> None:
    """3 * 2**30 does not fit, 1 * 2**30 does."""
    arguments: dict[str, Any] = {
        "bt": np.ones((1, 1), np.int32),
        "mult": np.full((1, 1), 32767, np.int32),
        "at": np.ones((1, 1), np.float32),
        "scale": np.ones((1, 1), np.float32),
        "v_limit": 32767,
    }
    for channels in (1, 2):
        x, u = np.full((1, channels, 1, 1), -32768, np.int16), np.full((1, 1, channels), -32768, np.int16)
        assert _native.winograd_conv2d(x, u, **arguments)[2].item() == channels * 32767 * 32768
    x, u = np.full((1, 3, 1, 1), -32768, np.int16), np.full((1, 1, 3), -32768, np.int16)
    with pytest.raises(ValueError, match=r"M\[0, 0, 0\] is 3221127168, must fit int32"):
        _native.winograd_conv2d(x, u, **arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", np.ones((1, 3, 5, 4), np.int8)),
        ("x", np.ones((1, 3, 5, 4), np.float32)),
        ("x", np.ones((3, 5, 4), np.int16)),
        ("x", np.ones((1, 3, 4, 5), np.int16).swapaxes(2, 3)),
        ("u", np.ones((16, 2, 3), np.int64)),
        ("scale", np.ones((16, 1), np.float64)),
        ("bias", np.ones(2, np.float64)),
        ("bias", np.ones((2, 1), np.float32)),
        ("padding", 1),
        ("v_limit", 1.5),
    ],
)
def test_other_dtypes_and_layouts_are_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match="winograd_conv2d"):
        run(changed(name, value))
