"""The whole search on small problems: known answers, budgets, determinism, resuming, bad input."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import tilewise as tw
from tilewise.experiments import known_searches
from tilewise.experiments.known_searches import Table
from tilewise.train import checkpoint
from tilewise.winas import Architecture, SearchConfig, pareto, search
from tilewise.winas.architecture import label
from tilewise.winas.paths import Paths
from tilewise.winas.prices import Prices
from tilewise.winas.supernet import SuperNet

UNEQUAL = Table(by_label={"direct int8": 1e-3, "F2 int8": 0.8e-3, "F4 int8": 0.5e-3, "F6 int8": 0.2e-3}, rest=0.5e-3)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", known_searches.PROBLEMS)
def test_known_answers_are_found(name: str, seed: int) -> None:
    assert known_searches.PROBLEMS[name].solved(seed)


def test_expected_latency_is_that_of_all_networks_by_their_probability(problem: Any) -> None:
    model, train, _ = problem()
    net = SuperNet(model, SearchConfig(algorithms=("direct", "F4")))
    prices = Prices(net, model, UNEQUAL, next(iter(train))[0][:1])
    paths = Paths(net.choices, 0.1, "cpu")
    assert prices.baseline == pytest.approx(3.5e-3)
    assert prices.reach() == pytest.approx((2.0e-3, 3.5e-3))
    with torch.no_grad():
        next(iter(paths.alphas.values())).copy_(torch.tensor([math.log(3.0), 0.0]))
    expected = prices.expected(paths.alphas)
    assert expected.item() == pytest.approx(0.5e-3 + (0.75 * 1 + 0.25 * 0.5) * 1e-3 + 2 * 0.75e-3)
    expected.backward()
    assert all(alpha.grad[0] == -alpha.grad[1] > 0 for alpha in paths.alphas.values())


@pytest.mark.parametrize("budget_ms", [1.1, 1.4, 2.0, 3.6])
def test_a_budget_is_kept(problem: Any, config: Any, budget_ms: float) -> None:
    model, train, val = problem()
    found = search(model, train, val, UNEQUAL, config(budget_ms=budget_ms), teacher=model)
    assert found.expected_seconds <= budget_ms / 1e3
    example = train.images[0, :1]
    network = tw.calibrate(tw.convert(model, found.specs), [example])
    assert found.expected_seconds == pytest.approx(UNEQUAL.predict(network, example))
    assert found.budget_seconds == budget_ms / 1e3


@pytest.mark.parametrize("budget_ms", [1.09, 1e-9])
def test_a_budget_out_of_reach_is_refused_with_the_reach(problem: Any, config: Any, budget_ms: float) -> None:
    with pytest.raises(ValueError, match=r"budget is .* ms; reachable are 1\.1(00001)? to 3\.5 ms"):
        search(*problem(), UNEQUAL, config(budget_ms=budget_ms))


def test_a_front_walks_from_accurate_to_fast(problem: Any, config: Any, tmp_path: Path) -> None:
    model, train, val = problem(2)
    found = pareto(model, train, val, UNEQUAL, config(out=tmp_path), 3, teacher=model)
    assert [a.budget_seconds for a in found] == pytest.approx([3.5e-3, 2.3e-3, 1.1e-3])
    assert all(a.expected_seconds <= a.budget_seconds for a in found)
    assert {label(spec) for spec in found[-1].specs.values()} == {"F6 int8"}
    assert [Architecture.load(tmp_path / f"architecture-{i}.json") for i in range(3)] == found
    with pytest.raises(ValueError, match="a front of 1 points"):
        pareto(model, train, val, UNEQUAL, config(), 1)
    with pytest.raises(ValueError, match="budget_ms is 2, but a front"):
        pareto(model, train, val, UNEQUAL, config(budget_ms=2), 3)


def test_the_result_is_plain_json_that_convert_takes(problem: Any, config: Any, tmp_path: Path) -> None:
    model, train, val = problem(2)
    found = search(model, train, val, UNEQUAL, config(out=tmp_path))
    data = json.loads((tmp_path / "architecture-0.json").read_text())
    assert data["version"] == 1
    assert list(data["specs"]) == ["0", "2", "4"]
    assert all(sum(shares.values()) == pytest.approx(1) for shares in data["probabilities"].values())
    again = Architecture.load(tmp_path / "architecture-0.json")
    assert again == found
    chosen = {layer.name: layer.spec for layer in tw.describe(tw.convert(model, again.specs, skips="quantized"))}
    assert chosen == found.specs
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert entries[0]["chosen"] == {name: label(spec) for name, spec in found.specs.items()}
    assert {"arch_loss", "expected_ms", "entropy", "lambda2", "train_loss"} <= entries[0].keys()
    assert 0 < entries[0]["entropy"] <= math.log(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "architecture version is 2"),
        ({"more": 1}, "lacks or does not know more"),
        ({"specs": {"0": {"kind": "fft", "version": 1}}}, "spec kind is 'fft'"),
        ({"specs": 3}, "no attribute"),
    ],
)
def test_files_that_are_no_architectures_are_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    found = Architecture(
        specs={"0": tw.Direct()}, expected_seconds=1.0, baseline_seconds=1.0, budget_seconds=None, lambda2=0.0,
        probabilities={},
    )  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(found.to_dict() | change))
    with pytest.raises(ValueError, match=f"a.json holds no architecture: .*{message}"):
        Architecture.load(path)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"a\.json holds no architecture"):
            Architecture.load(path)


def test_same_seed_same_search(problem: Any, config: Any) -> None:
    first, same, other = (search(*problem(), UNEQUAL, config(seed=seed)) for seed in (0, 0, 1))
    assert first == same
    assert first.probabilities != other.probabilities


SCRIPT = """
import sys, torch
sys.path.insert(0, {folder!r})
torch.set_num_threads(1)
from tilewise.experiments import known_searches
from tilewise.winas import SearchConfig, pareto
model = known_searches.network(0)
train, val = (known_searches.Batches(model, 4, seed=seed) for seed in (0, 1))
table = known_searches.Table(by_label={{"F4 int8": 5e-4}})
config = SearchConfig(out={out!r}, transforms="learned", epochs=3, resume={resume}, progress=False)
pareto(model, train, val, table, config, 2, teacher=model)
"""


def start(out: Path, *, resume: bool) -> subprocess.Popen[bytes]:
    code = SCRIPT.format(folder=str(Path(tw.__file__).parents[1]), out=str(out), resume=resume)
    return subprocess.Popen([sys.executable, "-c", code])


def test_a_killed_search_resumes_to_the_same_bits(kill_and_resume: Any) -> None:
    whole, killed = kill_and_resume(start, 6)
    (a, said), (b, again) = (checkpoint.read(folder / "last.safetensors") for folder in (whole, killed))
    assert a.keys() == b.keys()
    assert {name.split(".")[0] for name in a} == {"model", "alpha", "weights_optimizer", "alpha_optimizer"}
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert said["found"] == again["found"]
    for entry in (*said["log"], *again["log"]):
        entry.pop("seconds")
    assert said["log"] == again["log"]


def test_an_existing_search_is_neither_overwritten_nor_mixed(problem: Any, config: Any, tmp_path: Path) -> None:
    search(*problem(2), UNEQUAL, config(out=tmp_path))
    with pytest.raises(ValueError, match="already holds a run"):
        search(*problem(2), UNEQUAL, config(out=tmp_path))
    with pytest.raises(ValueError, match=r"has lambda2 = .*, not 0.5"):
        search(*problem(2), UNEQUAL, config(out=tmp_path, lambda2=0.5, resume=True))
    with pytest.raises(ValueError, match=r"has baseline_seconds = 0.0035, not 0.003"):
        search(*problem(2), Table(), config(out=tmp_path, resume=True))


def test_bad_tables_and_data_are_refused(problem: Any, config: Any) -> None:
    model, train, val = problem()
    with pytest.raises(ValueError, match=r"layer '0' takes nan s as .*F6"):
        search(model, train, val, Table(by_label={"F6 int8": math.nan}), config())
    val.images[2] = math.nan
    with pytest.raises(ValueError, match="training loss became nan by epoch 1, step 3"):
        search(model, train, val, Table(), config())
    with pytest.raises(ValueError, match="no batches"):
        search(model, train, problem(0)[2], Table(), config())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithms": ()}, "algorithms is ()"),
        ({"algorithms": ("F4", "F4")}, "each once"),
        ({"algorithms": ("F9",)}, "unknown algorithm 'F9'"),
        ({"widths": ()}, "widths is ()"),
        ({"widths": (1,)}, "bits is 1"),
        ({"lambda1": -1.0}, "lambda1 is -1.0"),
        ({"lambda2": math.nan}, "lambda2 is nan"),
        ({"arch_lr": 0.0}, "arch_lr is 0.0"),
        ({"lr": math.inf}, "lr is inf"),
        ({"epochs": 0}, "epochs is 0"),
        ({"budget_ms": math.nan}, "budget_ms is nan"),
        ({"budget_ms": -1.0}, "budget_ms is -1.0"),
        ({"resume": True}, "out is not"),
    ],
)
def test_bad_configs_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        SearchConfig(**settings)
