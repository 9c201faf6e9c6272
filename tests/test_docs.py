"""What the pages and the comments point to is there: links, pictures, files of the repository, decisions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING"))]
FENCED = re.compile(r"^```.*?^```|^    .*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"`((?:docs|src|native|tests|benchmarks|examples)/[\w./()-]+)`")
IN_COMMENTS = re.compile(r"docs/[\w/-]+\.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_point_to_what_is_there(page: Path) -> None:
    text = FENCED.sub("", page.read_text())
    links = [page.parent / target for target in LINK.findall(text) if "://" not in target]
    missing = [target for target in (*links, *(ROOT / name for name in NAMED.findall(text))) if not target.exists()]
    assert not missing


@pytest.mark.parametrize("folder", ["src", "native", "tests", "benchmarks"])
def test_comments_point_to_pages(folder: str) -> None:
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".pyi", ".h", ".inc", ".cpp", ".sh"}]
    assert files
    for path in files:
        for name in IN_COMMENTS.findall(path.read_text()):
            assert (ROOT / name).exists(), f"{path} names {name}"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = " ".join((folder / "index.md").read_text().split())  # titles are wrapped
    for page in folder.glob("*.md"):
        entries = re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) if page.name != "index.md" else []
        assert [entry for entry in entries if f"[{entry}]({page.name}#" not in index] == []
