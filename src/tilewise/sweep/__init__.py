"""Many runs of one command: read from a file, run here or over Ray, summed up over seeds."""

from __future__ import annotations

from tilewise.sweep.execute import Job, execute
from tilewise.sweep.file import Run, SweepFile, read_sweep
from tilewise.sweep.summary import print_summary, summarize

__all__ = ["Job", "Run", "SweepFile", "execute", "print_summary", "read_sweep", "summarize"]
