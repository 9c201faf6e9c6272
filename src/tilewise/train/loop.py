"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from tilewise.common.processes import Processes
from tilewise.common.progress import bar
from tilewise.conversion import skips_of
from tilewise.quant.fake import Range
from tilewise.train import checkpoint, runs
from tilewise.train.config import CLIP_NORM, TrainConfig
from tilewise.train.evaluation import evaluate
from tilewise.train.parallel import sharing
from tilewise.train.tasks import CLASSIFICATION, Task

M = TypeVar("M", bound=nn.Module)
CHECK_EVERY = 25


class Loader(Protocol):
    """What ``fit`` trains on: sized and re-iterable, such as ``data.Batches`` or a torch DataLoader."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Any: ...


def fit(
    model: M,
    train: Loader,
    val: Iterable[tuple[Tensor, Tensor]],
    config: TrainConfig,
    *,
    task: Task = CLASSIFICATION,
    teacher: nn.Module | None = None,
    origin: Mapping[str, Any] | None = None,
) -> M:
    """Train or adapt a network.

    With ``config.out``, every epoch ends with a checkpoint; a run that was killed continues with ``resume`` and
    ends with bit-identical weights (on the same machine and thread count). Batches come in an order that depends on
    seed and epoch only: ``data.Batches`` sees to it by itself, a DataLoader by torch's seed, which is set each epoch.
    Where Ctrl-C interrupts, the model gets the last checkpoint's state, so that the same model can go on.

    In a process group (``train.launch``, torchrun) all its processes train the one model, each on its part of every
    batch: give all the same data. The result is that of one process up to the order of floating point sums; the first
    process writes, and any number of them may resume.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (N, classes), or what the task needs. Changed in place.
    train : Loader
        Batches of (x, y).
    val : iterable of (x, y)
        Scored after every epoch.
    config : TrainConfig
        Recipe, epochs, run folder.
    task : Task
        Loss and score: that of the data set, ``images.task``; classification by default.
    teacher : torch.nn.Module, optional
        Learn this network's outputs instead of the labels, such as the float network that ``model`` came from: its
        training labels have nothing left to say once it fits them. Moved to the device, in evaluation mode.
    origin : mapping, optional
        With ``config.out``: where the model comes from, in JSON's types, such as the digest of a file of weights and
        how they were refined. A run resumes only if it agrees. By default the model's parameters must be the same to
        the bit, which refinement does not promise on another machine, or those of the run's last checkpoint.

    Returns
    -------
    torch.nn.Module
        The same model, after its last epoch, in evaluation mode. The best epoch's weights are in
        ``out/best.safetensors``.

    Raises
    ------
    ValueError
        If the loss stops being finite, a batch has fewer images than there are processes, another process uses the
        folder, it holds a run that is not to be resumed, the run to be resumed had other settings, layers, data or
        weights, ranges that were never measured are to be frozen, or images are to be mixed without a teacher.
    """
    if len(train) == 0:
        raise ValueError("no training batches")
    if config.mix and teacher is None:
        raise ValueError("mix is set, but mixed images have no label; give a teacher")
    processes = Processes.here()
    run = _Run(model, config, processes, task.metric)
    optimizer = config.optimizer(model.to(config.device))
    if teacher is not None:
        teacher.to(config.device).eval()
    with runs.alone_in(config.out, processes):
        first = run.restore(optimizer, lambda: _identity(model, train, val, config, task, teacher, origin))
        display_bar = bar(enabled=config.progress and processes.first)
        try:
            with display_bar as display, sharing(model, processes), frozen_ranges(model, enabled=config.freeze_ranges):
                row = display.add_task("train", total=(config.epochs - first) * len(train))
                for epoch in range(first, config.epochs):
                    began = time.perf_counter()
                    torch.manual_seed(config.seed * 1_000_003 + epoch)
                    if hasattr(train, "set_epoch"):
                        train.set_epoch(epoch)
                    model.train()
                    if config.freeze_norms:
                        freeze_norms(model)
                    loss = _epoch(
                        model, train, optimizer, config, epoch, task, teacher, processes, lambda: display.advance(row)
                    )
                    score = evaluate(model, val, task=task, device=config.device, processes=processes)
                    display.update(row, description=f"epoch {epoch + 1}/{config.epochs}: {score.value:.2f} {task.unit}")
                    entry = {"epoch": epoch + 1, "train_loss": loss, "loss": score.loss, task.metric: score.value}
                    run.record({**entry, "seconds": round(time.perf_counter() - began, 2)}, optimizer)
        except KeyboardInterrupt:
            run.rewind()
            raise
    processes.wait()  # until the first one has written the last epoch's files
    return model.eval()


def _epoch(
    model: nn.Module,
    train: Loader,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    epoch: int,
    task: Task,
    teacher: nn.Module | None,
    processes: Processes,
    advance: Any,
) -> float:
    """One pass over the training batches; gives the mean loss."""
    total = torch.zeros((), device=config.device)
    for step, (images, y) in enumerate(train):
        lr = config.lr_at(epoch, step, len(train))
        if config.mix:
            images = mixed(images)  # noqa: PLW2901 - what the step sees
        total += train_step(model, images, y, task, teacher, optimizer, config, lr, processes)
        # Asking for the number waits for the device, so not at every step.
        if step % CHECK_EVERY == CHECK_EVERY - 1:
            check_finite(float(processes.sum(total)), epoch, step)
        advance()
    mean = float(processes.sum(total)) / len(train)
    check_finite(mean, epoch, len(train) - 1)
    return mean


def train_step(
    model: nn.Module,
    images: Tensor,
    y: Tensor,
    task: Task,
    teacher: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    lr: float,
    processes: Processes,
) -> Tensor:
    """Take one step of the weights; give this process's share in the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("rate", 1.0)
    optimizer.zero_grad(set_to_none=True)
    loss = part_of_loss(model, images, y, task, teacher, config.device, processes)
    loss.backward()  # type: ignore[no-untyped-call]
    processes.sum_gradients(model.parameters())
    if config.recipe == "modern":
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    return loss.detach()


def part_of_loss(
    model: nn.Module,
    images: Tensor,
    y: Tensor,
    task: Task,
    teacher: nn.Module | None,
    device: str,
    processes: Processes,
) -> Tensor:
    """Return what a process's part of a batch adds to the loss of the batch; all parts add up to it.

    Raises
    ------
    ValueError
        If the batch has fewer images than there are processes.
    """
    if len(images) < processes.world:
        raise ValueError(f"a batch has {len(images)} images, fewer than the {processes.world} processes")
    # Channels last is what torch's convolutions and ours are fastest with; layers keep what they are given.
    x = processes.part(images).to(device, memory_format=torch.channels_last)
    # The mean over the batch is the sum of its parts' means by their share in it.
    return _loss(model(x), x, processes.part(y), task, teacher) * (len(x) / len(images))


def _loss(outputs: Tensor, x: Tensor, y: Tensor, task: Task, teacher: nn.Module | None) -> Tensor:
    """Loss with the targets, or the distance to the teacher's outputs on ``x``."""
    if teacher is None:
        return task.loss(outputs, y.to(outputs.device))
    with torch.no_grad():
        wanted = teacher(x)
    return task.distance(outputs, wanted)


def mixed(images: Tensor) -> Tensor:
    """Mix each image with another of the batch, by shares drawn from torch's generator, the same for every device."""
    shares, others = torch.rand(len(images), 1, 1, 1), torch.randperm(len(images))
    return images.lerp(images[others.to(images.device)], shares.to(images.device))


def freeze_norms(model: nn.Module) -> None:
    """Let batch norms of a model in training use, and keep, their statistics."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the one common base
            module.eval()


@contextmanager
def frozen_ranges(model: nn.Module, *, enabled: bool) -> Iterator[None]:
    """Let ranges of quantization stay as they are, if enabled.

    Raises
    ------
    ValueError
        If one was never measured.
    """
    ranges = {name: m for name, m in model.named_modules() if isinstance(m, Range)} if enabled else {}
    if empty := [name for name, found in ranges.items() if not found.ready]:
        raise ValueError(f"freeze_ranges is set, but {empty[0]} has seen no data yet; calibrate(model, batches) first")
    for found in ranges.values():
        found.frozen = True
    try:
        yield
    finally:
        for found in ranges.values():
            found.frozen = False


def check_finite(loss: float, epoch: int, step: int) -> None:
    """Refuse to go on with a sum of losses that is not finite."""
    if not math.isfinite(loss):
        raise ValueError(
            f"the training loss became {loss} by epoch {epoch + 1}, step {step + 1}: "
            "NaN in data or weights, or a learning rate that is too high; earlier checkpoints are kept"
        )


class _Run:
    """A run folder: what the run is, its last and best checkpoint, its log."""

    def __init__(self, model: nn.Module, config: TrainConfig, processes: Processes, metric: str) -> None:
        self.model, self.config, self.processes, self.metric = model, config, processes, metric
        self.folder = None if config.out is None else Path(config.out)
        self.log: list[dict[str, Any]] = []

    def restore(self, optimizer: torch.optim.Optimizer, identity: Callable[[], dict[str, Any]]) -> int:
        """Continue from the last checkpoint if asked to; return the epoch to start with.

        All processes start from the first one's state, whatever disks and random numbers they have.
        """
        found = self.processes.from_first(lambda: self._last(identity))
        if found is None:
            if self.processes.world > 1:
                self.model.load_state_dict(self.processes.from_first(self.model.state_dict))
            return 0
        tensors, description = found
        assert self.folder is not None
        last = self.folder / runs.LAST
        for name, ours in (("specs", checkpoint.describe_specs(self.model)), ("skips", skips_of(self.model))):
            if other := runs.difference(description.get(name), json.loads(json.dumps(ours)), name):
                raise ValueError(f"{last} has {other[0]} = {other[1]}, not {other[2]}; it is of another run")
        if not all(type(entry.get(self.metric)) in (int, float) for entry in description["log"]):
            raise ValueError(f"{last} has a log without {self.metric}; it is of another run")
        checkpoint.load_state(self.model, _weights(tensors), last)
        checkpoint.load_optimizer(optimizer, tensors, "optimizer", last)
        self.log = description["log"]
        self._write_rest()
        return len(self.log)

    def _last(self, identity: Callable[[], dict[str, Any]]) -> runs.Found | None:
        """Read what the folder holds; None starts afresh."""
        if self.folder is None:
            return None
        return runs.open_run(self.folder, identity(), resume=self.config.resume)

    def record(self, entry: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """End an epoch. The last checkpoint holds all of it, and comes first: what a kill leaves out is made anew."""
        self.log.append(entry)
        if self.folder is None or not self.processes.first:
            return
        tensors = {**self.model.state_dict(), **checkpoint.optimizer_tensors(optimizer, "optimizer")}
        description = {
            "specs": checkpoint.describe_specs(self.model),
            "skips": skips_of(self.model),
            "log": self.log,
        }
        checkpoint.write(self.folder / runs.LAST, tensors, description)
        self._write_rest()

    def rewind(self) -> None:
        """Give the model the state of the last checkpoint, from which a run goes on, if there is one."""
        if self.folder is not None and self.log and self.processes.world == 1:
            last = self.folder / runs.LAST
            checkpoint.load_state(self.model, _weights(checkpoint.read(last)[0]), last)

    def _write_rest(self) -> None:
        """Write what follows from the last checkpoint: the best one, if they are the same, and the log."""
        if self.folder is None or not self.processes.first:
            return
        if max(self.log, key=lambda e: e[self.metric]) is self.log[-1]:
            checkpoint.save_weights(self.model, self.folder / "best.safetensors")
        runs.write_log(self.folder, self.log)


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a run's checkpoint holds of the model."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}


def _identity(
    model: nn.Module,
    train: Loader,
    val: Iterable[Any],
    config: TrainConfig,
    task: Task,
    teacher: nn.Module | None,
    origin: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return what must agree for one run to be the continuation of another."""
    start = {"start": runs.start_of(config.out, model)} if origin is None else dict(origin)
    return {
        **start,
        **config.identity(),
        "skips": skips_of(model),
        "specs": checkpoint.describe_specs(model),
        "task": repr(task),
        "train": runs.identity_of(train),
        "val": runs.identity_of(val),
        "teacher": None if teacher is None else runs.digest(teacher.state_dict().values()),
    }
