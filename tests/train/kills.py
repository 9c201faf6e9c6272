"""What test_kills.py runs in a process of its own: commands that are killed at a chosen call to the file system.

``python kills.py COMMAND FOLDER POINT...`` prints, as JSON, the calls of an uninterrupted run, and how each run that
was killed at one of the points (counted from 0; negative from the end; all if none is given) and resumed differs from
it. Runs are forked from this process, which has loaded all libraries, so that one takes a fraction of a second.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import tilewise as tw
from tilewise import zoo
from tilewise.cli import main
from tilewise.commands import options, search
from tilewise.experiments.known_searches import Table

IMAGES = 40
SMALL = ("--model", "small", "--data", "digits", "--threads", "1", "--epochs", "2", "--batch", "20")
COMMANDS = {
    "train": ("train", *SMALL),
    "adapt": ("adapt", *SMALL, "--weights", "start.safetensors", "--algorithm", "F4", "--distill"),
    "search": ("search", *SMALL, "--weights", "start.safetensors", "--table", "t", "--algorithms", "direct", "F2"),
}


class Killer:
    """Counts the calls that change a folder, and kills this process at one of them; a write after half of it."""

    def __init__(self, folder: Path, point: int | None) -> None:
        self.folder, self.point = str(folder), point
        self.calls: list[str] = []

    def install(self) -> None:
        sys.addaudithook(self._audit)
        for name in ("write", "fsync", "fchmod"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and self.folder in str(arguments[0]):
            self._call(event)

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(descriptor: int, *arguments: Any) -> Any:
            if self.folder in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
                half = (lambda: call(descriptor, arguments[0][: len(arguments[0]) // 2])) if name == "write" else None
                self._call(name, half)
            return call(descriptor, *arguments)

        return wrapped

    def _call(self, name: str, last: Callable[[], Any] | None = None) -> None:
        if len(self.calls) == self.point:
            if last is not None:
                last()
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls.append(name)


def call(command: str, place: Path) -> None:
    out = ("--out", str(place / "run"), "--resume", "--json", str(place / "result.json"))
    sys.argv = ["tilewise", *COMMANDS[command], *out]
    main()


def run(command: str, place: Path, point: int | None = None) -> int:
    """Run a command in a process of its own, with its result, what it printed and its calls kept; return its status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status, printed, killer = 1, io.StringIO(), Killer(place / "run", point)
    try:
        killer.install()
        with contextlib.redirect_stdout(printed):
            call(command, place)
        (place / "printed").write_text(printed.getvalue())
        (place / "calls").write_text(json.dumps(killer.calls))
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def kept(place: Path) -> dict[str, bytes]:
    """Return the files of a run's folder, its result and what it printed."""
    files = [*(place / "run").iterdir(), place / "result.json", place / "printed"]
    return {str(path.relative_to(place)): path.read_bytes().replace(bytes(place), b"PLACE") for path in files}


def differences(command: str, place: Path, point: int, wanted: dict[str, bytes]) -> list[str]:
    """Kill a run at a point, resume it, and say how it differs from the uninterrupted one."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    if (status := run(command, place, point)) != -signal.SIGKILL:
        return [f"the run to be killed ended with status {status}"]
    if status := run(command, place):
        return [f"resuming ended with status {status}"]
    found = kept(place)
    return [name for name in sorted(wanted.keys() | found) if wanted.get(name) != found.get(name)]


def sweep(command: str, folder: Path, points: list[int]) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        call(command, folder / "warm")  # loads what commands load where they need it
    whole = folder / "whole"
    whole.mkdir()
    assert run(command, whole) == 0
    calls, wanted = json.loads((whole / "calls").read_text()), kept(whole)
    chosen = [point % len(calls) for point in points] or range(len(calls))
    failed = {point: wrong for point in chosen if (wrong := differences(command, folder / "killed", point, wanted))}
    return {"calls": calls, "killed": len(chosen), "failed": failed}


if __name__ == "__main__":
    torch.set_num_threads(1)
    time.perf_counter = lambda: 0.0  # the only thing in which two runs may differ
    search.load_table = lambda _: (Table(by_label={"F2 int8": 0.5e-3}, rest=1e-3), 1)
    load_set = options.load_set
    options.load_set = lambda *which: load_set(*which).subset(IMAGES)
    os.chdir(sys.argv[2])
    torch.manual_seed(0)
    tw.save_weights(zoo.small_cnn(), "start.safetensors")
    print(json.dumps(sweep(sys.argv[1], Path.cwd(), [int(point) for point in sys.argv[3:]])))
