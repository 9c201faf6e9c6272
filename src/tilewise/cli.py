"""The command line.

``tilewise optimize | report | demo | train | adapt | sweep | evaluate | measure | search | experiment | doctor
| compile | run | bench | certify | algorithms | info``, or ``--version``.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Any

CLOSED = 128 + signal.SIGPIPE
"""Status of a program whose output nobody reads."""
ENDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
"""Signals that end a command, and what it says."""


class Signals:
    """Remembers the first signal that asks for an end: libraries that are loading may lose the exception."""

    def __init__(self) -> None:
        self.got: signal.Signals | None = None
        self.before = {number: signal.signal(number, self._take) for number in ENDS}

    def restore(self) -> None:
        """Let signals do again what they did before."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def end(self) -> None:
        """End the program if it was asked to."""
        if self.got is not None:
            print(f"{ENDS[self.got]}; a run with --out continues with --resume", file=sys.stderr)
            sys.exit(128 + self.got)

    def _take(self, number: int, _: FrameType | None) -> None:
        self.got = self.got or signal.Signals(number)
        raise KeyboardInterrupt


def main() -> None:
    """Run a command; bad input ends with one line on the error stream and status 2.

    Ctrl-C and SIGTERM end with one line too, at any moment. Where what reads the output goes away, as ``head`` does,
    the end is that of other programs: quiet, and with the status of SIGPIPE.
    """
    signals = Signals()
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
        signals.end()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        sys.exit(CLOSED)
    except SystemExit as end:
        if end.code == 1 and isinstance(end.__context__, BrokenPipeError):  # rich's way out
            sys.exit(CLOSED)
        signals.end()
        raise
    except BaseException:  # a library may have made another exception of it
        signals.end()
        raise
    finally:
        signals.restore()


def _run() -> None:
    if sys.argv[1:] == ["--version"]:
        print(f"tilewise {version('tilewise')}")
        return
    command = _asked()
    try:
        _prepare(command)
        result = command.run()
        if command.common.json is not None and result is not None:  # None in all of torchrun's processes but one
            from tilewise.common.files import write_json

            write_json(command.common.json, result)
    except BrokenPipeError:  # that of the output: what else writes to pipes looks after them
        raise
    except MemoryError as error:
        print(f"error: memory does not suffice{': ' if str(error) else ''}{error}", file=sys.stderr)
        sys.exit(2)
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _asked() -> Any:
    """Return the command that was asked for; only now are libraries loaded."""
    import tyro

    from tilewise.commands.catalogue import Command

    return tyro.cli(
        Command,
        prog="tilewise",
        description="Fast quantized convolution for CNNs.",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
    )


def _prepare(command: Any) -> None:
    """Check what all commands have."""
    from tilewise.commands.outputs import check_outputs

    check_outputs(command)
    threads, device = command.common.threads, command.common.device
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}; it must be at least 1")
    if device != "cpu":
        import torch

        count = torch.cuda.device_count()
        allowed = ["cpu", *(["cuda", *(f"cuda:{number}" for number in range(count))] if count else [])]
        if device not in allowed:
            raise ValueError(f"device is {device!r}; allowed on this machine: {', '.join(allowed)}")
    if threads is not None and importlib.util.find_spec("torch") is not None:  # engines run without it
        import torch

        torch.set_num_threads(threads)
