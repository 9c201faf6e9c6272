from __future__ import annotations

import json
from typing import Any

import pytest

from tilewise.algebra import algorithm, toom_cook
from tilewise.quant import QUANTIZERS, Direct, Exact, Residue, Spec, Winograd, spec_from_dict

SPECS = [
    Direct(),
    Direct(bits=16, quantizer="paper"),
    Winograd("F4"),
    Winograd("SFC6", bits=10, scales="tensor", transforms="learned", hadamard_bits=9),
    Winograd("F4", transforms="sparse"),
    Winograd("F6", transforms="convolution", bits=32),
    Winograd("F2", quantizer="paper", scales="tensor"),
    Winograd(toom_cook(4, 3, [0, 1, -1, "1/3", -3])),
    Exact(),
    Exact("SFC6(6)"),
    Residue(),
    Residue(tile=6, moduli=(253, 251, 247)),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_json_round_trip(spec: Spec) -> None:
    assert spec_from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"bits": 1}, "bits is 1; allowed: 2 to 16, or 32"),
        ({"bits": 17}, "bits is 17"),
        ({"scales": "channel"}, "scales is 'channel'; allowed: tap, tensor"),
        ({"transforms": "flex"}, "transforms is 'flex'; allowed: static, learned, sparse, convolution"),
        ({"quantizer": "best"}, "quantizer is 'best'; allowed: paper, tap"),
        ({"quantizer": "paper"}, "the 'paper' quantizer is per tensor"),
        ({"hadamard_bits": 0}, "hadamard_bits is 0"),
        ({"algorithm": "F5"}, "unknown algorithm 'F5'"),
    ],
)
def test_bad_values_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Winograd(**({"algorithm": "F4"} | kwargs))


def test_specs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Winograd("F4").bits = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "fft"}, "spec kind is 'fft'; allowed: direct, winograd, exact, residue"),
        ({"version": 2}, "spec version is 2"),
        ({"colour": 1}, "unknown fields colour"),
        ({"bits": 99}, "bits is 99"),
    ],
)
def test_bad_json_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_from_dict(Winograd("F4").to_dict() | change)


def test_winograd_without_algorithm_is_refused() -> None:
    data = Winograd("F4").to_dict()
    del data["algorithm"]
    with pytest.raises(ValueError, match="lacks the field algorithm"):
        spec_from_dict(data)


def test_resolve() -> None:
    assert Winograd("F4").resolve(5) == algorithm("F4", 5)
    own = toom_cook(4, 3, [0, 1, -1, "1/3", -3])
    assert Winograd(own).resolve(3) == own
    with pytest.raises(ValueError, match="is for r = 3, not for 5x5"):
        Winograd(own).resolve(5)


def test_product_bits() -> None:
    assert Winograd("F4").product_bits == 32
    assert Winograd("F4", hadamard_bits=9).product_bits == 9
    assert Winograd("F4", quantizer="paper", scales="tensor").product_bits == 8
    assert Winograd("F4", bits=32, hadamard_bits=9).product_bits == 32


@pytest.mark.parametrize("bits", [3.5, 8.0, True, "8", 1, 17, 31])
def test_widths_are_integers_in_range(bits: Any) -> None:
    for make in (
        lambda: Direct(bits=bits),
        lambda: Winograd("F4", bits=bits),
        lambda: Winograd("F4", hadamard_bits=bits),
    ):
        with pytest.raises(ValueError, match=rf"bits is {bits}; allowed: 2 to 16, or 32 for float"):
            make()


def test_quantizer_grids() -> None:
    assert QUANTIZERS["paper"].limits(8) == (-128, 127)
    assert QUANTIZERS["paper"].steps(8) == 127.5
    assert QUANTIZERS["tap"].limits(8) == (-127, 127)
    assert QUANTIZERS["tap"].steps(8) == 127


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"tile": 1}, "tile is 1; allowed: 2 to 14, auto"),
        ({"tile": "big"}, "tile is 'big'"),
        ({"moduli": "few"}, "moduli is 'few'; allowed: auto, or numbers"),
        ({"moduli": (253, 209)}, "253 and 209 have the common factor 11"),
        ({"moduli": (8193, 251)}, "modulus is 8193; allowed: up to 8191"),
        ({"moduli": (256, 251)}, "modulus is 256; it must be odd"),
        ({"tile": 14, "moduli": (253, 251)}, "points 4 and -7 are the same modulo 11"),
    ],
)
def test_bad_residues_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Residue(**kwargs)


def test_exact_algorithms_have_to_fit() -> None:
    with pytest.raises(ValueError, match="V of F6 reaches from -317500 to 317500"):
        Exact("F6")
    with pytest.raises(ValueError, match="unknown algorithm 'F5'"):
        Exact("F5")
    with pytest.raises(ValueError, match=r"algorithm is 'found\.json'; allowed: auto, or a name"):
        Exact("found.json")
    assert (Exact().bits, Exact().rules) == (8, Direct().rules)
