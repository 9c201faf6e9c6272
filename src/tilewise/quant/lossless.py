"""Specs of lossless layers, and what they choose for a layer from its own weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from tilewise.algebra import algorithm
from tilewise.algebra.catalogue import KERNELS, is_file
from tilewise.algebra.residue import (
    ModuliSet,
    ResidueAlgorithm,
    even_moduli,
    residue_toom_cook,
    total_ratio,
    usable_moduli,
)
from tilewise.algebra.wraparound import Wraparound, wraparound
from tilewise.quant.quantizer import QUANTIZERS, SPEC_VERSION, Quantizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WRAPPING = {3: ("F4",), 5: ("SFC6", "SFC6(7)", "SFC6(5)"), 7: ("SFC6",)}
"""Algorithms for wrapping sums by kernel size; which of several suits a map best, the engine finds."""
RESIDUE_TILES = {5: (10, 14)}
"""Tiles for residues of 13 bits that are worth measuring beside them, by kernel size."""
GRIDS = ((-127, 127), (0, 255))
"""Limits of 8-bit inputs."""
TILES = (4, 6, 8, 10, 12, 14)
"""Outputs per tile that ``Residue(tile="auto")`` chooses among."""
RESIDUE_BITS = (8, 13)
LARGEST_MODULUS = 2 ** RESIDUE_BITS[-1] - 1
"""Of these, sums over 128 channels still fit int32."""
MOST_BLOCKS = 4
"""Blocks of channels that ``Residue(moduli="auto")`` considers, for fewer moduli."""


@dataclass(frozen=True)
class WrappingChoice:
    """One layer's lossless sums by wrapping 32-bit arithmetic.

    Parameters
    ----------
    recipe : Wraparound
        The algorithm.
    blocks : tuple of slice
        Input channels that are summed, brought back and added up one after the other: mostly all at once.
    """

    recipe: Wraparound
    blocks: tuple[slice, ...]

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"{self.recipe.algorithm.name} mod 2^32" + _in_blocks(self.blocks)


@dataclass(frozen=True)
class ResidueChoice:
    """One layer's lossless sums by residues.

    Parameters
    ----------
    moduli : ModuliSet
        What the sums are computed modulo.
    algorithms : tuple of ResidueAlgorithm
        F(m, r) for each modulus.
    blocks : tuple of slice
        Input channels that are summed, put together and added up one after the other.
    """

    moduli: ModuliSet
    algorithms: tuple[ResidueAlgorithm, ...]
    blocks: tuple[slice, ...]

    @property
    def name(self) -> str:
        """What reports call it."""
        first = self.algorithms[0]
        return f"F({first.m}, {first.r}) mod {', '.join(map(str, self.moduli.moduli))}" + _in_blocks(self.blocks)


LosslessChoice: TypeAlias = WrappingChoice | ResidueChoice


def _in_blocks(blocks: tuple[slice, ...]) -> str:
    return f", {len(blocks)} blocks of channels" if len(blocks) > 1 else ""


class _Int8:
    """What lossless layers share with ``Direct(bits=8)``, whose numbers they compute."""

    bits: ClassVar[int] = 8
    quantizer: ClassVar[Literal["tap"]] = "tap"

    @property
    def rules(self) -> Quantizer:
        """The quantizer itself."""
        return QUANTIZERS[self.quantizer]


@dataclass(frozen=True)
class Exact(_Int8):
    """Direct int8 convolution computed faster, bit for bit, by a fast algorithm in 16-bit factors and wrapping sums.

    Parameters, ranges, training and results are those of ``Direct(bits=8)``.

    Parameters
    ----------
    algorithm : str
        ``"auto"``, or a name (see :func:`tilewise.algorithm`) whose factors fit 16 bits.

    Raises
    ------
    ValueError
        If the name is unknown, or the algorithm leaves 16 bits for every kernel size.
    """

    algorithm: str = "auto"
    kind: ClassVar[str] = "exact"

    def __post_init__(self) -> None:
        if is_file(self.algorithm):
            raise ValueError(f"algorithm is {self.algorithm!r}; allowed: auto, or a name")
        _serve_any_kernel(self.resolve)

    def resolve(self, r: int) -> tuple[str, ...]:
        """Return the names of the algorithms for ``r x r`` kernels, in the order in which they are tried.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.algorithm == "auto" and r not in WRAPPING:
            raise ValueError(
                f"lossless algorithms serve {', '.join(f'{x}x{x}' for x in WRAPPING)} kernels, not {r}x{r}"
            )
        names = WRAPPING[r] if self.algorithm == "auto" else (self.algorithm,)
        for name in names:
            for low, high in GRIDS:
                _recipe(name, r, low, high)
        return names

    def choose(self, weight: NDArray[np.integer], low: int, high: int) -> WrappingChoice:
        """Choose for a layer: the first algorithm that its weights prove lossless, else the last in blocks of channels.

        Parameters
        ----------
        weight : integers of shape (K, C, r, r)
            -127 to 127.
        low, high : int
            Limits of the input.

        Raises
        ------
        ValueError
            If nothing serves, with the bound.
        """
        from tilewise.algebra.reach import channel_blocks, reach

        r = weight.shape[2]
        recipes = [_recipe(name, r, low, high) for name in self.resolve(r)]
        bound = reach(weight, low, high)
        recipe = next((x for x in recipes if bound.width <= x.capacity), recipes[-1])
        return WrappingChoice(recipe, tuple(channel_blocks(weight, low, high, recipe.capacity)))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {"kind": self.kind, "version": SPEC_VERSION, "algorithm": self.algorithm}


@dataclass(frozen=True)
class Residue(_Int8):
    """Direct int8 convolution computed exactly by residues modulo several small numbers.

    Parameters, ranges, training and results are those of ``Direct(bits=8)``.

    Parameters
    ----------
    tile : int or "auto"
        Outputs per tile and dimension, 2 to 14. Auto takes what needs the fewest products for the layer's C and K,
        transforms included.
    moduli : tuple of int or "auto"
        Pairwise coprime odd numbers: up to 255 for products of bytes, up to 8191 for products of 16-bit numbers. Auto
        takes the fewest that the layer's weights prove sufficient.
    residue_bits : int
        What auto allows: 8 or 13. Moduli of 13 bits are fewer, but their products have half the rate of bytes' or less.

    Raises
    ------
    ValueError
        If a value is not allowed. A layer that the moduli do not suffice for is refused when it is computed.

    References
    ----------
    Liu and Mattina, "Efficient Residue Number System Based Winograd Convolution", ECCV 2020.
    """

    _: KW_ONLY
    tile: int | Literal["auto"] = "auto"
    moduli: tuple[int, ...] | Literal["auto"] = "auto"
    residue_bits: Literal[8, 13] = 8
    kind: ClassVar[str] = "residue"

    def __post_init__(self) -> None:
        if self.tile != "auto" and (isinstance(self.tile, bool) or self.tile not in range(2, 15)):
            raise ValueError(f"tile is {self.tile!r}; allowed: 2 to 14, auto")
        if self.residue_bits not in RESIDUE_BITS:
            raise ValueError(f"residue_bits is {self.residue_bits!r}; allowed: 8, 13")
        if self.moduli != "auto":
            if not all(isinstance(p, int) for p in self.moduli):
                raise ValueError(f"moduli is {self.moduli!r}; allowed: auto, or numbers such as (253, 251, 247)")
            object.__setattr__(self, "moduli", tuple(self.moduli))
            if max(ModuliSet(self.moduli).moduli) > LARGEST_MODULUS:
                raise ValueError(f"modulus is {max(self.moduli)}; allowed: up to {LARGEST_MODULUS}")
        _serve_any_kernel(self.resolve)

    def resolve(self, r: int) -> tuple[int, ...]:
        """Return the tiles that ``r x r`` kernels may have.

        Raises
        ------
        ValueError
            If there is none: the moduli can not tell the points apart.
        """
        if r < 2:
            raise ValueError("residues serve kernels from 2x2 on")
        tiles = TILES if self.tile == "auto" else (self.tile,)
        if self.moduli == "auto":
            return tiles
        served = tuple(m for m in tiles if set(self.moduli) <= set(usable_moduli(m, r, RESIDUE_BITS[-1])))
        if not served:
            for p in self.moduli:
                residue_toom_cook(tiles[0], r, p)  # says which points collide
        return served

    def moduli_for(self, width: int, m: int, r: int) -> ModuliSet:
        """Return the moduli for sums that differ by ``width``: the spec's own, or the fewest and smallest."""
        return even_moduli(width, m, r, self.residue_bits) if self.moduli == "auto" else ModuliSet(self.moduli)

    def choose(self, weight: NDArray[np.integer], low: int, high: int) -> ResidueChoice:
        """Choose tile, moduli and blocks of channels for a layer; arguments as :meth:`Exact.choose`'s.

        Raises
        ------
        ValueError
            If the moduli are too few for the layer's sums, with the bound and the smallest sufficient set.
        """
        from tilewise.algebra.reach import equal_blocks, reach

        filters, channels, r = weight.shape[:3]
        choices: list[tuple[float, ResidueChoice]] = []
        for m in self.resolve(r):
            for count in range(1, channels + 1):
                blocks = equal_blocks(channels, count)
                width = max(reach(weight[:, block], low, high).width for block in blocks)
                moduli = self.moduli_for(width, m, r)
                algorithms = tuple(_residue_algorithm(m, r, p) for p in moduli.moduli)
                if blocks[0].stop > min(a.channels for a in algorithms):
                    continue  # sums of such residues would leave int32
                moduli.check(width, m, r)
                speed = float(total_ratio(m, r, len(moduli.moduli), blocks[0].stop, filters))
                choices.append((speed, ResidueChoice(moduli, algorithms, tuple(blocks))))
                if self.moduli != "auto" or count == MOST_BLOCKS:
                    break
        return max(choices, key=lambda choice: choice[0])[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        moduli = "auto" if self.moduli == "auto" else list(self.moduli)
        return {
            "kind": self.kind, "version": SPEC_VERSION, "tile": self.tile, "moduli": moduli,
            "residue_bits": self.residue_bits,
        }  # fmt: skip


@functools.cache
def _recipe(name: str, r: int, low: int, high: int) -> Wraparound:
    return wraparound(algorithm(name, r), low, high)


@functools.cache
def _residue_algorithm(m: int, r: int, modulus: int) -> ResidueAlgorithm:
    return residue_toom_cook(m, r, modulus)


def _serve_any_kernel(resolve: Callable[[int], object]) -> None:
    """Refuse a spec that serves no size of kernel, by what it says of the first."""
    failures = []
    for r in KERNELS:
        try:
            resolve(r)
        except ValueError as error:
            failures.append(error)
        else:
            return
    raise failures[0]
