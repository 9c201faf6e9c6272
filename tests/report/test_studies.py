"""The page of studies: every number with what it is of, and whether a paper's order holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tilewise.experiments.tables import Claim, groups_of
from tilewise.report.studies import write_report

CLAIM = Claim(text="learned beats static", source="a paper", more="F4-learned-*", less="F4-static-*", seeded=True)


def row(name: str, accuracy: float) -> dict[str, Any]:
    return {
        "name": name, "accuracy": accuracy, "seconds": 60.0, "commit": "0123456789ab", "machine": "a <machine>",
        "settings": {}, "version": "0.1.0",
    }  # fmt: skip


def result(folder: Path, rows: list[dict[str, Any]], study: str = "scratch", scale: str = "tiny") -> None:
    folder.mkdir(exist_ok=True)
    found = {"study": study, "title": "", "scale": scale, "runs": 9, "done": len(rows), "errors": {}, "rows": rows}
    (folder / f"{study}-{scale}.json").write_text(json.dumps(found))


def test_both_pages_have_numbers_with_spread_and_origin(tmp_path: Path) -> None:
    kind = "F4-learned-8bit-tap-w0.25"
    result(tmp_path / "found", [row(f"{kind}-s{seed}", 60.0 + seed) for seed in range(3)])
    swapped = row("resnet20-F2-8bit-tensor", 91.0) | {"distance": 0.25}
    result(tmp_path / "found", [swapped], study="swap", scale="small")
    html, markdown = write_report(tmp_path / "found")
    assert (html, markdown) == (tmp_path / "found.html", tmp_path / "found.md")
    text, page = markdown.read_text(), html.read_text()
    assert f"| {kind} | 3 | 61.00 ± 1.00 | 60 | 0123456 |" in text
    assert "Scale tiny: 3 of 9 runs, 3.0 minutes, on a <machine>." in text
    assert text.index("## swap, small") < text.index("## scratch, tiny"), "the catalogue's order"
    assert "| resnet20-F2-8bit-tensor | 1 | 91.00 | 0.2500 | 60 | 0123456 | ResNet-18: as direct" in text
    assert "**not measured**" in text
    for shown in ("61.00 ± 1.00", "a &lt;machine&gt;", "0123456", 'id="scratch-tiny"', "<svg"):
        assert shown in page
    for loads in ("<script", "<link", "src=", "@import"):
        assert loads not in page


@pytest.mark.parametrize(
    ("learned", "static", "verdict"),
    [
        ([62.0, 63.0, 64.0], [60.0, 60.0, 60.0], "holds: 1 of 1 comparisons, difference +3"),
        ([58.0, 58.0, 58.0], [60.0, 60.0, 60.0], "does not hold: 0 of 1 comparisons, difference -2"),
        ([62.0], [60.0, 60.0, 60.0], "open: +2, over 1 of 3 seeds"),
        ([], [60.0], "not measured"),
    ],
)
def test_a_claim_is_judged_by_means_over_seeds(learned: list[float], static: list[float], verdict: str) -> None:
    rows = [row(f"F4-learned-w1-s{seed}", value) for seed, value in enumerate(learned)]
    rows += [row(f"F4-static-w1-s{seed}", value) for seed, value in enumerate(static)]
    rows.append(row("F4-static-w2-s0", 99.0))
    assert CLAIM.verdict(groups_of(rows)) == verdict


def test_bad_input_is_one_line(refusal: Any, tmp_path: Path) -> None:
    report = ("experiment", "report", "--out", tmp_path / "found")
    assert f"{tmp_path}/found has no results; tilewise experiment STUDY" in refusal(*report)
    result(tmp_path / "found", [row("a", 1.0)], study="swap")
    (tmp_path / "found" / "swap-tiny.json").rename(tmp_path / "found" / "other.json")
    other = json.loads((tmp_path / "found" / "other.json").read_text())
    (tmp_path / "found" / "other.json").write_text(json.dumps({**other, "study": "figure9"}))
    assert "other.json is of study 'figure9', which is none of plain, swap, scratch" in refusal(*report)
    (tmp_path / "found" / "other.json").write_text("[]")
    assert "other.json is no result of a study" in refusal(*report)
