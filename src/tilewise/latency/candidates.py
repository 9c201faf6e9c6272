"""What a layer may become: algorithm, type of numbers, kind of transforms; for latency that is all of a spec."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, get_args

from tilewise.quant import FLOAT_BITS, Direct, Exact, Residue, Spec, Winograd
from tilewise.quant.lossless import RESIDUE_TILES, WRAPPING

Dtype = Literal["float32", "bf16", "int16", "int8"]
Transforms = Literal["static", "learned"]

BITS = {"float32": FLOAT_BITS, "bf16": FLOAT_BITS, "int16": 10, "int8": 8}
"""Bits of a spec that stands for a type: all of 9 to 16 run the same kernels, and 10 is proven for most layers."""

STORED = {"float32": "float32", "bf16": "float32", "int16": "int16", "int8": "uint8"}
"""What a layer of a type leaves its output in for a layer of the same type."""


@dataclass(frozen=True)
class Candidate:
    """How a layer may be computed, as far as its time depends on it.

    Parameters
    ----------
    algorithm : str
        A name of :func:`tilewise.algorithm`, ``"direct"`` among them; for exact candidates also ``"residue-10-13"``:
        residues modulo numbers of up to 13 bits (or 8), tiles of 10 outputs.
    dtype : {"float32", "bf16", "int16", "int8"}
        What is multiplied. Widths of 2 to 8 bits run as int8, 9 to 16 as int16.
    transforms : {"static", "learned"}
        Learned ones have no zeros to leave out.
    lossless : bool
        Whether the numbers are direct int8's, by wrapping sums or residues (docs/guide/lossless.md).

    Raises
    ------
    ValueError
        If the algorithm or a value is unknown, a direct convolution shall have learned transforms, or an exact one be
        anything but a named algorithm of fixed transforms in int8.

    Examples
    --------
    >>> str(Candidate("F4", "int8", "learned"))
    'F4 learned int8'
    >>> Candidate.parse("exact F4 int8").spec()
    Exact(algorithm='F4')
    >>> Candidate.parse("direct float32").spec()
    Direct(bits=32, quantizer='tap')
    """

    algorithm: str
    dtype: Dtype
    transforms: Transforms = "static"
    lossless: bool = False

    def __post_init__(self) -> None:
        for name, kinds in (("dtype", Dtype), ("transforms", Transforms)):
            if getattr(self, name) not in get_args(kinds):
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(get_args(kinds))}")
        if self.algorithm == "direct" and self.transforms == "learned":
            raise ValueError("a direct convolution has no transforms to learn; allowed: static")
        if self.lossless and (
            self.algorithm in ("auto", "direct") or (self.dtype, self.transforms) != ("int8", "static")
        ):
            raise ValueError(
                f"{str(self)!r} has no kernel; allowed: a fast algorithm in int8, static: exact F4 int8, exact "
                "residue-10-13 int8"
            )
        self.spec()

    def __str__(self) -> str:
        """Return the form that :meth:`parse` reads."""
        learned = ["learned"] if self.transforms == "learned" else []
        return " ".join([*(["exact"] if self.lossless else []), self.algorithm, *learned, self.dtype])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a text such as ``"F4 int8"``, ``"F4 learned int8"``, ``"exact F4 int8"`` or ``"direct float32"``.

        Raises
        ------
        ValueError
            If it is none.
        """
        match text.split():
            case [algorithm, dtype]:
                return cls(algorithm, dtype)  # type: ignore[arg-type]
            case [algorithm, "learned", dtype]:
                return cls(algorithm, dtype, "learned")  # type: ignore[arg-type]
            case ["exact", algorithm, dtype]:
                return cls(algorithm, dtype, lossless=True)  # type: ignore[arg-type]
        raise ValueError(
            f"candidate is {text!r}; allowed: an algorithm and a type, perhaps 'learned' between or 'exact' before "
            "them: F4 learned int8, exact F4 int8"
        )

    @classmethod
    def of(cls, spec: Spec, precision: str = "float32") -> Self:
        """Return the candidate of a spec; ``precision`` is that of float layers, as in :func:`tilewise.compile`.

        Raises
        ------
        ValueError
            If the precision is unknown, or the spec leaves its lossless algorithm open (``latency.layers.run_as`` says
            what it comes to).
        """
        if precision not in ("float32", "bf16"):
            raise ValueError(f"precision is {precision!r}; allowed: float32, bf16")
        dtype = precision if spec.bits == FLOAT_BITS else "int16" if spec.bits > BITS["int8"] else "int8"
        if isinstance(spec, Exact):
            return cls(spec.algorithm, "int8", lossless=True)
        if isinstance(spec, Residue):
            return cls(f"residue-{spec.tile}-{spec.residue_bits}", "int8", lossless=True)
        if not isinstance(spec, Winograd):
            return cls("direct", dtype)  # type: ignore[arg-type]
        name = spec.algorithm if isinstance(spec.algorithm, str) else spec.algorithm.name
        # Learned ones of any structure run alike.
        return cls(name, dtype, "static" if spec.transforms == "static" else "learned")  # type: ignore[arg-type]

    def spec(self) -> Spec:
        """Return a spec that stands for all that this candidate does."""
        if self.algorithm == "direct":
            return Direct(bits=BITS[self.dtype])
        if residue := self.residue:
            return Residue(tile=residue[0], residue_bits=8 if residue[1] == 8 else 13)
        if self.lossless:
            return Exact(self.algorithm)
        return Winograd(self.algorithm, bits=BITS[self.dtype], transforms=self.transforms)

    @property
    def residue(self) -> tuple[int, int] | None:
        """Outputs of a tile and bits of the moduli, if it computes by residues."""
        match = re.fullmatch(r"residue-(\d+)-(8|13)", self.algorithm) if self.lossless else None
        return (int(match[1]), int(match[2])) if match else None

    @property
    def precision(self) -> Literal["float32", "bf16"]:
        """What to compile with."""
        return "bf16" if self.dtype == "bf16" else "float32"

    @property
    def stored(self) -> str:
        """What its output lies in memory as, between layers of its own type."""
        return STORED[self.dtype]


FAST = ("F2", "F4", "F6", "SFC6")
PLANAR = ("SFC6-planar",)
CANDIDATES = tuple(
    Candidate.parse(text)
    for text in (
        *(f"{name} {dtype}" for dtype in ("float32", "int8") for name in ("direct", *FAST)),
        *(f"{name} int8" for name in PLANAR),
        *(f"{name} learned int8" for name in FAST),
        *(f"exact {name} int8" for name in dict.fromkeys(itertools.chain(*WRAPPING.values()))),
        *(f"exact residue-{m}-13 int8" for m in dict.fromkeys(itertools.chain(*RESIDUE_TILES.values()))),
        *(f"{name} {dtype}" for dtype in ("bf16", "int16") for name in ("direct", "F2", "F4")),
    )
)
"""What is measured unless asked otherwise."""


def check_candidates(candidates: Iterable[Candidate | str]) -> tuple[Candidate, ...]:
    """Return candidates, each once; texts are parsed.

    Raises
    ------
    ValueError
        If there is none, or one is unknown.
    """
    found = tuple(dict.fromkeys(c if isinstance(c, Candidate) else Candidate.parse(c) for c in candidates))
    if not found:
        raise ValueError(
            f"there are no candidates; allowed: at least one, such as {', '.join(map(str, CANDIDATES[:3]))}"
        )
    return found
