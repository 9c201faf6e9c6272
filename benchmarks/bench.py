"""Tilewise against OpenVINO, ONNX Runtime, LiteRT, ncnn, torch and oneDNN: single layers and whole networks.

    make bench
    python benchmarks/bench.py [--cases NAME ...] [--dtypes fp32 int8] [--threads 1 2] [--batches 1 8]
                               [--layer-batches 1 8] [--peers NAME ...] [--launches N] [--quick] [--isa avx2]
                               [--json FILE]

What is measured and how is in docs/guide/benchmarks.md. Results go to the JSON file unit by unit, and an interrupted
run goes on where it stopped; Markdown and pictures are written beside it at the end (--report writes them only).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, SECONDS = 9, 0.03
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.02


def arguments() -> argparse.Namespace:
    """Read the command line."""
    from peers.cases import LAYERS, MORE_LAYERS, NETWORKS
    from peers.registry import PEERS
    from peers.results import DTYPES
    from tilewise import _native

    every, cores = [*LAYERS, *MORE_LAYERS, *NETWORKS], len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", metavar="NAME", choices=["layers", "networks", *every], default=["layers", "networks"]
    )
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=["fp32", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[n for n in (1, 2) if n <= cores])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8], help="of networks")
    parser.add_argument("--layer-batches", nargs="+", type=int, default=[1], help="of layers")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--launches", type=int, default=1, help="fresh processes for each unit")
    parser.add_argument("--quick", action="store_true", help="few short rounds: to try things out")
    parser.add_argument("--isa", default="", help="hold everyone to these instructions, such as avx2")
    parser.add_argument("--json", type=Path, default=ROOT / "docs/results/bench/bench.json")
    parser.add_argument("--report", action="store_true", help="measure nothing, write the report of the JSON file")
    options = parser.parse_args()
    for name, values, most in (
        ("threads", options.threads, cores), ("batches", options.batches, 4096),
        ("layer-batches", options.layer_batches, 4096), ("launches", [options.launches], 1000),
    ):  # fmt: skip
        if bad := [value for value in values if not 1 <= value <= most]:
            parser.error(f"--{name} is {bad[0]}; allowed: 1 to {most}")
    sets = [entry["name"] for entry in _native.kernel_sets() if entry["supported"]]
    if options.isa and options.isa not in sets:
        parser.error(f"--isa is {options.isa}; allowed are the kernel sets that tilewise has here: {', '.join(sets)}")
    named = {"layers": list(LAYERS), "networks": list(NETWORKS)}
    options.cases = [case for name in options.cases for case in named.get(name, [name])]
    return options


def main() -> None:
    """Measure, then write the report."""
    from rich.console import Console

    options, console = arguments(), Console(soft_wrap=True)
    if not options.report:
        measure(options, console)
    write(options.json, console)


def measure(options: argparse.Namespace, console: Console) -> None:
    """Measure what the results lack."""
    from peers.driver import Job, available
    from peers.driver import measure as run
    from peers.results import Results
    from tilewise.latency import Machine

    job = Job(
        cases=tuple(options.cases), dtypes=tuple(options.dtypes), peers=tuple(options.peers),
        threads=tuple(options.threads), batches=tuple(options.batches), layer_batches=tuple(options.layer_batches),
        launches=options.launches, isa=options.isa,
        rounds=QUICK_ROUNDS if options.quick else ROUNDS, seconds=QUICK_SECONDS if options.quick else SECONDS,
    )  # fmt: skip
    options.json.parent.mkdir(parents=True, exist_ok=True)
    versions, missing = available(job.peers, job.isa, options.json.with_suffix(".log"))
    for name, reason in missing.items():
        console.print(f"without {name}: {reason}", style="yellow")
    about: dict[str, Any] = {
        "machine": str(Machine.here(1)).rsplit(",", 1)[0], "isa": job.isa, "versions": versions, "missing": missing,
        "rounds": job.rounds, "seconds": job.seconds,
    }  # fmt: skip
    run(job, list(versions), Results(options.json, about), console)


def write(path: Path, console: Console) -> None:
    """Write tables and pictures of a file of results beside it."""
    from peers.pictures import draw
    from peers.results import merged, read
    from peers.tables import report

    units, about = read(path)
    together = merged(units)
    text = path.with_suffix(".md")
    text.write_text(report(together, about))
    for written in [text, *draw(together, about, path.parent)]:
        console.print(f"wrote {written}")


if __name__ == "__main__":
    main()
