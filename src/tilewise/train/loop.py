"""The training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tilewise.conversion import skips_of
from tilewise.train import checkpoint
from tilewise.train.config import CLIP_NORM, TrainConfig
from tilewise.train.evaluation import evaluate
from tilewise.train.progress import bar

M = TypeVar("M", bound=nn.Module)
CHECK_EVERY = 25
TEMPERATURE = 4.0


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
    teacher: nn.Module | None = None,
) -> M:
    """Train or adapt a classifier.

    With ``config.out``, every epoch ends with a checkpoint; a run that was killed continues with ``resume`` and
    ends with bit-identical weights (on the same machine and thread count). Batches come in an order that depends on
    seed and epoch only: ``data.Batches`` sees to it by itself, a DataLoader by torch's seed, which is set each epoch.

    Parameters
    ----------
    model : torch.nn.Module
        Gives logits of shape (N, classes). Changed in place.
    train : Loader
        Batches of (x, y).
    val : iterable of (x, y)
        Scored after every epoch.
    config : TrainConfig
        Recipe, epochs, run folder.
    teacher : torch.nn.Module, optional
        Learn this network's logits instead of the labels, such as the float network that ``model`` came from: its
        training labels have nothing left to say once it fits them. Moved to the device, in evaluation mode.

    Returns
    -------
    torch.nn.Module
        The same model, after its last epoch, in evaluation mode. The best epoch's weights are in
        ``out/best.safetensors``.

    Raises
    ------
    ValueError
        If the loss stops being finite, the folder holds a run that is not to be resumed, or the run to be resumed
        was started with other settings.
    """
    if len(train) == 0:
        raise ValueError("no training batches")
    run = _Run(model, config, distilled=teacher is not None)
    optimizer = config.optimizer(model.to(config.device))
    if teacher is not None:
        teacher.to(config.device).eval()
    first = run.restore(optimizer)
    with bar(enabled=config.progress) as display:
        task = display.add_task("train", total=(config.epochs - first) * len(train))
        for epoch in range(first, config.epochs):
            began = time.perf_counter()
            torch.manual_seed(config.seed * 1_000_003 + epoch)
            if hasattr(train, "set_epoch"):
                train.set_epoch(epoch)
            model.train()
            if config.freeze_norms:
                freeze_norms(model)
            loss = _epoch(model, train, optimizer, config, epoch, teacher, lambda: display.advance(task))
            score = evaluate(model, val, device=config.device)
            display.update(task, description=f"epoch {epoch + 1}/{config.epochs}: {score.accuracy:.2f} %")
            entry = {"epoch": epoch + 1, "train_loss": loss, "loss": score.loss, "accuracy": score.accuracy}
            run.record({**entry, "seconds": round(time.perf_counter() - began, 2)}, optimizer)
    return model.eval()


def _epoch(
    model: nn.Module,
    train: Loader,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    epoch: int,
    teacher: nn.Module | None,
    advance: Any,
) -> float:
    """One pass over the training batches; gives the mean loss."""
    total = torch.zeros((), device=config.device)
    for step, (images, y) in enumerate(train):
        # Channels last is what torch's convolutions and ours are fastest with; layers keep what they are given.
        x = images.to(config.device, memory_format=torch.channels_last)
        total += train_step(model, x, y, teacher, optimizer, config, config.lr_at(epoch, step, len(train)))
        # Asking for the number waits for the device, so not at every step.
        if step % CHECK_EVERY == CHECK_EVERY - 1:
            check_finite(float(total), epoch, step)
        advance()
    check_finite(float(total), epoch, len(train) - 1)
    return float(total) / len(train)


def train_step(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    teacher: nn.Module | None,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    lr: float,
) -> Tensor:
    """Take one step of the weights; give the loss before it."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(model(x), x, y, teacher)
    loss.backward()  # type: ignore[no-untyped-call]
    if config.recipe == "modern":
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    return loss.detach()


def loss_of(logits: Tensor, x: Tensor, y: Tensor, teacher: nn.Module | None) -> Tensor:
    """Cross entropy with the labels, or the distance to the teacher's logits on ``x``."""
    if teacher is None:
        return F.cross_entropy(logits, y.to(logits.device))
    with torch.no_grad():
        wanted = F.log_softmax(teacher(x) / TEMPERATURE, 1)
    given = F.log_softmax(logits / TEMPERATURE, 1)
    # Hinton et al. 2015: softened, and scaled so that gradients keep their size.
    return TEMPERATURE**2 * F.kl_div(given, wanted, log_target=True, reduction="batchmean")


def freeze_norms(model: nn.Module) -> None:
    """Let batch norms of a model in training use, and keep, their statistics."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the one common base
            module.eval()


def check_finite(loss: float, epoch: int, step: int) -> None:
    """Refuse to go on with a sum of losses that is not finite."""
    if not math.isfinite(loss):
        raise ValueError(
            f"the training loss became {loss} by epoch {epoch + 1}, step {step + 1}: "
            "NaN in data or weights, or a learning rate that is too high; earlier checkpoints are kept"
        )


class _Run:
    """A run folder: log, last and best checkpoint."""

    def __init__(self, model: nn.Module, config: TrainConfig, *, distilled: bool) -> None:
        self.model, self.config = model, config
        self.identity = {**config.identity(), "distilled": distilled}
        self.folder = None if config.out is None else Path(config.out)
        self.log: list[dict[str, Any]] = []

    def restore(self, optimizer: torch.optim.Optimizer) -> int:
        """Continue from the last checkpoint if asked to; give the epoch to start with."""
        if self.folder is None:
            return 0
        found = checkpoint.last_of(self.folder, self.identity, resume=self.config.resume)
        if found is None:
            return 0
        tensors, description = found
        weights = {n: t for n, t in tensors.items() if not n.startswith("optimizer.")}
        checkpoint.load_state(self.model, weights, self.folder / checkpoint.LAST)
        checkpoint.load_optimizer(optimizer, tensors, "optimizer")
        self.log = description["log"]
        return len(self.log)

    def record(self, entry: dict[str, Any], optimizer: torch.optim.Optimizer) -> None:
        """End an epoch. The last checkpoint holds the log too, so a kill between two files loses nothing."""
        self.log.append(entry)
        if self.folder is None:
            return
        best = max(self.log, key=lambda e: e["accuracy"])
        if best is entry:
            checkpoint.save_weights(self.model, self.folder / "best.safetensors")
        tensors = {**self.model.state_dict(), **checkpoint.optimizer_tensors(optimizer, "optimizer")}
        description = {
            "config": self.identity,
            "specs": checkpoint.describe_specs(self.model),
            "skips": skips_of(self.model),
            "log": self.log,
        }
        checkpoint.write(self.folder / checkpoint.LAST, tensors, description)
        (self.folder / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in self.log))
