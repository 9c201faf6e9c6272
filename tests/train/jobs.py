"""What test_parallel.py runs in several processes: a module of its own, as they import what they call."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import tilewise as tw
from tilewise import winas, zoo
from tilewise.common.processes import Processes
from tilewise.data import Batches, load
from tilewise.experiments import known_searches
from tilewise.winas import SearchConfig

SPECS = {
    "direct": tw.Direct(),
    "learned": tw.Winograd("F4", transforms="learned"),
    "paper": tw.Winograd("F2", quantizer="paper", scales="tensor"),
}
# Images that make batches of 32 and 7: the last is cut into 4 and 3. Of quantized networks those are here
# that other last bits do not turn into others: where norms learn, a direct layer's or the paper's quantizer's integers
# flip in one process as well if a norm's eps changes by a billionth.
CASES: dict[str, dict[str, Any]] = {
    "float, the paper's recipe": {"kind": None, "recipe": "paper"},
    "learned transforms": {"kind": "learned"},
    "direct, frozen norms": {"kind": "direct", "freeze_norms": True},
    "the paper's quantizer, distilled": {"kind": "paper", "freeze_norms": True, "distill": True},
}


class Doubled:
    """Batches in float64, in which rounding is too small to turn an integer."""

    def __init__(self, batches: Batches | known_searches.Batches, stop: int | None = None) -> None:
        self.batches, self.stop = batches, stop

    def set_epoch(self, epoch: int) -> None:
        if epoch == self.stop:
            raise InterruptedError
        if isinstance(self.batches, Batches):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return ((x.double(), y) for x, y in self.batches)


def train(
    kind: str | None, *, images: int = 39, distill: bool = False, stop: int | None = None, **config: Any
) -> dict[str, Any]:
    """Train a small network in float64; give its state, on which the processes must agree."""
    torch.manual_seed(Processes.here().rank)  # the first process's weights shall become those of all
    model: nn.Module = zoo.small_cnn()
    if kind is not None:
        model = tw.convert(model, {"*": SPECS[kind]})
    torch.manual_seed(7)
    teacher = zoo.small_cnn().double() if distill else None
    batches = Doubled(Batches(load("digits", "train").subset(images), 32, shuffle=True, augment=True), stop)
    val = Doubled(Batches(load("digits", "test").subset(21), 20))
    config = {"epochs": 1, "lr": 1e-3, **config}
    tw.fit(model.double(), batches, val, tw.TrainConfig(progress=False, **config), teacher=teacher)
    return agreed(model)


def search() -> dict[str, Any]:
    """Search a small network in float64; give the probabilities of all candidates."""
    model = known_searches.network(0)
    train, val = (Doubled(known_searches.Batches(model, 6, seed)) for seed in (0, 1))
    config = SearchConfig(algorithms=("direct", "F2", "F4"), epochs=2, transforms="learned", progress=False)
    model = model.double()
    found = winas.search(model, train, val, known_searches.Table(by_label={"F2 int8": 5e-4}), config, teacher=model)
    return {f"{layer} {name}": np.array(p) for layer, of in found.probabilities.items() for name, p in of.items()}


def train_natively() -> dict[str, Any]:
    """Take one step on the native kernels, where there are any, in float32."""
    torch.manual_seed(0)
    model = tw.convert(zoo.small_cnn(), {"*": SPECS["learned"]})
    batches = Batches(load("digits", "train").subset(31), 31)
    tw.fit(model, batches, batches, tw.TrainConfig(epochs=1, lr=1e-3, freeze_norms=True, progress=False))
    return agreed(model)


def agreed(model: nn.Module) -> dict[str, Any]:
    """Return a model's state, the same in all processes; see that it is itself again."""
    everyone = Processes.here()
    state = {name: t.detach() for name, t in model.state_dict().items()}
    assert all((everyone.gather(t.double()) == t.double()).all() for t in state.values())
    assert not any({"forward", "processes"} & vars(m).keys() for m in model.modules())
    return {name: t.numpy() for name, t in state.items()}


def everything(stopped: Path) -> dict[str, Any]:
    """All that one start of two processes can show."""
    results: dict[str, Any] = {name: train(**case) for name, case in CASES.items()}
    results["native"] = train_natively()
    results["search"] = search()
    results["resumed"] = train("learned", epochs=2, out=stopped, resume=True)
    assert len((stopped / "log.jsonl").read_text().splitlines()) == 2  # in every process
    results["threads"] = torch.get_num_threads()
    try:
        train("direct", images=33)
    except ValueError as error:
        results["too few"] = str(error)
    return results


def die_in_the_second() -> None:
    if not Processes.here().first:
        os.kill(os.getpid(), signal.SIGKILL)
    Processes.here().sum(torch.zeros(1))


def wait_for_ever(folder: str) -> None:
    """Speak to the other process once, leave word, and wait."""
    dist.barrier()
    Path(folder, f"{os.getpid()}.pid").touch()
    time.sleep(1000)


def written(folder: Path, count: int) -> list[int]:
    """Return the numbers of the processes that wait, once there are so many."""
    for _ in range(600):
        if len(found := list(folder.glob("*.pid"))) == count:
            return [int(path.stem) for path in found]
        time.sleep(0.1)
    raise TimeoutError(f"of {count} processes {len(found)} wait")


LOOPBACK = {"0100007F", "0" * 24 + "01000000", "0" * 16 + "FFFF00000100007F"}
"""Addresses as in /proc/net: 127.0.0.1, ::1, and the former as the latter's kind."""


def listeners(pid: int) -> list[str]:
    """Return the addresses on which a process listens."""
    targets = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    sockets = {target.removeprefix("socket:[").removesuffix("]") for target in targets if target.startswith("socket:")}
    tables = [Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:] for kind in ("tcp", "tcp6")]
    lines = [line.split() for table in tables for line in table]
    listening = "0A"
    return [words[1].partition(":")[0] for words in lines if words[3] == listening and words[9] in sockets]
