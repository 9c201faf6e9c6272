"""What a size needs is known, and refused where a process can not have it, before any of it is taken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise.engine import engine as engine_module

LIMITED = """
import resource, sys
import numpy as np
import tilewise as tw

engine = tw.load(sys.argv[1])
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**26, now + 2**26))
needed = engine.memory((1, 3, 4096, 4096))
try:
    engine.prepare((1, 3, 4096, 4096))
except MemoryError as error:
    assert str(needed) in str(error), error
else:
    raise AssertionError("it took the memory")
print(engine(np.ones((1, 3, 16, 16), np.float32)).sum())
"""


@pytest.fixture(scope="module")
def engine() -> tw.Engine:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 3, stride=2, padding=1))
    model = tw.calibrate(tw.convert(net, {"*": tw.Direct()}), [torch.randn(2, 3, 16, 16)])
    return tw.compile(model, torch.randn(1, 3, 16, 16))


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (4, 3, 33, 20), (20, 3, 64, 48)])
def test_a_size_takes_what_was_said(engine: tw.Engine, shape: tuple[int, int, int, int]) -> None:
    another = engine.share()
    said = another.memory(shape)
    n, c, h, w = shape
    assert another.memory((n, h, w, c), layout="NHWC") == said
    another.prepare(shape)
    assert another.activation_bytes == said


def test_as_many_images_count_as_go_through_at_once(engine: tw.Engine) -> None:
    assert engine.memory((engine.batch, 3, 32, 32)) == engine.memory((1000, 3, 32, 32)) > engine.memory((1, 3, 32, 32))


def test_more_than_there_is_is_refused_before_it_is_taken(engine: tw.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    another = engine.share()
    small = np.ones((1, 3, 16, 16), np.float32)
    expected, taken = another(small), another.activation_bytes
    needed = another.memory((2, 3, 256, 256))
    monkeypatch.setattr(engine_module, "usable_memory", lambda: needed - 1)
    said = rf"images of \(2, 3, 256, 256\) take {needed} bytes of memory; this process may use {needed - 1}"
    for _ in range(2):
        with pytest.raises(MemoryError, match=said):
            another.prepare((2, 3, 256, 256))
        with pytest.raises(MemoryError, match=said):
            another(np.zeros((2, 3, 256, 256), np.float32))
    assert another.activation_bytes == taken
    assert (another(small) == expected).all()
    monkeypatch.setattr(engine_module, "usable_memory", lambda: needed)
    assert another(np.zeros((2, 3, 256, 256), np.float32)).shape == (2, 8, 128, 128)


def test_a_limit_on_the_process(engine: tw.Engine, tmp_path: Path) -> None:
    engine.save(tmp_path / "net.tilewise")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "net.tilewise"], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(float(engine(np.ones((1, 3, 16, 16), np.float32)).sum()), rel=1e-4)


def test_shapes_are_checked(engine: tw.Engine) -> None:
    for shapes, said in (
        ((), "there are 0 shapes"),
        (((1, 3, 8),), "the shape of .* is"),
        (((1, 4, 8, 8),), "4 channels"),
    ):
        with pytest.raises(ValueError, match=said):
            engine.memory(*shapes)  # type: ignore[arg-type]
