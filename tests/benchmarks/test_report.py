from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench_units import ABOUT, all_layers, unit

from peers.pictures import draw
from peers.tables import report


def lines(text: str, start: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith(start)]


def test_layers() -> None:
    text = report(all_layers(), ABOUT)
    figures, ratios = lines(text, "| 64 ch, 32x32 |")
    assert figures == ["64 ch, 32x32", "**1000**", "**500**", "250", "1000000†", "-"]
    assert ratios[1:6] == ["F4", "onednn Winograd", "2.00 (2.00 to 2.00)", "onednn direct", "4.00 (4.00 to 4.00)"]
    assert ratios[6:] == ["500", "500", "1.00 (1.00 to 1.00)"]
    assert "Without ncnn: it is not there." in text
    assert "ncnn int8 (0.5 to 0.5 in 14 units)" in text
    assert "torch x86 int8: ValueError: not here" in text


def test_means_are_over_the_eleven() -> None:
    text = report(all_layers(), ABOUT)
    mean = lines(text, "| geometric mean of 3x3 |")[-1]
    assert mean[3] == f"{2 ** (10 / 11):.2f}x"
    large = lines(text, "| the same, maps from 7x7 on |")[0]
    assert large[3] == "2.00x"
    per_contender = lines(text, "| against the best peer, geometric mean of 3x3 |")[0]
    assert per_contender[1:] == [f"{2 ** (10 / 11):.2f}x", "1.00x", "0.50x", "-", "-"]


def test_no_mean_over_a_part() -> None:
    assert "geometric mean" not in report(all_layers()[1:], ABOUT)


def test_batches_of_layers_apart(tmp_path: Path) -> None:
    both = [replace(one, batch=batch) for batch in (1, 8) for one in all_layers()]
    text = report(both, ABOUT)
    assert text.index("operations, batch 1:") < text.index("operations, batch 8:")
    assert len(lines(text, "| geometric mean of 3x3 |")) == 2
    written = draw(both, ABOUT, tmp_path)
    assert [path.stem for path in written] == [
        "roofline-int8-1", "layers-int8-1", "roofline-int8-1-batch-8", "layers-int8-1-batch-8",
    ]  # fmt: skip


def test_networks() -> None:
    text = report([unit("ResNet-20, 32x32", kind="network")], ABOUT)
    assert lines(text, "| tilewise F4 |") == [["tilewise F4", "**2**"]]
    assert lines(text, "| ours / best peer |") == [["ours / best peer", "1.00 (1.00 to 1.00)"]]


def test_pictures(tmp_path: Path) -> None:
    written = draw([*all_layers(), unit("ResNet-20, 32x32", kind="network")], ABOUT, tmp_path)
    assert [path.name for path in written] == ["roofline-int8-1.png", "layers-int8-1.png", "networks-int8-1.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
