"""Losses and scores on cases that can be done by hand, and the loop with each of them."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.data import Pairs, Scenes
from tilewise.train import Classification, Segmentation, SuperResolution, Task

VOID = 3


def one_hot(answers: list[list[int]]) -> torch.Tensor:
    """Logits (1, 3, H, W) whose largest are these."""
    return F.one_hot(torch.tensor([answers]), 3).permute(0, 3, 1, 2).float()


def test_segmentation_scores_intersection_over_union() -> None:
    task = Segmentation(classes=3, void=VOID)
    truth = torch.tensor([[[0, 0, 1], [1, VOID, VOID]]])
    counts = task.counts(one_hot([[0, 1, 1], [1, 2, 0]]), truth)
    # Class 0: 1 of 2; class 1: 2 of 3; class 2: neither seen nor said but where the truth is void.
    assert counts.sum() == 4
    assert task.score(counts) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    # A third class that is said once where 0 is true: 0 of 1.
    assert task.score(counts + task.counts(one_hot([[2]]), torch.tensor([[[0]]]))) == pytest.approx(
        100 * (1 / 3 + 2 / 3 + 0) / 3
    )
    assert counts.shape == (task.size,)


def test_segmentation_loss_regards_no_void() -> None:
    task = Segmentation(classes=3, void=VOID, weights=(1.0, 2.0, 3.0))
    outputs, truth = torch.randn(2, 3, 4, 5), torch.randint(0, VOID + 1, (2, 4, 5))
    logs = F.log_softmax(outputs, 1)
    by_hand = sum(
        -float(logs[n, c, i, j]) * (1, 2, 3)[c]
        for n, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(4), torch.arange(5)).tolist()
        if (c := int(truth[n, i, j])) != VOID
    )
    assert float(task.loss(outputs, truth)) == pytest.approx(by_hand / 40, rel=1e-5)
    assert float(task.loss(outputs, torch.full_like(truth, VOID))) == 0
    # Parts of a batch add up to it, however many of their pixels are void.
    parts = [task.loss(outputs[i : i + 1], truth[i : i + 1]) for i in (0, 1)]
    assert float(sum(parts) / 2) == pytest.approx(by_hand / 40, rel=1e-5)


def test_psnr_leaves_out_the_border_and_rounds() -> None:
    task = SuperResolution(2)
    wanted = torch.full((1, 1, 10, 12), 100 / 255)
    given = wanted + 10 / 255
    assert task.score(task.counts(given, wanted)) == pytest.approx(20 * math.log10(255 / 10))
    given = wanted.clone()
    given[..., :2, :], given[..., :, -2:] = 0, 1  # the border
    given[..., 5, 5] += 0.4 / 255  # less than half a step
    given[..., 6, 6] += 6 / 255
    expected = 10 * math.log10(255**2 / (36 / (6 * 8)))
    assert task.score(task.counts(given, wanted)) == pytest.approx(expected)
    both = task.counts(torch.cat((given, wanted)), torch.cat((wanted, wanted)))
    assert task.score(both) > expected  # equal images are finite
    assert math.isfinite(task.score(both))


def test_classification_is_what_it_was() -> None:
    task, outputs, y = Classification(), torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    assert task.score(task.counts(outputs, y)) == 100 * int((outputs.argmax(1) == y).sum()) / 6
    assert torch.equal(task.loss(outputs, y), F.cross_entropy(outputs, y))


@pytest.mark.parametrize("task", [Classification(), Segmentation(classes=4, void=9), SuperResolution(2)], ids=repr)
def test_distance_is_zero_at_the_teacher_only(task: Task) -> None:
    wanted = torch.randn(3, 4, 5, 6) if not isinstance(task, Classification) else torch.randn(3, 4)
    assert float(task.distance(wanted.clone(), wanted)) == pytest.approx(0, abs=1e-6)
    off = (wanted + torch.randn_like(wanted)).requires_grad_()
    distance = task.distance(off, wanted)
    assert float(distance.detach()) > 0.01
    distance.backward()  # type: ignore[no-untyped-call]
    assert off.grad is not None
    nearer = off.detach() - 0.01 * off.grad / off.grad.norm()
    assert float(task.distance(nearer, wanted)) < float(distance.detach())


@pytest.mark.parametrize(
    ("task", "outputs", "targets", "wanted"),
    [
        (Classification(), (2, 10, 3, 3), (2,), r"\(2, any\)"),
        (Segmentation(classes=5, void=5), (2, 4, 6, 6), (2, 6, 6), r"\(2, 5, 6, 6\)"),
        (SuperResolution(2), (1, 1, 4, 4), (1, 1, 8, 8), r"\(1, 1, 8, 8\)"),
    ],
)
def test_networks_of_another_task_are_refused(
    task: Task, outputs: tuple[int, ...], targets: tuple[int, ...], wanted: str
) -> None:
    with pytest.raises(ValueError, match=rf"the network gives a tensor of shape .*; the task needs {wanted}"):
        task.loss(torch.zeros(outputs), torch.zeros(targets, dtype=torch.int64))


def blobs(count: int) -> Scenes:
    """Bright squares of class 1 on dark ground, a void rim."""
    maps = torch.zeros(count, 16, 20, dtype=torch.uint8)
    for i in range(count):
        maps[i, 2 + i % 5 : 9 + i % 5, 3 + i % 7 : 12 + i % 7] = 1
    maps[:, 0] = 2
    return Scenes(name="x", images=(200 * maps + 20)[:, None].expand(-1, 3, -1, -1).clone(), maps=maps,
                  task=Segmentation(classes=2, void=2))  # fmt: skip


def ramps(count: int) -> Pairs:
    """Slopes, which enlarging has to continue."""
    y, x = torch.meshgrid(torch.arange(24), torch.arange(32), indexing="ij")
    high = tuple(((3 + i % 3) * x + (5 - i % 2) * y).clamp(max=255).byte() for i in range(count))
    low = tuple(h.view(12, 2, 16, 2).float().mean((1, 3)).round().byte() for h in high)
    return Pairs(name="y", low=low, high=high, task=SuperResolution(2))


@pytest.mark.parametrize(("kind", "lowest"), [("scenes", 90.0), ("pairs", 30.0)])
def test_the_loop_learns_resumes_and_distils(kind: str, lowest: float, tmp_path: Path) -> None:
    data: Scenes | Pairs = blobs(16) if kind == "scenes" else ramps(16)
    options = {"classes": 2, "width": 0.25} if kind == "scenes" else {"scale": 2, "width": 0.25}
    net = zoo.build("unet" if kind == "scenes" else "edsr", **options)  # type: ignore[arg-type]
    train, val, task = data.training(4), data.scoring(), data.task
    config = tw.TrainConfig(epochs=6, lr=5e-3, out=tmp_path / "float", progress=False)
    tw.fit(net, train, val, config, task=task)
    log = [json.loads(line) for line in (tmp_path / "float" / "log.jsonl").read_text().splitlines()]
    score = tw.evaluate(net, val, task=task)
    assert [set(entry) for entry in log] == [{"epoch", "train_loss", "loss", task.metric, "seconds"}] * 6
    assert log[-1][task.metric] == score.value > lowest
    best = tw.load_weights(
        zoo.build("unet" if kind == "scenes" else "edsr", **options),  # type: ignore[arg-type]
        tmp_path / "float" / "best.safetensors",
    )
    assert tw.evaluate(best, val, task=task).value == max(entry[task.metric] for entry in log)

    model: nn.Module = tw.calibrate(tw.convert(net, {"*": tw.Winograd("F4")}), val)
    assert tw.evaluate(net, val, task=task, teacher=copy.deepcopy(net)).distance == 0
    quantized, _, images, distance = tw.evaluate(model, val, task=task, teacher=net)
    with torch.no_grad():
        wanted = sum(float(task.distance(model(x).double(), net(x).double())) * len(x) for x, _ in val)
    assert distance == pytest.approx(wanted / images)
    assert wanted > 0
    adapting = tw.TrainConfig(epochs=2, lr=2e-4, freeze_norms=True, progress=False)
    tw.fit(model, train, val, adapting, task=task, teacher=net)
    assert tw.evaluate(model, val, task=task).value > min(quantized, score.value) - 3
