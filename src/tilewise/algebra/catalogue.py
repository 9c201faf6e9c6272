"""Algorithms by name."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, TypeAlias

from tilewise.algebra.bilinear import Bilinear
from tilewise.algebra.decomposition import decompose
from tilewise.algebra.planar import Planar
from tilewise.algebra.sfc import ORDERS, planar_sfc, sfc
from tilewise.algebra.toom_cook import direct, toom_cook

Algorithm: TypeAlias = Bilinear | Planar
"""What layers and kernels take: algorithms of rows and columns, or of whole tiles."""

KERNELS = (3, 5, 7)
STRIDES = (1, 2)

# Finite points per number of points. Up to seven: chosen by simulated int8 error (docs/results/algorithms.md has the
# ranking), not by condition number, which misleads at 8 bits. Five points: {0, +-2/3, +-3/2} would lose 2.6 dB less,
# but V then grows by 28561 and leaves 16-bit integers; these grow by 196. Nine and eleven points extend the seven
# by the best ones of a smaller pool; they serve large 5x5 and 7x7 tiles, which 8 bits break anyway. Even numbers are
# those of pieces of strided and large kernels.
_POINTS: dict[int, tuple[int | str, ...]] = {
    2: (0, 1),
    3: (0, 1, -1),
    4: (0, 1, "-1/2", -2),
    5: (0, 1, -1, "1/2", -2),
    6: (0, 1, -1, "1/2", "-1/2", -2),
    7: (0, 1, -1, 2, -2, "1/2", "-1/2"),
    8: (0, 1, -1, 2, -2, "1/2", "-1/2", -4),
    9: (0, 1, -1, 2, -2, "1/2", "-1/2", "3/4", "-4/3"),
    11: (0, 1, -1, 2, -2, "1/2", "-1/2", "3/4", "-4/3", "-1/4", 4),
}
# The points that papers and libraries use (Lavin and Gray 2016; wincnn), in the order in which larger tiles add them.
_TEXTBOOK: tuple[int | str, ...] = (0, 1, -1, 2, -2, "1/2", "-1/2", 3, -3, "1/3", "-1/3")
# Other published finite points, by their number: those printed for F(4, 3) and F(6, 3) serve F(2, 5) and F(4, 5) too.
_PUBLISHED: dict[str, dict[int, tuple[int | str, ...]]] = {
    # Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for DNNs", arXiv 1803.10986;
    # read off G in their code. Their seven points are the textbook's.
    "barabasz": {5: (0, 1, -1, "1/2", -3)},
    # Alam et al., "Winograd Convolution for Deep Neural Networks: Efficient Point Selection", ACM TECS 2022: the form
    # +-c, +-1/c; of all c up to 4 with numerators up to 12 and denominators up to 8, 3/2 loses least at 8 bits.
    "alam": {5: (0, "3/2", "-3/2", "2/3", "-2/3")},
    # Lohia, "NOVA", arXiv 2512.18453.
    "nova": {5: (0, "5/6", "-5/6", "7/6", "-7/6"), 7: (0, "3/5", "-3/5", 1, -1, "7/6", "-7/6")},
    # The code released with Fernandez-Marques et al., MLSys 2020, with the scaling put right; its five are textbook.
    "paper": {7: (0, 1, -1, 2, -2, "3/2", "-3/2")},
}

# Outputs per tile when a symbolic Fourier name gives none, by order and filter taps: those of the fewest products for
# each output. But SFC6(6, 3) takes 6 % fewer than the published SFC6(7, 3), whose tiles cover maps of 7, 14, 28 and 56
# without waste. Length 12 pays for larger kernels only (docs/contracts/algorithms.md).
_SFC_TILE = {
    (3, 3): 3, (4, 3): 4, (6, 3): 7,
    (3, 5): 5, (4, 5): 4, (6, 5): 6, (12, 5): 12,
    (3, 7): 5, (4, 7): 6, (6, 7): 6, (12, 7): 10,
}  # fmt: skip
# The same for stride 2, where they differ: as many as 20 products, the most that the engine takes, allow.
_SFC_STRIDED_TILE = {(4, 5): 5, (4, 7): 5, (6, 7): 5}

# Planar ones have those of the fewest products, and are named where they take clearly fewer than nested ones.
_PLANAR_TILE = {(6, 3): 6}


def algorithm(name: str, r: int = 3, stride: int = 1) -> Algorithm:
    """Look up a bilinear algorithm by name.

    Parameters
    ----------
    name : str
        A name, or a file ``"*.json"`` of ``tilewise algorithms search`` or of :meth:`Bilinear.to_dict`.
        ``"F2"``, ``"F4"``, ``"F6"``: Toom-Cook with the points that lose least at 8 bits.
        ``"F2-textbook"``, ``"F4-textbook"``, ``"F6-textbook"``: with the usual points.
        ``"F4-barabasz"``, ``"F4-alam"``, ``"F4-nova"``, ``"F6-nova"``, ``"F6-paper"``: with the points of other papers
        (docs/contracts/algorithms.md), the last being the 2020 paper's code.
        ``"SFC3"``, ``"SFC4"``, ``"SFC6"``: symbolic Fourier; ``"SFC6(6)"`` chooses the outputs per tile.
        ``"SFC12"``: the same for r = 5 and 7.
        ``"SFC6-planar"``, ``"SFC6-planar(7)"``: the same on whole tiles, in fewer products; of stride 1.
        ``"direct"``: the trivial algorithm.
        ``"F2"``, ``"F4"``, ``"F6"`` of stride 2 or for 7 filter taps, and symbolic Fourier of stride 2, are sums of
        pieces (:func:`tilewise.algebra.decompose`).
    r : {3, 5, 7}
        Filter taps per dimension.
    stride : {1, 2}
        Inputs from one output to the next, per dimension.

    Raises
    ------
    ValueError
        If the name is unknown, or not served for this ``r`` and stride; if a file holds no algorithm, or one that is
        no convolution.
    OSError
        If a file can not be read.

    Examples
    --------
    >>> algorithm("F4").multiplication_ratio()
    Fraction(4, 1)
    >>> algorithm("SFC6").products
    12
    >>> algorithm("F4", 3, stride=2).products
    9
    """
    if is_file(name):
        return fitting(read_algorithm(name), r, stride)
    if r not in KERNELS:
        raise ValueError(
            f"r is {r}; named algorithms serve {KERNELS}. For other sizes give points: toom_cook(m, r, points)"
        )
    if stride not in STRIDES:
        raise ValueError(f"stride is {stride}; named algorithms serve {STRIDES}")
    return _algorithm(name, r, stride)


def fitting(found: Algorithm, r: int, stride: int = 1) -> Algorithm:
    """Return an algorithm that is for these kernels; refuse any other."""
    if found.r != r:
        raise ValueError(f"{found.name} is for r = {found.r}, not for {r}x{r} kernels")
    if found.stride != stride:
        raise ValueError(f"{found.name} is for stride {found.stride}, not for stride {stride}")
    return found


@functools.cache
def _algorithm(name: str, r: int, stride: int) -> Algorithm:
    if name == "direct":
        return direct(1, r, stride)
    if (match := re.fullmatch(r"F(\d)(?:-(\w+))?", name)) and name in algorithm_names(r, stride):
        m, family = int(match[1]), match[2]
        if not family and (stride > 1 or r > 5):  # one piece of 7 filter taps has an awful growth
            return decompose(m, r, stride, piece, name=name)
        points = textbook_points(m, r) if family == "textbook" else _PUBLISHED.get(family, _POINTS)[m + r - 2]
        return toom_cook(m, r, points, name=name)
    # Larger tiles than of two digits would take hours to prove.
    if match := re.fullmatch(r"SFC(\d{1,2})(?:\((\d{1,2})\))?", name):
        order = int(match[1])
        m = int(match[2] or _sfc_tile(order, r, stride))
        if order in ORDERS and m and stride == 1:
            return sfc(order, m, r)
        if order in ORDERS and m:
            return decompose(m, r, stride, functools.partial(_fourier_piece, order), name=f"SFC{order}({m}, {r})")
    if stride == 1 and (match := re.fullmatch(r"SFC([346])-planar(?:\((\d{1,2})\))?", name)):
        order = int(match[1])
        if m := int(match[2] or _PLANAR_TILE.get((order, r)) or _SFC_TILE[order, r]):
            return planar_sfc(order, m, r)
    kernels = f"{r}x{r} kernels" + ("" if stride == 1 else f" of stride {stride}")
    allowed = ", ".join(algorithm_names(r, stride))
    raise ValueError(f"unknown algorithm {name[:100]!r} for {kernels}; allowed: {allowed}, SFC6(m)")


def _sfc_tile(order: int, r: int, stride: int) -> int:
    usual = _SFC_TILE.get((order, r), 0)
    if stride == 1:
        return usual
    return _SFC_STRIDED_TILE.get((order, r), usual) if order < max(ORDERS) else 0  # pieces are too short for length 12


def piece(m: int, r: int) -> Bilinear:
    """Return the Toom-Cook algorithm of a piece of ``r`` filter taps for :func:`tilewise.algebra.decompose`."""
    return direct(m, 1) if r == 1 else toom_cook(m, r, _POINTS[m + r - 2])


def _fourier_piece(order: int, m: int, r: int) -> Bilinear:
    return direct(m, 1) if r == 1 else sfc(order, m, r)


def is_file(name: str) -> bool:
    """Whether a name of :func:`algorithm` means a file."""
    return name.endswith(".json")


def read_algorithm(path: str) -> Algorithm:
    """Read an algorithm from a file, for whatever r it has, and prove it; errors as :func:`algorithm`'s."""
    try:
        data = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file of an algorithm: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, not the description of an algorithm")  # noqa: TRY004 - bad input
    return from_dict(data)


def from_dict(data: dict[str, Any]) -> Algorithm:
    """Read the JSON form of an algorithm and prove it; errors as :meth:`Bilinear.from_dict`'s."""
    return (Planar if data.get("planar") else Bilinear).from_dict(data)


def textbook_points(m: int, r: int) -> tuple[int | str, ...]:
    """Usual finite points of F(m, r), as many as it takes of 0, +-1, +-2, +-1/2, +-3, +-1/3.

    Raises
    ------
    ValueError
        If m or r is below 2, or the points do not suffice.
    """
    if min(m, r) < 2 or m + r - 2 > len(_TEXTBOOK):
        raise ValueError(f"F({m}, {r}) is out of reach; m and r must be at least 2, and together at most 13")
    return _TEXTBOOK[: m + r - 2]


def algorithm_names(r: int = 3, stride: int = 1) -> list[str]:
    """Names that :func:`algorithm` serves for ``r x r`` kernels of a stride, the direct algorithm first."""
    sizes = (2, 4, 6)
    usual = [f"F{m}{family}" for family in (("", "-textbook") if stride == 1 else ("",)) for m in sizes]
    published = [f"F{m}-{family}" for family, points in _PUBLISHED.items() for m in sizes if m + r - 2 in points]
    fourier = [f"SFC{order}" for order, taps in _SFC_TILE if taps == r and _sfc_tile(order, r, stride)]
    planar = [f"SFC{order}-planar" for order, taps in _PLANAR_TILE if taps == r and stride == 1]
    return ["direct", *usual, *(published if stride == 1 else []), *fourier, *planar]
