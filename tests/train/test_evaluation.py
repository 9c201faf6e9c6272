"""The score of a quantized network is its engine's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import tilewise as tw
from tilewise import zoo
from tilewise.train import evaluation

BATCHES = [(torch.randn(16, 1, 16, 16), torch.randint(10, (16,))) for _ in range(2)]


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return tw.calibrate(tw.convert(zoo.small_cnn(), {"*": tw.Winograd("F4")}), BATCHES)


def loss(run: Any) -> float:
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(run(x).double(), y) for x, y in BATCHES]
    return float(torch.stack(losses).mean())


def test_many_images_are_scored_by_the_engine(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tilewise._native")
    in_torch, deployed = loss(model), loss(tw.compile(model, BATCHES[0][0]))
    assert in_torch != deployed  # batch norms are folded into scales
    assert tw.evaluate(model, BATCHES).loss == pytest.approx(in_torch, rel=1e-12)  # few: not worth compiling
    monkeypatch.setattr(evaluation, "WORTH_COMPILING", 2 * 16 * 16 * 16)
    assert tw.evaluate(model, BATCHES).loss == pytest.approx(deployed, rel=1e-12)
    monkeypatch.setattr(evaluation, "WORTH_COMPILING", 2 * 16 * 16 * 16 + 1)
    assert tw.evaluate(model, BATCHES).loss == pytest.approx(in_torch, rel=1e-12)


def test_batches_without_a_length_are_many(model: Any) -> None:
    pytest.importorskip("tilewise._native")

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        yield from BATCHES

    assert tw.evaluate(model, endless()).loss == pytest.approx(loss(tw.compile(model, BATCHES[0][0])), rel=1e-12)


def test_float_networks_and_other_quantizers_stay_in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "accelerate", None)
    monkeypatch.setattr(evaluation, "WORTH_COMPILING", 0)
    paper = tw.convert(zoo.small_cnn(), {"*": tw.Winograd("F4", scales="tensor", quantizer="paper")})
    for network in (zoo.small_cnn(), tw.calibrate(paper, BATCHES)):
        assert tw.evaluate(network, BATCHES).images == 32
