"""All commands by name."""

from __future__ import annotations

from typing import Annotated

import tyro

from tilewise.commands.algorithms import Algorithms
from tilewise.commands.bench import Bench
from tilewise.commands.certify import Certify
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
    | Annotated[Bench, tyro.conf.subcommand("bench")]
    | Annotated[Certify, tyro.conf.subcommand("certify")]
    | Annotated[Algorithms, tyro.conf.subcommand("algorithms")]
    | Annotated[Info, tyro.conf.subcommand("info")]
)
