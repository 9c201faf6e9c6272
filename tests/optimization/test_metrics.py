from __future__ import annotations

import math

import pytest
import torch

from tilewise.optimization.metrics import Agreement, Judge, Likeness, make_judge
from tilewise.train.tasks import CLASSIFICATION


def test_usual_metric_follows_labels_and_outputs() -> None:
    logits, maps, image = torch.rand(1, 5), torch.rand(1, 5, 8, 8), torch.rand(1, 3, 8, 8)
    assert make_judge("auto", logits, torch.tensor([4]), 3).task.metric == "accuracy"
    assert make_judge("auto", logits, None, 3).task.metric == "agreement"
    assert make_judge("auto", maps, torch.zeros(1, 8, 8, dtype=torch.long), 3).task.metric == "miou"
    assert make_judge("auto", maps, None, 3).task.metric == "agreement"
    judge = make_judge("auto", image, None, 3)
    assert judge.task == Likeness(1.0, is_picture=True)
    image[0, 0, 0, 0] = 1.5  # networks leave a few values beyond
    assert make_judge("auto", image, None, 3).task == Likeness(1.0, is_picture=True)
    assert not make_judge("auto", 2 * image, None, 3).task.is_picture  # type: ignore[attr-defined]
    assert judge.from_direct
    assert not make_judge("auto", image, image, 3).from_direct
    assert make_judge("auto", {"a": logits, "b": maps}, None, 3).task.metric == "psnr"


@pytest.mark.parametrize("metric", ["accuracy", "miou"])
def test_labels_are_missed(metric: str) -> None:
    with pytest.raises(ValueError, match=f"metric is {metric}, which needs labels, and the data has none"):
        make_judge(metric, torch.rand(1, 5), None, 3)  # type: ignore[arg-type]


def test_refusals_name_what_the_network_gives() -> None:
    with pytest.raises(ValueError, match=r"gives \(1, 5\), not a number for each class"):
        make_judge("accuracy", torch.rand(1, 5), torch.tensor([7]), 3)
    with pytest.raises(ValueError, match=r"agreement, but the network gives \(1, 1\)"):
        make_judge("agreement", torch.rand(1, 1), None, 3)
    with pytest.raises(ValueError, match=r"targets have shape \(1, 3, 8, 8\), the network gives \(1, 3, 16, 16\)"):
        make_judge("psnr", torch.rand(1, 3, 16, 16), torch.rand(1, 3, 8, 8), 3)


def test_accuracy_drop_is_in_points_with_an_interval() -> None:
    judge = Judge(task=CLASSIFICATION, by_labels=True)
    base = torch.ones(200, 2, dtype=torch.float64)
    worse = base.clone()
    worse[:10, 0] = 0
    drop = judge.drop(base, worse, 0)
    assert drop.value == 5.0
    assert 0 < drop.low < 5 < drop.high < 10
    assert judge.drop(base, worse, 0) == drop


def test_no_difference_on_few_images_is_not_certainty() -> None:
    judge = Judge(task=Agreement(), by_labels=False)
    base = torch.ones(30, 2, dtype=torch.float64)
    drop = judge.drop(base, base, 0)
    assert (drop.value, drop.low, drop.high) == (0.0, 0.0, 10.0)


def test_likeness_is_the_ratio_of_peak_to_error() -> None:
    task, wanted = Likeness(1.0, is_picture=True), torch.full((2, 3, 4, 4), 0.5)
    counts = task.counts(wanted + 0.1, wanted)
    assert math.isclose(task.score(counts), 20.0, abs_tol=1e-5)
    assert task.score(task.counts(wanted * 4, wanted)) == pytest.approx(10 * math.log10(4))  # cut to 1
    judge = Judge(task=task, by_labels=False)
    assert judge.score(judge.counts((wanted + 0.1, wanted + 0.01), (wanted, wanted))[None]) == pytest.approx(
        30.0, abs=1e-4
    )
