"""The search: steps of the weights and of the architecture in turns."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tilewise.calibration import calibrate
from tilewise.common.processes import Processes
from tilewise.common.progress import bar
from tilewise.train import checkpoint, runs
from tilewise.train.loop import Loader, check_finite, freeze_norms, part_of_loss, train_step
from tilewise.train.parallel import sharing
from tilewise.train.tasks import CLASSIFICATION
from tilewise.winas.architecture import Architecture, label
from tilewise.winas.config import SearchConfig
from tilewise.winas.paths import Paths
from tilewise.winas.prices import Latencies, Prices
from tilewise.winas.supernet import SuperNet

CALIBRATION_BATCHES = 8
OVER_BUDGET = 1.0
"""What the price of latency gains where a network is expected to take twice the budget."""


def search(
    model: nn.Module,
    train: Loader,
    val: Loader,
    table: Latencies,
    config: SearchConfig,
    *,
    teacher: nn.Module | None = None,
    example: Tensor | None = None,
) -> Architecture:
    """Search each layer's algorithm and bit width for accuracy at a measured latency.

    Steps alternate. A step of the weights samples one candidate per layer and trains it on ``train``. A step of the
    architecture samples two per layer on ``val`` and goes down ``L_model + lambda1 ||a||^2 + lambda2 E[latency]``,
    where ``E[latency]`` is relative to the network of first candidates.

    Parameters
    ----------
    model : torch.nn.Module
        Plain network, trained or not, giving logits of shape (N, classes); it is not changed.
    train, val : Loader
        Batches of (x, y): two parts of the *training* images. Test images have no place in a search.
    table : Latencies
        Latencies measured on the machine to serve.
    config : SearchConfig
        Candidates, rates, price or budget, run folder.
    teacher : torch.nn.Module, optional
        Learn this network's logits instead of the labels, as in :func:`tilewise.fit`.
    example : Tensor of shape (N, C, H, W), float32, optional
        Images of the size and number to serve; one image of ``train`` by default.

    Returns
    -------
    Architecture
        The likeliest candidate of every layer; with a budget, of the architectures that keep it the one with the
        largest product of probabilities. ``convert(model, found.specs)`` makes it a network.

    Raises
    ------
    ValueError
        If no layer has a choice, the budget is out of reach, the loss stops being finite, or the folder holds another
        run.

    References
    ----------
    Fernandez-Marques et al., "Searching for Winograd-aware Quantized Networks", MLSys 2020, section 4.2 (wiNAS).
    """
    budget = None if config.budget_ms is None else config.budget_ms / 1e3
    run = _Search(model, train, val, table, config, teacher, example)
    return run.walk([budget])[0]


def pareto(
    model: nn.Module,
    train: Loader,
    val: Loader,
    table: Latencies,
    config: SearchConfig,
    count: int,
    *,
    teacher: nn.Module | None = None,
    example: Tensor | None = None,
) -> list[Architecture]:
    """Search for networks from accurate to fast, in one walk of one super-network.

    The budget falls in ``count`` equal steps from the latency of first candidates to the fastest there is, with
    ``config.epochs`` epochs at each. Weights and architecture parameters go on from one to the next, so that a point
    costs a part of a search of its own.

    Parameters
    ----------
    model, train, val, table, config, teacher, example
        As for :func:`search`; the config names no budget.
    count : int
        Points, at least 2.

    Returns
    -------
    list of Architecture
        In the order of the walk; neighbours may be equal.

    Raises
    ------
    ValueError
        As :func:`search` does, or if ``count`` is too small or the config names a budget.
    """
    if count < 2:
        raise ValueError(f"a front of {count} points was asked; it must be at least 2")
    if config.budget_ms is not None:
        raise ValueError(f"budget_ms is {config.budget_ms}, but a front has budgets of its own; leave it out")
    run = _Search(model, train, val, table, config, teacher, example)
    return run.walk(np.linspace(run.prices.baseline, run.prices.reach().fastest, count).tolist())


class _Search:
    """A search's state and its two kinds of steps."""

    def __init__(
        self,
        model: nn.Module,
        train: Loader,
        val: Loader,
        table: Latencies,
        config: SearchConfig,
        teacher: nn.Module | None,
        example: Tensor | None,
    ) -> None:
        if len(train) == 0 or len(val) == 0:
            raise ValueError("no batches to train or to choose on")
        self.train, self.val, self.config, self.teacher = train, val, config, teacher
        self.net, self.weights = SuperNet(model, config), runs.digest(model.state_dict().values())
        if example is None:
            example = next(iter(train))[0][:1].cpu()
        self.prices = Prices(self.net, model, table, example)
        self.processes = Processes.here()
        self.trainable = [p for p in self.net.model.parameters() if p.requires_grad]
        self.paths = Paths(self.net.choices, config.arch_lr, config.device)
        self.log: list[dict[str, Any]] = []
        self.found: list[Architecture] = []

    def walk(self, budgets: Sequence[float | None]) -> list[Architecture]:
        """Search at each budget (None: at the config's price) for as many epochs as the config says."""
        with runs.alone_in(self.config.out, self.processes):
            return self._walk(budgets)

    def _walk(self, budgets: Sequence[float | None]) -> list[Architecture]:
        for budget in budgets:
            if budget is not None:
                self.prices.reach().check(budget)
        config, steps = self.config, len(self.train)
        self.recipe = config.weights(len(budgets))
        self.budgets = list(budgets)
        if self.teacher is not None:
            self.teacher.to(config.device).eval()
        self.optimizer = self.recipe.optimizer(self.net.model.to(config.device))
        first = self._restore()
        if first == 0:
            # Each process on the same images: the ranges are the same, with no word between them.
            calibrate(self.net.model, self.train, limit=CALIBRATION_BATCHES, device=config.device)
        shown = config.progress and self.processes.first
        with bar(enabled=shown) as display, sharing(self.net.model, self.processes):
            task = display.add_task("search", total=(self.recipe.epochs - first) * steps)
            for epoch in range(first, self.recipe.epochs):
                budget = budgets[epoch // config.epochs]
                entry = self._epoch(epoch, budget, lambda: display.advance(task))
                self.log.append(entry)
                if (epoch + 1) % config.epochs == 0:
                    self.found.append(self._snapshot(budget))
                self._record()
                display.update(task, description=f"epoch {epoch + 1}: {entry['expected_ms']:.3f} ms")
        return self.found

    def _epoch(self, epoch: int, budget: float | None, advance: Any) -> dict[str, Any]:
        began, config = time.perf_counter(), self.config
        torch.manual_seed(config.seed * 1_000_003 + epoch)
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + epoch)
        self.net.model.train()
        if config.freeze_norms:
            freeze_norms(self.net.model)
        sums = torch.zeros(2, device=config.device)
        held_out = _endless(self.val, epoch, math.ceil(len(self.train) / len(self.val)))
        for step, (x, y) in enumerate(_pass(self.train, epoch)):
            sums[0] += self._weight_step(x, y, generator, self.recipe.lr_at(epoch, step, len(self.train)))
            sums[1] += self._architecture_step(*next(held_out), generator, budget)
            check_finite(
                float(self.processes.sum(sums).sum()), epoch, step
            )  # sampling has to wait for the device anyway
            advance()
        weights_loss, arch_loss = (self.processes.sum(sums) / len(self.train)).tolist()
        expected = self._expected()
        return {
            "epoch": epoch + 1, "train_loss": weights_loss, "arch_loss": arch_loss, "expected_ms": 1e3 * expected,
            "budget_ms": None if budget is None else 1e3 * budget, "lambda2": self._price(expected, budget),
            "entropy": self.paths.entropy(),
            "chosen": {name: label(self.prices.specs[name][i]) for name, i in self._chosen(budget).items()},
            "seconds": round(time.perf_counter() - began, 2),
        }  # fmt: skip

    def _weight_step(self, x: Tensor, y: Tensor, generator: torch.Generator, lr: float) -> Tensor:
        """Train one sampled path."""
        self.paths.sample_one(generator)
        return train_step(
            self.net.model, x, y, CLASSIFICATION, self.teacher, self.optimizer, self.recipe, lr, self.processes
        )

    def _architecture_step(self, x: Tensor, y: Tensor, generator: torch.Generator, budget: float | None) -> Tensor:
        """Move the architecture parameters by what two sampled paths per layer say."""
        gates = self.paths.sample_two(generator)
        with _constant(self.trainable):  # nothing is kept for gradients of weights
            loss = part_of_loss(self.net.model, x, y, CLASSIFICATION, self.teacher, self.config.device, self.processes)
            gradients = self.processes.sum(torch.stack(torch.autograd.grad(loss, list(gates.values()))))
        expected = self.prices.expected(self.paths.alphas)
        price = self._price(float(expected.detach()), budget)
        penalty = self.config.lambda1 * self.paths.squares() + price * expected / self.prices.baseline
        self.paths.step(dict(zip(gates, gradients, strict=True)), penalty)
        return loss.detach()

    def _price(self, expected: float, budget: float | None) -> float:
        """Return ``lambda2``, plus what grows with the excess over a budget: a quadratic penalty's slope."""
        excess = 0.0 if budget is None else max(0.0, expected / budget - 1)
        return self.config.lambda2 + OVER_BUDGET * excess

    @torch.no_grad()
    def _expected(self) -> float:
        return float(self.prices.expected(self.paths.alphas))

    def _chosen(self, budget: float | None) -> dict[str, int]:
        """Return the indices of the likeliest network within the budget."""
        values = {name: self.paths.log_probabilities(name).numpy() for name in self.net.choices}
        return self.prices.best_within(values, math.inf if budget is None else budget)

    def _snapshot(self, budget: float | None) -> Architecture:
        """Return the present answer, its layers in the model's order."""
        chosen = self._chosen(budget)
        shares = {
            name: dict(zip(map(label, self.prices.specs[name]), self.paths.probabilities(name).tolist(), strict=True))
            for name in self.net.choices
        }
        return Architecture(
            specs=self.prices.picked(chosen), expected_seconds=self.prices.total(chosen),
            baseline_seconds=self.prices.baseline, budget_seconds=budget,
            lambda2=self._price(self._expected(), budget), probabilities=shares,
        )  # fmt: skip

    def _restore(self) -> int:
        """Continue the run in the folder, if there is one; give the epoch to start with."""
        if self.config.out is None:
            return 0
        folder, resume = Path(self.config.out), self.config.resume
        last = self.processes.from_first(lambda: runs.open_run(folder, self._identity(), resume=resume))
        if last is None:
            return 0
        tensors, description = last
        path = folder / runs.LAST
        self.net.load({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
        with torch.no_grad():
            for name, alpha in self.paths.alphas.items():
                found = tensors.get(f"alpha.{name}")
                if found is None or found.shape != alpha.shape or not found.is_floating_point():
                    raise ValueError(f"{path} lacks the choices of {name}; it is no checkpoint of this search")
                alpha.copy_(found)
        checkpoint.load_optimizer(self.optimizer, tensors, "weights_optimizer", path)
        checkpoint.load_optimizer(self.paths.optimizer, tensors, "alpha_optimizer", path)
        self.log = description["log"]
        try:
            self.found = [Architecture.from_dict(entry) for entry in description["found"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is no checkpoint of a search: {error!r}") from error
        self._write_rest(folder)
        return len(self.log)

    def _identity(self) -> dict[str, Any]:
        """Return what must agree for one search to be the continuation of another."""
        prices = {name: runs.digest([seconds]) for name, seconds in self.prices.seconds.items()}
        return {
            **self.config.identity(), "budgets": self.budgets, "weights": self.weights,
            "train": runs.identity_of(self.train), "val": runs.identity_of(self.val),
            "teacher": None if self.teacher is None else runs.digest(self.teacher.state_dict().values()),
            "baseline_seconds": self.prices.baseline, "prices": prices,
        }  # fmt: skip

    def _record(self) -> None:
        """End an epoch. The last checkpoint holds all of it, and comes first: what a kill leaves out is made anew."""
        if self.config.out is None or not self.processes.first:
            return
        tensors = {
            **{f"model.{name}": t for name, t in self.net.parameters().items()},
            **{f"alpha.{name}": t for name, t in self.paths.alphas.items()},
            **checkpoint.optimizer_tensors(self.optimizer, "weights_optimizer"),
            **checkpoint.optimizer_tensors(self.paths.optimizer, "alpha_optimizer"),
        }
        description = {"log": self.log, "found": [found.to_dict() for found in self.found]}
        folder = Path(self.config.out)
        checkpoint.write(folder / runs.LAST, tensors, description)
        self._write_rest(folder)

    def _write_rest(self, folder: Path) -> None:
        """Write what follows from the last checkpoint: the log, and what was found."""
        if not self.processes.first:
            return
        runs.write_log(folder, self.log)
        for index, found in enumerate(self.found):
            found.save(folder / f"architecture-{index}.json")


@contextlib.contextmanager
def _constant(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad = False
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad = True


def _pass(batches: Loader, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate once, in the epoch's order."""
    if hasattr(batches, "set_epoch"):
        batches.set_epoch(epoch)
    yield from batches


def _endless(batches: Loader, epoch: int, laps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate over an epoch's ``laps`` passes, each in an order of its own."""
    return itertools.chain.from_iterable(_pass(batches, epoch * laps + lap) for lap in range(laps))
