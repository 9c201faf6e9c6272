from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tilewise.cli import main
from tilewise.report.page import write_page

LAYER = {"name": "body.2", "op": "fast_int8", "algorithm": "F4", "seconds": 1e-3, "reason": ""}
DROP = {"value": 0.4, "low": 0.3, "high": 0.6}


def attempt(key: str, name: str, promise: str, speedup: float, **others: Any) -> dict[str, Any]:
    return {
        "key": key, "name": name, "promise": promise, "specs": {}, "score": 38.0, "drop": DROP, "milliseconds": 5.0,
        "speedup": speedup, "size": 2**20, "layers": [LAYER], **others,
    }  # fmt: skip


def summary() -> dict[str, Any]:
    direct = attempt("direct", "direct int8", "direct", 1.0, milliseconds=10.0, drop={"value": 0, "low": 0, "high": 0})
    best = attempt("mixed", "4 F4, 2 <F2>", "adapted", 2.0)
    return {
        "version": 1, "result": best, "direct": direct, "tried": [direct, best],
        "others": [{"name": "torch 2 float32", "milliseconds": 50.0, "speedup": 0.2, "drop": None}],
        "layers": [{
            "name": "body.2", "algorithm": "F4", "reason": "", "milliseconds": 1.0, "bound_milliseconds": 1.5,
            "direct_milliseconds": None, "candidates_milliseconds": {}, "losses": {}, "error": 1e-4,
        }],
        "untouched": {"head": "it has fewer than 4 input channels"},
        "judged": {
            "metric": "psnr", "unit": "dB", "held_back": 5, "shown": 9, "by_labels": False, "drop_from": "direct int8",
            "float_score": None, "image": [1, 3, 80, 96], "is_picture": True, "float_bytes": 2**22,
        },
        "warnings": ["5 images held back are too few to be sure"],
        "settings": {"max_drop": 0.5, "minutes": 3.0, "metric": "auto", "threads": 1, "seed": 0},
        "machine": "a machine", "versions": {"tilewise": "0.1.0"}, "interrupted": False,
        "origin": {"command": "tilewise optimize x.onnx --data <folder>", "model": "x.onnx"},
    }  # fmt: skip


def page_of(folder: Path, found: dict[str, Any]) -> str:
    (folder / "summary.json").write_text(json.dumps(found))
    return write_page(folder).read_text()


class Links(HTMLParser):
    """Notes what a page would load, and its headings and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.unnamed: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [values[name] or "" for name in ("src", "srcset", "data") if name in values]
        self.loaded += [values["href"] or "" for _ in "x" if tag == "link" and "href" in values]
        if tag == "img" and not values.get("alt"):
            self.unnamed.append(tag)
        if (tag == "input" or values.get("role") in ("img", "region")) and not values.get("aria-label"):
            self.unnamed.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []


def test_page_stands_alone_and_is_named_throughout(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("before", "after", "difference"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "pictures" / f"{name}.webp")
    text = page_of(tmp_path, summary())
    links = Links()
    links.feed(text)
    assert len(links.loaded) == 3
    assert all(link.startswith("data:image/webp;base64,") for link in links.loaded)
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org)", text)
    assert not links.unnamed
    assert len(links.ids) == len(set(links.ids))
    assert page_of(tmp_path, summary()) == text


def test_page_says_what_was_found(tmp_path: Path) -> None:
    text = page_of(tmp_path, summary())
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    assert "x.onnx runs 2.00 times as fast as direct int8, and loses 0.40 dB (0.30 to 0.60)" in words
    assert "10.00x as fast as torch 2 float32" in words.replace("x as", "x as").replace(" x ", "x ")
    assert "head : it has fewer than 4 input channels" in words
    assert "5 images held back are too few to be sure" in words
    assert "4 F4, 2 &lt;F2&gt;" in text
    assert "--data &lt;folder&gt;" in text
    assert 'type="range"' not in text  # there are no pictures


def test_where_direct_wins_the_fastest_other_is_named(tmp_path: Path) -> None:
    found = summary()
    slow = {"name": "slow 1 float32", "milliseconds": 90.0, "speedup": 0.1, "drop": None}
    text = page_of(tmp_path, found | {"result": found["direct"], "others": [slow, *found["others"]]})
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    assert "x.onnx runs 5.00 times as fast as torch 2 float32, and loses nothing" in words
    assert "as fast as direct int8" not in words.partition("All that was tried")[0]


def test_page_of_a_run_without_a_winner(tmp_path: Path) -> None:
    text = page_of(tmp_path, summary() | {"result": None, "origin": {}})  # as a call from Python leaves it
    assert "No network that was tried loses as little as 0.5 dB" in " ".join(text.split())


def test_what_is_no_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="tilewise optimize writes one"):
        write_page(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match="is no summary of an optimization"):
        write_page(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        write_page(tmp_path)


def folder_of(path: Path, found: dict[str, Any]) -> Path:
    (path / "summary.json").write_text(json.dumps(found))
    (path / "model.tilewise").write_bytes(b"a network")
    return path


def test_a_card_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, summary())
    monkeypatch.setattr("sys.argv", ["tilewise", "report", str(folder), "--card"])
    main()
    card = (folder / "card.md").read_text()
    assert card.startswith("---\nlibrary_name: tilewise\n")
    assert f'sha256="{hashlib.sha256(b"a network").hexdigest()}"' in card
    assert "(N, 3, 80, 96)" in card
    rows = [line.split(" | ") for line in card.splitlines() if line.startswith("| ")]
    assert ["| **this one** (adapted)", "5.000", "0.40 dB (0.30 to 0.60)", "2.00 |"] in rows
    assert ["| direct int8", "10.000", "0.00 dB (0.00 to 0.00)", "1.00 |"] in rows
    assert ["| torch 2 float32", "50.000", "not measured", "0.20 |"] in rows
    assert ["| `body.2`", "F4", "1.0000 |"] in rows
    assert "14 images, 5 of them held back" in card
    assert "**Warning:** 5 images held back are too few to be sure." in card


def test_there_is_no_card_without_a_network(tmp_path: Path, refusal: Any) -> None:
    folder = folder_of(tmp_path, summary() | {"result": None})
    assert "no network kept the budget" in refusal("report", folder, "--card")
