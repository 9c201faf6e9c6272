"""Direct int8 convolutions as lossless fast ones: the same sums from fewer products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilewise.algebra import Planar, algorithm
from tilewise.algebra.reach import SumReach, reach
from tilewise.algebra.residue import residue_toom_cook, symmetric
from tilewise.algebra.wraparound import WORD, Wraparound, wraparound
from tilewise.engine.program import Program, kinds
from tilewise.quant.lossless import RESIDUE_TILES, WRAPPING, Exact, Residue

MIN_CHANNELS = 4
"""Fewest input channels: below, the transforms cost more than the products they save."""
PAYS = {3: (32, 8 * 8), 5: (32, 14 * 14)}
"""By kernel size, the fewest channels (in, out) and pixels with which they beat direct (docs/results/lossless.md)."""
RESIDUES_PAY = {5: (256, 56 * 56)}
"""The same for residues against wrapping sums."""
LARGE_MAP = (56, 56)
"""Height and width by which algorithms are ordered where none is at hand."""
LEAST_INPUTS, MOST_INPUTS, SMALLEST_MODULUS, MODULI = 6, 18, 63, (2, 4)
"""Of the native residue kernels: inputs of a tile, and how many moduli of which size they take."""

Fields = dict[str, Any]


def candidates(program: Program) -> dict[str, Program]:
    """Return the program with lossless algorithms wherever they serve a direct convolution; results stay the same.

    Some kernel sizes have several algorithms: one program takes the first of each size, the next one the second. Each
    is named after the algorithms in it. Where a size is needed to choose, it is that of a large map.
    """
    found: dict[str, Program] = {}
    specs = {r: worth_measuring(r) for r in WRAPPING}
    for number in range(max(map(len, specs.values()))):
        changed = program
        for i, operation in enumerate(program.operations):
            if operation["op"] != "direct":
                continue
            choice = specs.get(program.arrays[f"{i}.weight"].shape[1], ())
            changed = (as_lossless(changed, i, choice[number]) if number < len(choice) else None) or changed
        pairs = zip(changed.operations, program.operations, strict=True)
        used = [a["algorithm"] for a, b in pairs if a is not b]
        if used:
            found[", ".join(dict.fromkeys(used))] = changed
    return found


def worth_measuring(r: int) -> tuple[Exact | Residue, ...]:
    """Return the exact specs among which measuring decides for an ``r x r`` kernel."""
    residues = (Residue(tile=m, residue_bits=13) for m in RESIDUE_TILES.get(r, ()))
    return (*map(Exact, WRAPPING.get(r, ())), *residues)


def as_lossless(program: Program, i: int, spec: Exact | Residue, pixels: tuple[int, int] = LARGE_MAP) -> Program | None:
    """Return the program with its operation ``i``, a direct one, as a lossless fast one; None as :func:`lossless`."""
    direct = program.fields(i)
    x = program.tensors[direct["x"]]
    found = lossless(direct, first_byte(x.get("low", 0), x.get("high", 255)), pixels, spec)
    return None if found is None else program.with_operation(i, *found)


def lossless(direct: Fields, low: int, pixels: tuple[int, int], spec: Exact | Residue) -> tuple[str, Fields] | None:
    """Turn the fields of a direct convolution into those of a lossless fast one.

    Parameters
    ----------
    direct : dict
        Fields of the operation ``direct``, arrays among them.
    low : int
        What the byte 0 stands for in the tensor that it reads, as :func:`first_byte` tells.
    pixels : (int, int)
        Height and width of its result: of several algorithms that serve, the one of fewest products there is taken.
    spec : Exact or Residue
        What it may be.

    Returns
    -------
    (str, dict) or None
        ``"wrapping"`` or ``"residue"``, and that operation's fields. None if the layer is none that the spec serves:
        its weights are not int8, it has strides, or its sums could leave what the algorithms are exact for.
    """
    weight = direct["weight"]
    window = weight.shape[1:3]
    plain = list(direct["stride"]) == list(direct["dilation"]) == [1, 1] and not direct["whole"]
    if weight.dtype != np.int8 or window[0] != window[1] or not plain or weight.shape[3] < MIN_CHANNELS:
        return None
    limits = (low, low + 255)
    if isinstance(spec, Exact):
        op, found = "wrapping", _wrapping(spec, weight, limits, pixels)
    else:
        op, found = "residue", _residues(spec, weight, limits, pixels)
    if found is None:
        return None
    return op, {**{k: v for k, v in direct.items() if k in kinds(op)}, **found, "block": 0}


def first_byte(low: int, high: int) -> int:
    """Return what the byte 0 stands for on a grid, as the native reader has it."""
    return -128 if low < 0 and low >= -128 and high <= 127 else low


def by_itself(spec: Exact, r: int, channels: int, pixels: int) -> tuple[Exact | Residue, ...]:
    """Return what a spec comes to whose algorithm is left open, in order of preference; nothing where direct is faster.

    Parameters
    ----------
    spec : Exact
        One that names its algorithm comes to itself.
    r : int
        Kernel size.
    channels : int
        The fewer of C and K.
    pixels : int
        Of the output.
    """
    if spec.algorithm != "auto":
        return (spec,)
    if not _reached(PAYS, r, channels, pixels):
        return ()
    residues = (Residue(tile=14, residue_bits=13),) if _reached(RESIDUES_PAY, r, channels, pixels) else ()
    return (*residues, spec)


def _reached(limits: dict[int, tuple[int, int]], r: int, channels: int, pixels: int) -> bool:
    enough = limits.get(r, (math.inf, math.inf))
    return channels >= enough[0] and pixels >= enough[1]


def _wrapping(spec: Exact, weight: NDArray[np.int8], limits: tuple[int, int], pixels: tuple[int, int]) -> Fields | None:
    """Return an algorithm and its matrices: the first one that is proved exact."""
    for name in in_order(spec, weight.shape[1], pixels):
        if (recipe := _proved(name, weight, limits)) is not None:
            at, g, bt = (part.astype(np.int32) for part in recipe.parts)
            planar = isinstance(recipe.algorithm, Planar)
            return {"algorithm": recipe.algorithm.name, "planar": planar, "at": at, "g": g, "bt": bt}
    return None


def in_order(spec: Exact, r: int, pixels: tuple[int, int]) -> list[str]:
    """Return the names that a spec allows, those first that need the fewest products for a map of height x width."""
    forms = {name: algorithm(name, r) for name in spec.resolve(r)}
    return sorted(forms, key=lambda name: products(forms[name].m, forms[name].taps, pixels))


def products(m: int, taps: int, pixels: tuple[int, int]) -> int:
    """Products of all tiles of a map of height x width outputs, for one input and output channel."""
    return math.prod(-(-size // m) for size in pixels) * taps


def _proved(name: str, weight: NDArray[np.int8], limits: tuple[int, int]) -> Wraparound | None:
    """Return the recipe of an algorithm if it is exact for these weights, whatever bytes the input holds."""
    try:
        recipe = wraparound(algorithm(name, weight.shape[1]), *limits)
    except ValueError:
        return None
    sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1)
    return recipe if sums.max() * max(-limits[0], limits[1]) < 2 ** (WORD - 1 - recipe.shift) else None


def _residues(
    spec: Residue, weight: NDArray[np.int8], limits: tuple[int, int], pixels: tuple[int, int]
) -> Fields | None:
    """Return tile and moduli: of the tiles with moduli that the weights prove sufficient the one of fewest products."""
    bound = reach(weight, *limits)
    for m in tiles(spec, weight.shape[1], pixels):
        moduli = _sufficient(spec, weight, bound, m)
        if moduli is not None:
            name = f"F({m}) mod {', '.join(map(str, moduli))}"
            return {"algorithm": name, "m": m, "moduli": np.array(moduli, np.int64)}
    return None


def tiles(spec: Residue, r: int, pixels: tuple[int, int]) -> list[int]:
    """Return the tiles that a spec allows and the native kernels have, in the order of :func:`in_order`.

    Points come in pairs, so a tile has an even number of inputs and of outputs.
    """
    even = [m for m in spec.resolve(r) if r % 2 == 1 and m % 2 == 0] if r > 1 else []
    served = [m for m in even if LEAST_INPUTS <= m + r - 1 <= MOST_INPUTS]
    return sorted(served, key=lambda m: (products(m, (m + r - 1) ** 2, pixels), m))


def _sufficient(spec: Residue, weight: NDArray[np.int8], bound: SumReach, m: int) -> tuple[int, ...] | None:
    """Return moduli for the sums of a layer if the native kernels can use them: its checks are these.

    Sums keep to 15/32 of the product of the moduli, products of residues over all channels to int32.
    """
    r = weight.shape[1]
    most = max(int(bound.highest.max()), -int(bound.lowest.min()))
    try:
        moduli = spec.moduli_for(most * 32 // 15 + 64, m, r).moduli
    except ValueError:
        return None
    fits = math.prod(moduli) // 32 * 15 >= most < 2**31 and math.prod(moduli[:-1]) <= 2**30
    usable = MODULI[0] <= len(moduli) <= MODULI[1] and min(moduli) >= SMALLEST_MODULUS
    if not fits or not usable or not all(_products_fit(weight, m, p) for p in moduli):
        return None
    return moduli


def _products_fit(weight: NDArray[np.int8], m: int, modulus: int) -> bool:
    """Whether sums over the channels of products of residues keep to int32."""
    channels, r = weight.shape[3], weight.shape[1]
    largest_v = modulus // 2 + modulus // 32  # more than float quotients leave
    if channels * (modulus // 2) * largest_v < 2**31:
        return True
    g = np.array(residue_toom_cook(m, r, modulus).G)
    rows = symmetric(np.einsum("ax,kxyc->akyc", g, weight.astype(np.int64)), modulus)
    sums = max(int(np.abs(symmetric(np.einsum("y,akyc->akc", b, rows), modulus)).sum(2).max()) for b in g)
    return sums * largest_v < 2**31
