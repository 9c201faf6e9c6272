"""Programs of torch.export, in files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw


class Net(nn.Module):
    """A block with a skip connection, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.b, self.fc = nn.Conv2d(8, 8, 3, padding="same"), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.a(x)
        x = (x + self.b(x)).relu()
        return {"scores": self.fc(x.mean((2, 3))), "map": x}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    auto = torch.export.Dim.AUTO
    program = torch.export.export(
        Net().eval(), (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: auto, 2: auto, 3: auto},)
    )
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


def test_a_program_is_a_module_that_converts_and_compiles(path: Path) -> None:
    torch.manual_seed(0)
    net, model = Net().eval(), tw.from_pt2(path)
    assert {name: type(m) for name, m in model.named_modules() if not list(m.children())} == {
        "a.0": nn.Conv2d, "a.1": nn.BatchNorm2d, "b": nn.Conv2d, "fc": nn.Linear,
    }  # fmt: skip
    x = torch.randn(3, 3, 10, 6)
    with torch.no_grad():
        want, got = net(x), model(x)
        assert list(got) == list(want)
        assert all(torch.equal(got[name], want[name]) for name in want)
    quantized = tw.calibrate(tw.convert(model, {"*": tw.Direct()}, skips="quantized"), [x])
    assert [layer.name for layer in tw.describe(quantized)] == ["a.0", "b"]
    engine = tw.compile(quantized, x)
    with torch.no_grad():
        torch.testing.assert_close(engine(x), quantized(x), rtol=0, atol=1e-5)
    quantized.train()


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.target,))


def test_no_code_of_a_file_is_run(path: Path) -> None:
    target = path.with_name("touched")
    archive = io.BytesIO()
    torch.save(Evil(target), archive)
    evil = path.with_name("evil.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(evil, "w") as new:
        for name in old.namelist():
            replaced = name.endswith(".pt") or "weight_" in name
            new.writestr(name, archive.getvalue() if replaced else old.read(name))
    with pytest.raises(ValueError, match=r"evil\.pt2 is no program of torch\.export, or a damaged one"):
        tw.from_pt2(evil)
    assert not target.exists()


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no exported program at "):
        tw.from_pt2(tmp_path / "none.pt2")
    (tmp_path / "text.pt2").write_text("no program")
    with pytest.raises(ValueError, match=r"text\.pt2 is no program of torch\.export"):
        tw.from_pt2(tmp_path / "text.pt2")
    with zipfile.ZipFile(tmp_path / "zip.pt2", "w") as file:
        file.writestr("a", "b")
    with pytest.raises(ValueError, match=r"zip\.pt2 is no program of torch\.export, or a damaged one: "):
        tw.from_pt2(tmp_path / "zip.pt2")
