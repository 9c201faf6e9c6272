"""An engine within torch: as a module, in programs of torch.export and torch.compile."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine import module as module_of_engines


class Pipeline(nn.Module):
    """Code of the user's before and after an engine."""

    def __init__(self, engine: nn.Module) -> None:
        super().__init__()
        self.engine = engine
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.engine(x / 2).mean((2, 3)))


@pytest.fixture(scope="module")
def engine() -> tw.Engine:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    return tw.compile(model, torch.zeros(1, 3, 8, 8))


@pytest.fixture(scope="module")
def pipeline(engine: tw.Engine) -> nn.Module:
    torch.manual_seed(1)
    return Pipeline(tw.to_module(engine)).eval()


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 9, 7, generator=torch.Generator().manual_seed(count))


def test_a_module_gives_what_its_engine_gives(engine: tw.Engine) -> None:
    module = tw.to_module(engine)
    assert torch.equal(module(images(2)), engine(images(2)))
    pixels = torch.randint(0, 256, (1, 3, 6, 6), dtype=torch.uint8)
    assert torch.equal(module(pixels), engine(pixels))
    assert (list(module.parameters()), module.state_dict()) == ([], {})
    assert "threads=1" in repr(module)


def test_the_operator_keeps_torchs_rules(engine: tw.Engine) -> None:
    module = tw.to_module(engine)
    torch.library.opcheck(module_of_engines.run, ([images(2)], module.program, *module.key))


def test_several_inputs_and_results() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(3, 4, 3, padding=1) for _ in range(2))

        def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
            y = self.convs[0](a) + self.convs[1](b)
            return {"map": y, "mean": y.mean((2, 3))}

    x = (images(1), images(2)[1:])
    engine = tw.compile(Two().eval(), x)
    module = tw.to_module(engine)
    found, expected = module(*x), engine(*x)
    assert list(found) == ["map", "mean"]
    assert all(torch.equal(found[name], expected[name]) for name in found)
    with pytest.raises(ValueError, match="there are 1 inputs; allowed: a, b"):
        module(x[0])


def test_exported_with_any_number_of_images(pipeline: nn.Module) -> None:
    program = torch.export.export(pipeline, (images(2),), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=64)},))
    with torch.no_grad():
        for count in (1, 2, 5):
            assert torch.equal(program.module()(images(count)), pipeline(images(count)))


SCRIPT = """
import sys, torch
import tilewise.engine.module
program, x, expected = (sys.argv[1], *torch.load(sys.argv[2]))
with torch.no_grad():
    assert torch.equal(torch.export.load(program).module()(x), expected)
"""


def test_an_exported_program_carries_its_engine(pipeline: nn.Module, tmp_path: Path) -> None:
    """Another process makes it of the file within the program."""
    torch.export.save(torch.export.export(pipeline, (images(2),)), tmp_path / "pipeline.pt2")
    with torch.no_grad():
        torch.save((images(2), pipeline(images(2))), tmp_path / "expected.pt")
    subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / "pipeline.pt2", tmp_path / "expected.pt"], check=True)


def test_compiled_without_a_break(pipeline: nn.Module) -> None:
    compiled = torch.compile(pipeline, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for count in (2, 3):
            assert torch.equal(compiled(images(count)), pipeline(images(count)))


def test_copies(pipeline: nn.Module, engine: tw.Engine) -> None:
    module = tw.to_module(engine)
    assert tw.to_module(copy.deepcopy(engine)).engine is module.engine  # weights are in memory once
    with torch.no_grad():
        expected = pipeline(images(2))
        for another in (copy.deepcopy(pipeline), pickle.loads(pickle.dumps(pipeline))):
            assert torch.equal(another(images(2)), expected)
        file = io.BytesIO()
        torch.save(pipeline, file)
        file.seek(0)
        assert torch.equal(torch.load(file, weights_only=False)(images(2)), expected)


def test_no_gradient_goes_through(engine: tw.Engine, pipeline: nn.Module) -> None:
    x = images(1).requires_grad_()
    with pytest.raises(RuntimeError, match="no gradient goes through an engine"):
        tw.to_module(engine)(x).sum().backward()
    pipeline(images(1)).sum().backward()  # of layers behind the engine there is one
    assert pipeline.head.weight.grad is not None


def test_bad_input(engine: tw.Engine) -> None:
    with pytest.raises(TypeError, match=r"engine is str; allowed: tilewise\.Engine"):
        tw.to_module("net.tilewise")  # type: ignore[arg-type]
    module = tw.to_module(engine)
    with pytest.raises(TypeError, match="x is float64; allowed: float32, uint8"):
        module(images(1).double())
    with pytest.raises(ValueError, match=r"x has shape \(1, 4, 8, 8\); allowed: \(N, 3, H, W\)"):
        module(torch.zeros(1, 4, 8, 8))
