"""Networks from the hub, and digests. The hub's client is replaced."""

from __future__ import annotations

import hashlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loading") / "net.tilewise"
    tw.compile(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8)).save(path)
    return path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, file: Path) -> Any:
    """Stand in for huggingface_hub; ``asked`` are its calls."""
    module: Any = types.ModuleType("huggingface_hub")
    module.asked, module.error = [], None

    def hf_hub_download(repo_id: str, filename: str, *, revision: str | None = None) -> str:
        module.asked.append((repo_id, filename, revision))
        if module.error is not None:
            raise module.error
        return str(file)

    module.hf_hub_download = hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


def test_a_network_of_the_hub(hub: Any, file: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 9, 7), np.float32)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    engine = tw.load("hf://own-er/na.me/folder/net.tilewise", sha256=digest.upper(), batch=3)
    tw.load("hf://own-er/na.me@v1.0/net.tilewise")
    assert hub.asked == [
        ("own-er/na.me", "folder/net.tilewise", None), ("own-er/na.me", "net.tilewise", "v1.0"),
    ]  # fmt: skip
    assert engine(x).tobytes() == tw.load(file)(x).tobytes()
    assert engine.batch == 3
    assert engine.content() == file.read_bytes()


def test_another_file_is_refused(hub: Any, file: Path) -> None:
    for path in ("hf://owner/name/net.tilewise", file):
        with pytest.raises(ValueError, match=rf"net.tilewise: sha256 is [0-9a-f]{{64}}; allowed: {'0' * 64}$"):
            tw.load(path, sha256="0" * 64)
    with pytest.raises(ValueError, match="sha256 is '12'; allowed: 64 hexadecimal digits"):
        tw.load("hf://owner/name/net.tilewise", sha256="12")
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    "name", ["hf://owner/net.tilewise", "hf://owner/name@/f", "hf://", "hf://a/b/", "hf://a b/c/d"]
)
def test_bad_names(hub: Any, name: str) -> None:
    with pytest.raises(ValueError, match="allowed: hf://owner/name/file"):
        tw.load(name)
    assert hub.asked == []


def test_what_the_hub_refuses(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.error = ConnectionError("no route")
    with pytest.raises(
        FileNotFoundError, match=r"hf://a/b/c could not be had from the hub \(ConnectionError: no route\)"
    ):
        tw.load("hf://a/b/c")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"hf://a/b/c needs huggingface_hub: pip install 'tilewise\[hub\]'"):
        tw.load("hf://a/b/c")
