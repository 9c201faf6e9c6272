"""Each study at scale smoke: its rows, its direction, what stops and goes on, what must not mix."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tilewise as tw
from tilewise import zoo
from tilewise.algebra import Bilinear
from tilewise.algebra.catalogue import read_algorithm
from tilewise.commands.experiment import table
from tilewise.data.pairs import luma
from tilewise.experiments import plain, scratch, timing, transforms, untrained, untrained_tables, wins
from tilewise.experiments.catalogue import STUDIES
from tilewise.experiments.runs import SCALES, Place, run_study
from tilewise.experiments.timing import kernel_sets, profiles, square
from tilewise.latency.records import STAGES

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "algorithms"
KEPT = {"name", "settings", "seconds", "commit", "version", "machine"}
TRAINED = KEPT | {"accuracy", "images"}


@pytest.mark.parametrize("name", STUDIES)
def test_all_runs_of_a_scale_have_names_and_settings_of_their_own(name: str) -> None:
    for scale in SCALES:
        cases = STUDIES[name].cases(scale)
        assert len({case.name for case in cases}) == len(set(cases)) == len(cases) > 0


def test_a_swap_to_large_tiles_loses_most(cli: Any, tmp_path: Path) -> None:
    summary = cli("experiment", "swap", "--scale", "smoke", "--out", tmp_path)
    assert json.loads((tmp_path / "swap-smoke.json").read_text()) == summary
    assert summary["done"] == summary["runs"] == len(summary["rows"])
    assert all(row.keys() >= TRAINED for row in summary["rows"])
    distances = {row["settings"]["algorithm"]: row["distance"] for row in summary["rows"]}
    assert distances["direct"] < 1e-9 < distances["F2"] < distances["F6"]


def test_training_from_scratch_learns(cli: Any, tmp_path: Path) -> None:
    summary = cli("experiment", "scratch", "--scale", "smoke", "--out", tmp_path)
    assert [row["settings"]["transforms"] for row in summary["rows"]] == ["static", "learned"]
    for row in summary["rows"]:
        assert len(row["curve"]) == row["settings"]["size"]["epochs"]
        assert row["losses"][-1] < row["losses"][0]


def test_what_is_not_trained_is_scored_with_ranges_and_refined(cli: Any, tmp_path: Path) -> None:
    summary = cli("experiment", "accuracy", "--scale", "smoke", "--out", tmp_path)
    direct, refined = summary["rows"]
    assert [row["name"] for row in (direct, refined)] == ["small-direct-ranges-32-s0", "small-F4-refined-16-s0"]
    assert all(row.keys() >= KEPT for row in summary["rows"])
    assert 0 < direct["distance"] < refined["distance"]
    lines = untrained_tables.table(summary["rows"], "digits", lambda row: row["accuracy"])
    assert lines[0] == "| digits | ranges, 32 | refined, 16 |"
    assert lines[2:] == [f"| direct | {direct['accuracy']:.2f} | - |", f"| F4 | - | {refined['accuracy']:.2f} |"]


def test_the_upscaler_is_compared_with_float_and_with_the_truth(cli: Any, tmp_path: Path, refusal: Any) -> None:
    study = ("experiment", "enlarging", "--scale", "smoke", "--out", tmp_path / "out")
    assert "1 runs failed" in refusal(*study, "--data-root", tmp_path)
    for number, name in enumerate(("T91", "Set5", "Set14")):
        (tmp_path / "SR" / name).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (9, 10, 3), np.uint8)
        picture = Image.fromarray(pixels).resize((170, 137), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "SR" / name / "a.png")
    tw.save_weights(zoo.compact(), tmp_path / untrained.UPSCALER)
    (row,) = cli(*study, "--data-root", tmp_path)["rows"]
    assert row["psnr"] == pytest.approx(sum(row["to_float"].values()) / 2, abs=0.01)
    assert min(row["to_float"].values()) > 30
    assert row["to_truth"].keys() == {"Set5", "Set14"}
    low, high = untrained.pictures(tmp_path, "Set5")[0]
    assert (low.shape, high.shape) == ((1, 3, 34, 42), (1, 3, 136, 168))
    rgb = (255 * high[0]).byte().permute(1, 2, 0).numpy()
    assert abs(255 * untrained._luma(high)[0, 0].numpy() - luma(rgb)).max() < 0.51


@pytest.mark.parametrize("name", ["adapt", "lenet", "plain", "architectures", "transforms"])
def test_other_trainings_end_with_rows(name: str, cli: Any, tmp_path: Path) -> None:
    summary = cli("experiment", name, "--scale", "smoke", "--out", tmp_path)
    assert all(row.keys() >= TRAINED and row["curve"] for row in summary["rows"])
    if name in ("adapt", "transforms"):
        assert summary["rows"][0]["before"] > 0


def test_studies_start_from_what_was_trained_before(cli: Any, tmp_path: Path) -> None:
    place = Place(data_root=None, folder=tmp_path / "swap" / "smoke" / "any")
    with pytest.raises(
        FileNotFoundError, match="resnet18-digits is trained by tilewise experiment plain --scale smoke"
    ):
        plain.trained_network("resnet18-digits", place)
    (row,) = cli("experiment", "plain", "--scale", "smoke", "--out", tmp_path)["rows"]
    network = plain.trained_network("resnet18-digits", place)
    score = tw.evaluate(network, tw.data.load("digits", "test").scoring())
    assert round(score.value, 2) == row["accuracy"]


@pytest.mark.parametrize("name", transforms.ALGORITHMS)
def test_found_transforms_are_those_of_the_search(name: str) -> None:
    found = transforms.start(name, "found")
    assert isinstance(found, Bilinear)
    stored = read_algorithm(str(RESULTS / f"{name}-tensor.json"))
    assert isinstance(stored, Bilinear)
    assert (found.AT, found.G, found.BT) == (stored.AT, stored.G, stored.BT)


def test_fronts_have_points_from_accurate_to_fast(cli: Any, tmp_path: Path) -> None:
    (row,) = cli("experiment", "front", "--scale", "smoke", "--threads", 1, "--out", tmp_path)["rows"]
    expected = [architecture["expected_seconds"] for architecture in row["architectures"]]
    assert len(expected) == row["settings"]["points"] == 2
    assert expected == sorted(expected, reverse=True)
    assert row["accuracies"].keys() == row["faster"].keys() >= {*wins.UNIFORM, wins.FOUND}


def test_a_search_is_adapted_and_timed_beside_uniform_networks_and_im2row(cli: Any, tmp_path: Path) -> None:
    (row,) = cli("experiment", "wins", "--scale", "smoke", "--threads", 1, "--out", tmp_path)["rows"]
    assert row.keys() >= TRAINED
    assert row["accuracy"] == row["accuracies"][wins.FOUND]
    assert row["accuracies"].keys() == row["faster"].keys() == {*wins.UNIFORM, wins.FOUND}
    assert row["faster"]["direct int8"] == pytest.approx(
        row["milliseconds"]["im2row fp32"] / row["milliseconds"]["direct int8"], rel=0.01
    )
    assert row["architectures"][0]["specs"]


def test_im2row_computes_the_network() -> None:
    torch.manual_seed(0)
    model, x = zoo.resnet20().eval(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(wins.by_matrices(model)(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.fixture
def timed(cli: Any, tmp_path: Path) -> Any:
    """Runs a study of time, and returns its rows: of what it shows there must be something, of its machine the name."""

    def run(name: str) -> list[Any]:
        rows: list[Any] = cli("experiment", name, "--scale", "smoke", "--threads", 1, "--out", tmp_path)["rows"]
        assert rows
        for row in rows:
            assert row.keys() >= KEPT
            assert row["settings"]["kernel_set"] in row["machine"]
            assert all(column.values([row]) for column in STUDIES[name].columns if "/" not in column.key)
        return rows

    return run


def test_layers_are_timed_in_all_ways_that_were_asked_for(timed: Any) -> None:
    for study in ("grid", "dense"):
        for row in timed(study):
            assert tuple(row["milliseconds"]) == tuple(row["settings"]["ways"])
            assert min(row["milliseconds"].values()) > 0


def test_a_way_that_does_not_serve_a_layer_is_left_out() -> None:
    ways = ("direct int8", "F4 int8")
    found = profiles(square(8, 8, 4, kernel=1), ways, kernel_sets()[0], rounds=1, threads=1)
    assert tuple(found) == ("direct int8",)


def test_a_matrix_in_memory_is_the_windows_of_the_map() -> None:
    shape = square(2, 1, 5)
    write = timing._writing(shape, "float32")
    padded = write.args[0]
    padded._base.view(7, 7, 2)[1:6, 1:6] = x = torch.randn(5, 5, 2)
    matrix = write().reshape(25, 3, 3, 2)
    unfolded = torch.nn.functional.unfold(x.permute(2, 0, 1)[None], 3, padding=1)
    assert matrix.permute(3, 1, 2, 0).reshape(18, 25).equal(unfolded[0])


def test_stages_share_out_all_of_the_time(timed: Any) -> None:
    (row,) = timed("stages")
    assert len(row["layers"]) > 10
    for layer in (*row["layers"], *row["shares"].values()):
        assert sum(layer[stage] for stage in STAGES) == pytest.approx(100, abs=0.1)


def test_f4_multiplies_a_quarter_and_moves_more(timed: Any) -> None:
    small, large = timed("movement")
    for row in (small, large):
        counted = row["counted"]
        assert counted["fast_operations"] * 4 == counted["direct_operations"]
        assert counted["fast_bytes"] > counted["direct_bytes"]
        assert row["engine_bytes"]["direct"] > 0
    assert large["counted"]["direct_operations"] == 4 * small["counted"]["direct_operations"]
    assert small["milliseconds"]["F4, memory"] < small["milliseconds"]["F4, V and M in memory"]


def test_exact_layers_answer_alike_with_fewer_products(timed: Any) -> None:
    (row,) = timed("residues")
    assert row["equal"] == len(row["milliseconds"]) - 1 > 1
    assert row["products"] > 1


def test_a_stopped_study_keeps_what_is_done_and_goes_on(cli: Any, tmp_path: Path) -> None:
    first, *others = (case.name for case in STUDIES["swap"].cases("smoke"))
    assert cli("experiment", "swap", "--scale", "smoke", "--out", tmp_path, "--only", first)["done"] == 1
    result = tmp_path / "swap" / "smoke" / first / "result.json"
    before = result.stat().st_mtime_ns
    summary = cli("experiment", "swap", "--scale", "smoke", "--out", tmp_path)
    assert [row["name"] for row in summary["rows"]] == [first, *others]
    assert result.stat().st_mtime_ns == before


def test_runs_that_differ_in_the_seed_are_one_row() -> None:
    rows = [{"name": f"F4-s{seed}", "accuracy": 50.0 + seed, "seconds": 10.0} for seed in range(3)]
    rows.append({"name": "direct", "accuracy": 60.0, "seconds": 5.0})
    found = table(scratch.STUDY, {"title": "t", "scale": "tiny", "done": 4, "runs": 9, "rows": rows})
    assert [list(column.cells) for column in found.columns] == [
        ["F4", "direct"], ["3", "1"], ["51.00 ± 1.00", "60.00"], ["10", "5"],
    ]  # fmt: skip
    assert found.title == "t; scale tiny, 4 of 9 runs"


def test_many_numbers_of_few_runs_stand_in_columns_of_runs() -> None:
    row = {"name": "net-WA-s0", "accuracies": {"F4 int8": 51.0}, "seconds": 10.0}
    found = table(wins.STUDY, {"title": "t", "scale": "tiny", "done": 1, "runs": 6, "rows": [row]})
    names, values = (list(column.cells) for column in found.columns)
    assert found.columns[1].header == "net-WA"
    assert dict(zip(names, values, strict=True))["F4 int8, %"] == "51.00"


def test_a_changed_recipe_does_not_mix_with_old_results(tmp_path: Path) -> None:
    study = replace(scratch.STUDY, cases=lambda scale: scratch.cases(scale)[:1])
    next(iter(run_study(study, "smoke", tmp_path)))
    slower = replace(study, cases=lambda scale: [replace(case, lr=1e-4) for case in study.cases(scale)])
    with pytest.raises(ValueError, match=r"holds a run with lr = 0.\d+, not 0.0001; choose another --out"):
        next(iter(run_study(slower, "smoke", tmp_path)))


def test_bad_input_is_one_line(refusal: Any, tmp_path: Path) -> None:
    assert "study is 'figure9'; allowed: plain, swap, scratch" in refusal("experiment", "figure9", "--out", tmp_path)
    wrong = refusal("experiment", "swap", "--scale", "smoke", "--out", tmp_path, "--only", "F9*")
    assert "only is 'F9*', which none of the 3 runs has; such as small-direct" in wrong
    on = ("--scale", "tiny", "--out", tmp_path, "--only", "resnet20-direct-8bit-tensor", "--data-root", tmp_path)
    assert f"error: 1 runs failed; {tmp_path}/swap-tiny.json has why" in refusal("experiment", "swap", *on)
    (error,) = json.loads((tmp_path / "swap-tiny.json").read_text())["errors"].values()
    assert "cifar-10-batches-py" in error
