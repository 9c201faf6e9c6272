"""What a layer shall become: frozen, checked, with a versioned JSON form."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from tilewise.algebra import Algorithm, Bilinear, Planar, algorithm
from tilewise.algebra.catalogue import KERNELS, fitting, from_dict, is_file, read_algorithm
from tilewise.algebra.toom_cook import Interpolation
from tilewise.quant.lossless import Exact, Residue
from tilewise.quant.quantizer import FLOAT_BITS, QUANTIZERS, SPEC_VERSION, Quantizer, check_bits

Scales: TypeAlias = Literal["tap", "tensor"]
Transforms: TypeAlias = Literal["static", "learned", "sparse", "convolution"]
QuantizerName: TypeAlias = Literal["tap", "paper"]


def _check_choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{field} is {value!r}; allowed: {', '.join(allowed)}")


@dataclass(frozen=True)
class Direct:
    """Direct convolution at a bit width.

    Parameters
    ----------
    bits : int
        2 to 16 for inputs and weights, or 32 for float.
    quantizer : {"tap", "paper"}
        ``"tap"``: weights per output channel. ``"paper"``: per tensor, output quantized too.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    _: KW_ONLY
    bits: int = 8
    quantizer: QuantizerName = "tap"
    kind: ClassVar[str] = "direct"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        _check_choice("quantizer", self.quantizer, tuple(QUANTIZERS))

    @property
    def rules(self) -> Quantizer:
        """The quantizer itself."""
        return QUANTIZERS[self.quantizer]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return _to_dict(self)


@dataclass(frozen=True)
class Winograd:
    """Fast convolution by any bilinear algorithm.

    Parameters
    ----------
    algorithm : str, Bilinear or Planar
        A name (see :func:`tilewise.algorithm`), resolved for each layer's kernel size, or the algorithm itself. A
        file is read at once: the spec then holds its algorithm.
    bits : int
        2 to 16 for every quantized stage, or 32 for float.
    scales : {"tap", "tensor"}
        One scale for each tap of V, and for each tap and output channel of U; or one for all of V and one for all of U.
    transforms : {"static", "learned", "sparse", "convolution"}
        Whether ``A^T``, ``G`` and ``B^T`` are trained. ``"learned"``: all entries ("flex" in the paper); ``"sparse"``:
        all but those that are 0, 1 or -1 at the start; ``"convolution"``: interpolation points and scalings from which
        they follow, so that they stay a convolution (Toom-Cook algorithms with dyadic points only). A learned ``B^T``
        is used on a grid of powers of two on which V is exact (docs/contracts/numbers.md). Planar algorithms: static.
    quantizer : {"tap", "paper"}
        ``"paper"`` is the released code's and is always per tensor.
    hadamard_bits : int, optional
        Quantize M, the sum over channels, to this width. None leaves M exact, except that the
        ``"paper"`` quantizer then takes ``bits``.

    Raises
    ------
    ValueError
        If a value is not allowed.
    """

    algorithm: str | Algorithm
    _: KW_ONLY
    bits: int = 8
    scales: Scales = "tap"
    transforms: Transforms = "static"
    quantizer: QuantizerName = "tap"
    hadamard_bits: int | None = None
    kind: ClassVar[str] = "winograd"

    def __post_init__(self) -> None:
        check_bits(self.bits)
        _check_choice("scales", self.scales, get_args(Scales))
        _check_choice("transforms", self.transforms, get_args(Transforms))
        _check_choice("quantizer", self.quantizer, tuple(QUANTIZERS))
        if self.rules.quantizes_all_stages:
            self._check_all_stages()
        if self.hadamard_bits is not None:
            check_bits(self.hadamard_bits, "hadamard_bits")
        if isinstance(self.algorithm, str) and is_file(self.algorithm):
            object.__setattr__(self, "algorithm", read_algorithm(self.algorithm))
        example = self._named(self.algorithm) if isinstance(self.algorithm, str) else self.algorithm
        if isinstance(example, Planar):
            self._check_planar(example)
        elif self.transforms == "convolution":
            Interpolation.of(example)  # refuses what has no points

    def _check_planar(self, example: Planar) -> None:
        """Refuse what planar algorithms do not have."""
        for field, allowed in (("transforms", "static"), ("quantizer", "tap")):
            if (value := getattr(self, field)) != allowed:
                raise ValueError(f"{field} is {value!r}; allowed with {example.name}, which is planar: {allowed}")
        if example.m < 2:
            raise ValueError(f"{example.name} has 1 output; allowed of planar algorithms: from 2x2 on")

    def _check_all_stages(self) -> None:
        """Refuse what makes no sense where each tensor on the way is quantized as a whole."""
        named = f"but the {self.quantizer!r} quantizer"
        if self.scales != "tensor":
            raise ValueError(f"scales is {self.scales!r}, {named} is per tensor; allowed with it: tensor")
        if self.transforms not in ("static", "learned"):
            raise ValueError(
                f"transforms is {self.transforms!r}, {named} rounds the matrices; allowed with it: static, learned"
            )

    @staticmethod
    def _named(name: str) -> Algorithm:
        """Return a named algorithm for some size of kernel."""
        failures = []
        for r in KERNELS:
            try:
                return algorithm(name, r)
            except ValueError as error:
                failures.append(error)
        raise failures[0]

    def resolve(self, r: int, stride: int = 1) -> Algorithm:
        """Return the algorithm for ``r x r`` kernels of a stride, with integer ``A^T`` and ``B^T``.

        Raises
        ------
        ValueError
            If there is none.
        """
        if isinstance(self.algorithm, str):
            return algorithm(self.algorithm, r, stride)
        own = fitting(self.algorithm, r, stride)
        return own if own.has_integer_transforms else own.normalized()

    @property
    def rules(self) -> Quantizer:
        """The quantizer itself."""
        return QUANTIZERS[self.quantizer]

    @property
    def product_bits(self) -> int:
        """Width of M; ``FLOAT_BITS`` where it stays exact."""
        if self.bits == FLOAT_BITS:
            return FLOAT_BITS
        if self.hadamard_bits is not None:
            return self.hadamard_bits
        return self.bits if self.rules.quantizes_all_stages else FLOAT_BITS

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return _to_dict(self)


Spec: TypeAlias = Direct | Winograd | Exact | Residue
_KINDS: dict[str, type[Spec]] = {cls.kind: cls for cls in (Direct, Winograd, Exact, Residue)}


def _to_dict(spec: Direct | Winograd) -> dict[str, Any]:
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    if isinstance(values.get("algorithm"), Bilinear | Planar):
        values["algorithm"] = values["algorithm"].to_dict()
    return {"kind": spec.kind, "version": SPEC_VERSION, **values}


def spec_from_dict(data: dict[str, Any]) -> Spec:
    """Read the JSON form of a spec.

    Raises
    ------
    ValueError
        If kind, version or a field is unknown, or a value is not allowed.
    """
    values = dict(data)
    kind, version = values.pop("kind", None), values.pop("version", None)
    if kind not in _KINDS:
        raise ValueError(f"spec kind is {kind!r}; allowed: {', '.join(_KINDS)}")
    if version != SPEC_VERSION:
        raise ValueError(f"spec version is {version!r}; this release reads version {SPEC_VERSION}")
    cls = _KINDS[kind]
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"{kind} spec has unknown fields {', '.join(unknown)}; allowed: {', '.join(sorted(known))}")
    if isinstance(values.get("algorithm"), dict):
        values["algorithm"] = from_dict(values["algorithm"])
    if cls is Winograd and "algorithm" not in values:
        raise ValueError("winograd spec lacks the field algorithm")
    if values.get("transforms") == "exact":  # what files of before call it
        values["transforms"] = "convolution"
    return cls(**values)
