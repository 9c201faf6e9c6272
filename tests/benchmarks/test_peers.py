"""What the peers compute, each in its own process; those that are not installed are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from peers.cases import Layer, layer_net, trained_like
from peers.driver import variants_of
from peers.net import Sample
from peers.registry import OURS, PEERS
from peers.results import DTYPES
from peers.sample_file import write_sample
from peers.torch_net import from_torch, sample
from peers.worker import Worker, WorkerError
from tilewise import zoo


class Classifier(nn.Module):
    """Flattening between pooling and two linear layers, as in VGG."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.classifier = nn.Sequential(nn.Linear(16 * 6 * 6, 24), nn.ReLU(), nn.Linear(24, 7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 12, 12) -> (N, 7)."""
        return self.classifier(self.features(x).flatten(1))


def samples() -> dict[str, Sample]:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 32, 32)
    small = x[:, :, :12, :12].contiguous()
    return {
        "layer": sample(layer_net(Layer(16, 32, 12)), torch.randn(1, 16, 12, 12).relu()),
        "5x5": sample(layer_net(Layer(16, 32, 12, 5)), torch.randn(1, 16, 12, 12).relu()),
        "ResNet-20": sample(from_torch(trained_like(zoo.resnet20(), x), x), x),
        "classifier": sample(from_torch(trained_like(Classifier(), small), small), small),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("samples")
    paths = {}
    for name, made in samples().items():
        paths[name] = folder / name
        paths[name].mkdir()
        write_sample(made, paths[name])
    return paths


@pytest.fixture
def worker(name: str, tmp_path: Path) -> Iterator[Worker]:
    started = Worker(name, 1, {}, tmp_path / "log")
    try:
        started.ask("version")
    except WorkerError as error:
        started.stop()
        if "ImportError" in str(error) or "ModuleNotFoundError" in str(error):
            pytest.skip(str(error))
        raise
    yield started
    started.stop()


@pytest.mark.parametrize("name", PEERS)
def test_every_variant_is_right_or_refuses(name: str, worker: Worker, files: dict[str, Path]) -> None:
    served = set()
    for case, path in files.items():
        if (name, case) == (OURS, "ResNet-20"):
            continue  # tests/engine has it, and compiling it in many ways takes long
        layer = case in ("layer", "5x5")
        for dtype, numbers in DTYPES.items():
            for variant in variants_of(name, dtype, layer=layer):
                if case == "5x5" and variant.name in ("Winograd", "F4", "F4 learned", "F6"):
                    continue  # not served, or too inaccurate at 8 bits
                if variant.name in ("F4, F2 up to 4x4", "F6"):
                    continue
                error = worker.ask("build", variant, str(path))["error"]
                assert error < (numbers.layer if layer else numbers.network)[variant.fast], (case, variant)
                served.add((case, dtype))
        worker.ask("free")
    layers = {(case, dtype) for case in ("layer", "5x5") for dtype in ("fp32", "int8")}
    assert served >= layers
    assert len(served) == {OURS: 12, "openvino": 12, "onednn": 4}.get(name, 8)
