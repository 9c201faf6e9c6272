"""The command line.

``tilewise optimize | report | demo | train | adapt | sweep | evaluate | measure | search | experiment | doctor
| compile | run | algorithms | info``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Annotated

import tyro

from tilewise.commands.algorithms import Algorithms
from tilewise.commands.demo import Demo
from tilewise.commands.deploy import Compile, Run
from tilewise.commands.doctor import Doctor
from tilewise.commands.experiment import Experiment
from tilewise.commands.inform import Info
from tilewise.commands.measure import Measure
from tilewise.commands.optimize import Optimize
from tilewise.commands.report import Report
from tilewise.commands.search import Search
from tilewise.commands.sweep import Sweep
from tilewise.commands.train import Adapt, Evaluate, Train

Command = (
    Annotated[Optimize, tyro.conf.subcommand("optimize")]
    | Annotated[Report, tyro.conf.subcommand("report")]
    | Annotated[Demo, tyro.conf.subcommand("demo")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Adapt, tyro.conf.subcommand("adapt")]
    | Annotated[Sweep, tyro.conf.subcommand("sweep")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Measure, tyro.conf.subcommand("measure")]
    | Annotated[Search, tyro.conf.subcommand("search")]
    | Annotated[Experiment, tyro.conf.subcommand("experiment")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
    | Annotated[Compile, tyro.conf.subcommand("compile")]
    | Annotated[Run, tyro.conf.subcommand("run")]
    | Annotated[Algorithms, tyro.conf.subcommand("algorithms")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)

CLOSED = 128 + signal.SIGPIPE
"""Status of a program whose output nobody reads."""


def main() -> None:
    """Run a command; bad input ends with one line on the error stream and status 2.

    Where what reads the output goes away, as ``head`` does, the end is that of other programs: quiet, and with the
    status of SIGPIPE.
    """
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        sys.exit(CLOSED)
    except SystemExit as end:
        if end.code == 1 and isinstance(end.__context__, BrokenPipeError):  # rich's way out
            sys.exit(CLOSED)
        raise


def _run() -> None:
    command = tyro.cli(
        Command,
        prog="tilewise",
        description="Fast quantized convolution for CNNs.",
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes, tyro.conf.CascadeSubcommandArgs),
    )
    try:
        if command.common.threads is not None:
            import torch

            if command.common.threads < 1:
                raise ValueError(f"threads is {command.common.threads}; it must be at least 1")  # noqa: TRY301
            torch.set_num_threads(command.common.threads)
        result = command.run()
        if command.common.json is not None and result is not None:  # None in all of torchrun's processes but one
            command.common.json.parent.mkdir(parents=True, exist_ok=True)
            command.common.json.write_text(json.dumps(result, indent=1) + "\n")
    except BrokenPipeError:  # that of the output: what else writes to pipes looks after them
        raise
    except (ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; a run with --out continues with --resume", file=sys.stderr)
        sys.exit(130)
