from __future__ import annotations

import json
from pathlib import Path

import pytest

from tilewise.algebra import algorithm
from tilewise.algebra.wraparound import wraparound
from tilewise.cli import main
from tilewise.commands.options import Layers
from tilewise.experiments import lossless_counts
from tilewise.experiments.lossless_counts import (
    EFFICIENCY,
    Layer,
    Rates,
    Residues,
    counts,
    direct_count,
    fitting_points,
    residue_count,
    wrapping_count,
)
from tilewise.experiments.lossless_pictures import best_of_each, measured_figure
from tilewise.quant import Direct, Exact, Residue

LAYER = Layer("test", 64, 96, 24, 3)


def test_products_are_counted_as_by_hand() -> None:
    rates = Rates()
    pixels, pairs = 24 * 24, 64 * 96
    direct = direct_count(LAYER, 2)
    assert direct.products == pytest.approx(2 * pixels * 9 * pairs / 64 / EFFICIENCY)
    f4 = wrapping_count(LAYER, 2, wraparound(algorithm("F4")), rates)
    assert direct.products / f4.products == pytest.approx(4 / 2), "4 times fewer at half the rate"
    assert f4.weight_bytes == 36 * pairs * 2
    found = residue_count(LAYER, 2, 6, Residues(3, 8, 1), rates)
    assert direct.products / found.products == pytest.approx(float(81 / 16) / 3)
    assert found.weight_bytes == 3 * 64 * pairs


def test_tiles_that_stand_out_count() -> None:
    recipe, rates = wraparound(algorithm("F4")), Rates()
    sizes = [wrapping_count(LAYER._replace(size=size), 1, recipe, rates) for size in (13, 16)]
    assert sizes[0].products == sizes[1].products


def test_weights_from_memory_bound_small_maps() -> None:
    rates = Rates()
    found = counts(Layer("test", 512, 512, 7, 3), rates)
    residues = best_of_each(found)["residues"]
    assert residues.seconds(rates) == residues.weight_bytes / rates.bytes
    assert found[1].seconds(rates) <= residues.seconds(rates)


def test_the_command_counts_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lossless_counts, "LAYERS", (LAYER,))
    monkeypatch.setattr("tilewise.experiments.lossless_pictures.CHANNELS", (16, 32))
    picture, result = tmp_path / "picture.png", tmp_path / "result.json"
    command = ["tilewise", "algorithms", "exact", "--words", "1", "--picture", str(picture), "--json", str(result)]
    monkeypatch.setattr("sys.argv", command)
    main()
    assert picture.stat().st_size > 10000
    data = json.loads(result.read_text())
    assert data["words"] == 1
    assert [count["name"] for count in data["layers"][0]["counts"]][:2] == ["direct", "F4-textbook mod 2^32"]
    monkeypatch.setattr("sys.argv", [*command, "--batch", "0"])
    with pytest.raises(SystemExit):
        main()


def test_f4_is_the_largest_tile_whose_factors_fit() -> None:
    found = fitting_points(4, 3)
    assert [x.shift for x in found] == [2, 6, 6]
    assert {x.algorithm.AT for x in found} >= {algorithm("F4-textbook").AT}
    assert not fitting_points(5, 3)


def test_commands_take_exact_layers_of_8_bits() -> None:
    assert Layers(algorithm="exact").specs() == {"*": Exact()}
    assert Layers(algorithm="residue", layers="body*").specs() == {"body*": Residue(), "*": Direct()}
    with pytest.raises(ValueError, match="bits is 6, quantizer tap; algorithm exact allows 8 and tap"):
        Layers(algorithm="exact", bits=6).specs()


def test_measured_rows_are_drawn(tmp_path: Path) -> None:
    stages = {"input_transform": 1.0, "multiply": 2.0, "output_transform": 1.0}
    rows = [
        {"r": r, "size": 56, "channels": c, "filters": c, "algorithm": name, "seconds": seconds, "stages": stages}
        for r in (3, 5) for c in (16, 32) for name, seconds in (("direct", 2.0), ("F4", 1.0), ("F(8), 13 bits", 3.0))
    ]  # fmt: skip
    some = [row for row in rows if row["algorithm"] != "F(8), 13 bits" or row["r"] == 5]  # not all serve all layers
    measured_figure(some, rows, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 10000
